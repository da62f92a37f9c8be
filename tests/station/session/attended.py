"""A front end without a screen, for engines in a process of their own: sees snapshots and presses keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from station.session.core.events import Answer, OperatorEvent
from station.session.folder import SessionFolder
from station.session.link.client import Client
from station.session.snapshot import Phase, Snapshot
from tests.station.session.answering import HERE, answering, go

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 90.0
"""s; a busy machine needs some of it, a stuck engine all."""


class Attended:
    """An engine's process and somebody who looks at it."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self.process = process
        self.client = Client.connect(path, timeout=PATIENCE)

    def look(self, reached: Callable[[Snapshot], bool] = lambda _: True) -> Snapshot:
        """The newest snapshot, once it shows what is waited for."""
        deadline = time.monotonic() + PATIENCE
        while (seen := self.client.latest()) is None or not reached(seen):
            assert self.client.alive, f"the engine is gone: {self.log}"
            assert time.monotonic() < deadline, f"stuck in {seen.phase if seen else None}: {self.log}"
            self.client.wait(0.05)
        return seen

    def until_phase(self, *phases: Phase) -> Snapshot:
        return self.look(lambda seen: seen.phase in phases)

    def press(self, event: OperatorEvent) -> Snapshot:
        """One event; what is shown once the engine has decided on it. A key that came too late is pressed again."""
        while "press again" in self._ask(answering(event, self.look())) and _answers_here(event):
            pass
        decided = time.monotonic()
        return self.look(lambda seen: seen.made >= decided)

    def _ask(self, event: OperatorEvent) -> str:
        """What the engine says against it."""
        number, deadline = self.client.send(event), time.monotonic() + PATIENCE
        while not (found := [ack.refused for ack in self.client.acks if ack.number == number]):
            assert self.client.alive, f"the engine is gone: {self.log}"
            assert time.monotonic() < deadline, f"no answer: {self.log}"
            self.client.wait(0.05)
        return found[0]

    def roll(self, steps: int = 6) -> str:
        """Start the next episode and let it run some steps; its name."""
        self.until_phase(Phase.READY)
        self.press(go())
        seen = self.look(lambda seen: seen.phase is Phase.ROLLOUT and seen.step >= steps)
        assert seen.episode is not None
        return seen.episode

    def strike(self, number: signal.Signals) -> float:
        """Send the engine a signal; when, s, monotonic."""
        os.kill(self.process.pid, number)
        return time.monotonic()

    @property
    def log(self) -> str:
        return SessionFolder.open(self.path).log.read_text()[-2000:]


def _answers_here(event: OperatorEvent) -> bool:
    return isinstance(event, Answer) and event.answers == HERE


@contextmanager
def attended(
    path: Path, words: Sequence[str] = ("station.session.engine",), environment: dict[str, str] | None = None
) -> Iterator[Attended]:
    """``python -m WORDS[0] SESSION WORDS[1:]`` as long as somebody attends; killed at the end if it has not ended."""
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})}
    with SessionFolder.open(path).log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", words[0], str(path), *words[1:]],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    sitting: Attended | None = None
    try:
        sitting = Attended(path, process)
        yield sitting
    finally:
        if sitting is not None:
            sitting.client.close()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(15.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
