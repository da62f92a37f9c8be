"""Runs a session's engine as a child process and reports on it from the folder, without a UI.

It is the same engine that the UI attaches to; reports are recomputed from store and journal. An
interruption is passed on to the engine, which ends at its next safe point; so does an engine whose command was
killed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from datasets.errors import ExitCode, StationError
from datasets.journal.journal import Journal, JournalError
from datasets.own_files import open_own
from station.interruption import deferred, ended_by, exit_code, interruption
from station.reporting import Reporter
from station.session.engine import reading
from station.session.status import tally
from station.tether import Tether

if TYPE_CHECKING:
    from station.session.folder import SessionFolder

REPORT_EVERY = 5.0
"""s between reports."""
_POLL = 0.2
_LINE = 1 << 16
"""Bytes of an engine's log read at once."""
_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
PATIENCE = 60.0
"""s that the engine has to end after being asked."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Goal of a run; None: the task's."""

    episodes: int | None = None
    chunks: int | None = None


def engine_arguments(
    *,
    headless: bool = False,
    autopilot: bool = False,
    mistakes: float | None = None,
    cells: int | None = None,
    speed: str | None = None,
    goal: Goal | None = None,
    accept_devices: bool = False,
) -> list[str]:
    """The engine's arguments; None means the task's value. A headless clock runs at maximum speed."""
    goal = goal or Goal()
    speed = "max" if headless and speed is None else speed
    switches = {"--headless": headless, "--autopilot": autopilot, "--accept-devices": accept_devices}
    flags = [name for name, wanted in switches.items() if wanted]
    values = {
        "--mistakes": mistakes,
        "--cells": cells,
        "--speed": speed,
        "--episodes": goal.episodes,
        "--chunks": goal.chunks,
    }
    return flags + [
        part for name, value in values.items() if value is not None for part in (name, str(value))
    ]


def run(
    folder: SessionFolder,
    arguments: Sequence[str],
    *,
    goal: Goal,
    reporter: Reporter,
    threads: int | None = None,
) -> None:
    """Run the engine until its goal; raises KeyboardInterrupt after an interruption, once the engine has ended.

    Returns only once the goal is reached: an engine ended earlier by someone else is an error.

    Raises:
        LockedError: another process works on the session.
        StationError: the engine ended with an error; the message holds its last words. Or the arm is a real one.
    """
    if folder.task.cell.kind != "simulated":
        raise StationError(
            "A real arm moves only while somebody looks at a screen, and only a person can judge what it did. Start it "
            f"with 'station run {folder.path.name}'; evaluating is a key there."
        )
    with folder.writing():
        open_own(folder.log, "ab").close()
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "station.session.engine", str(folder.path), *arguments]
    with deferred() as interrupted, Tether() as tether, open_own(folder.log, "ab") as log:
        start = log.tell()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment | tether.environment,
            pass_fds=tether.inherited,
            start_new_session=True,
        )
        # opened now: the folder may be moved before the last lines are read
        with open_own(folder.log, "rb") as said:
            said.seek(start)
            unread: Exception | None = None
            try:
                _follow(folder, child, goal, reporter, interrupted, said)
            except (OSError, JournalError) as error:
                # the engine hits the same error, and reports the remedy
                unread = error
            finally:
                _end(child)
            if (number := interrupted()) is not None:
                raise interruption(number)
            if child.returncode != 0:
                said.seek(start)
                words = _last_words(folder, said, child.returncode)
                raise StationError(words, exit_code=_exit_code(child.returncode))
            if unread is not None:
                raise unread


def _follow(
    folder: SessionFolder,
    child: subprocess.Popen[bytes],
    goal: Goal,
    reporter: Reporter,
    interrupted: Callable[[], object],
    log: BinaryIO,
) -> None:
    """Report periodically until the engine has ended or should; reads its output from `log`."""
    journal, began, first = Journal(folder.journal), time.monotonic(), -1
    told = began - REPORT_EVERY
    while child.poll() is None and not interrupted():
        if time.monotonic() - told >= REPORT_EVERY:
            journal.refresh()
            first = _report(folder, journal, goal, reporter, began, first)
            told = time.monotonic()
        _report_reading(log, reporter)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_POLL)
    journal.refresh()
    _report_reading(log, reporter)
    _report(folder, journal, goal, reporter, began, first)


def _report_reading(log: BinaryIO, reporter: Reporter) -> None:
    """Report the engine's progress in loading past episodes: until then nothing else happens."""
    for line in iter(lambda: log.readline(_LINE), b""):
        found = reading.told(line.decode(errors="replace"))
        if found is not None:
            reporter.progress("past episodes", *found)


def _report(
    folder: SessionFolder, journal: Journal, goal: Goal, reporter: Reporter, began: float, first: int
) -> int:
    """Report the session's progress; returns its progress when this run began."""
    rules = folder.task.session
    counts = tally(journal.ledger(), rolling_window=rules.rolling_window)
    chunks = rules.chunks if goal.chunks is None else goal.chunks
    episodes = rules.episodes if goal.episodes is None else goal.episodes
    done, total = (counts.chunks, chunks) if chunks else (counts.episodes, episodes)
    first = done if first < 0 else first
    spent = time.monotonic() - began
    eta = spent * (total - done) / (done - first) if total and done > first else None
    reporter.progress(
        "chunks" if chunks else "episodes",
        done,
        total or done,
        eta=eta,
        success=counts.rolling.value if counts.rolling else None,
        updates=counts.updates,
    )
    return first


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the engine to leave; every committed episode is safe whether it does or not."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _exit_code(code: int) -> ExitCode:
    """The command's exit code for the engine's."""
    number = ended_by(code)
    if number is not None:
        return ExitCode(exit_code(number))
    return ExitCode(code) if code in set(ExitCode) else ExitCode.FAILED


def _last_words(folder: SessionFolder, log: BinaryIO, code: int) -> str:
    """The engine's own sentence, without the time it was said at."""
    log.seek(max(log.tell(), log.seek(0, os.SEEK_END) - _LINE))
    lines = log.read(_LINE).decode(errors="replace").strip().splitlines()
    said = _TIME.sub("", lines[-1]) if lines else "It said nothing."
    if code in set(ExitCode):
        return said
    return f"The engine of {folder.path} died (code {code}). Its last words: {said} Its log is {folder.log}."
