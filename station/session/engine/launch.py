"""Runs a session engine in its own process: ``python -m station.session.engine SESSION [OPTIONS]``.

OPTIONS are `EngineOptions` in JSON; `spawn` starts such a process. Takes the lock, builds the parts, listens, runs, and
releases everything in order. Knows no screen.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from datasets.errors import ExitCode, UsageError
from hardware.latch import StopLatch
from station.errors import refusal
from station.interruption import exit_code, heard, interruptible, signal_of
from station.plain import PlainFormatter
from station.session.core.events import EventSource, Leave
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.engine import Engine
from station.session.engine.factory import compose
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.link.server import Link
from station.session.place import Place
from station.session.snapshot import Phase
from station.tether import leave_with_parent

Composer = Callable[[SessionFolder, StopLatch], EngineDependencies]


def main(arguments: Sequence[str]) -> ExitCode:
    """Run one engine on the session at `arguments[0]`, with its options as JSON; returns the exit code."""
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[log])
    path, *given = arguments
    try:
        options = EngineOptions.from_json(*given)
    except UsageError as error:
        return _refuse(str(error), error.exit_code)
    _set_threads(options.threads)
    return serve(Path(path), options, lambda folder, latch: compose(folder, options, latch))


def serve(path: Path, options: EngineOptions, composer: Composer) -> ExitCode:
    """Run an engine on the session at `path` with parts built by `composer`; returns the exit code."""
    interruptible()
    place: Place | None = None
    try:
        folder = SessionFolder.open(path)
        place = Place(folder)
        with folder.writing():
            return _run(folder, options, composer)
    except Exception as error:
        known = refusal(error)
        if known is None:
            raise
        return _refuse((place and place.gone) or known.message, known.exit_code)
    except KeyboardInterrupt as error:
        return _ended_by(signal_of(error))


def _run(folder: SessionFolder, options: EngineOptions, composer: Composer) -> ExitCode:
    latch = StopLatch(folder.latch)
    parts = composer(folder, latch)
    link = Link(folder)
    try:
        with Engine(folder, parts, options, link=link, latch=latch) as engine:
            asked = _leave_politely(engine)
            leave_with_parent()
            engine.run()
            link.publish(engine.snapshot(images=False))
            screen = f"Open it on a screen for that: station run {shlex.quote(str(folder.path))}"
            if engine.abandoned:
                return _refuse(f"{engine.abandoned} {screen}", ExitCode.FAILED)
            return _result(engine, asked)
    finally:
        link.close()


def _leave_politely(engine: Engine) -> list[signal.Signals]:
    """A termination signal ends the engine at its next safe point; the list holds those received."""
    asked: list[signal.Signals] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        asked.append(signal.Signals(number))
        engine.post(Leave(source=EventSource.SYSTEM))

    for number in heard():
        signal.signal(number, leave)
    return asked


def _result(engine: Engine, asked: Sequence[signal.Signals]) -> ExitCode:
    """A headless engine that ends before its goal has not done what the command asked for."""
    if engine.state.phase is Phase.FINISHED:
        return ExitCode.OK
    if asked:
        return _ended_by(asked[0])
    if engine.options.headless and engine.state.has_goal:
        return _refuse(f"Ended at a screen before its goal was reached. {_AGAIN}", ExitCode.FAILED)
    return ExitCode.OK


_AGAIN = "Nothing is lost: the same command continues from there."


def _ended_by(number: signal.Signals) -> ExitCode:
    return _refuse(f"The engine was ended by {number.name}. {_AGAIN}", ExitCode(exit_code(number)))


def _refuse(sentence: str, code: ExitCode) -> ExitCode:
    logging.getLogger(__name__).error(sentence)
    return code


def _set_threads(threads: int) -> None:
    """A resumed session computes the same numbers only with the same number of threads."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
