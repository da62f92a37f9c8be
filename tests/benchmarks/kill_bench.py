"""How the kill test starts commands and screens, and what it waits for."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from datasets.journal.journal import Journal
from datasets.journal.records import SessionOpened
from station.session.folder import SessionFolder
from station.session.link.client import running_pid
from station.session.status import resting_state
from tests.benchmarks import forking
from tests.benchmarks.phase_board import STARTING, Board, show, site
from tests.benchmarks.slow_store import slow_down

PATIENCE = 120.0
"""s that a start or an end may take."""
_LOOK = 0.01
_ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[bytes] | forking.Forked


@dataclass
class Screen:
    """The real UI in a terminal of its own that somebody reads."""

    process: Process
    reader: subprocess.Popen[bytes]
    said: Path

    @classmethod
    def attach(cls, folder: SessionFolder, *, fork: bool) -> Self:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 140, 0, 0))
        words = ["attach", str(folder.path)]
        said = folder.path.with_suffix(".screen")
        # a process, not a thread: this one goes on forking; and when it is ended the terminal is closed
        with said.open("wb") as file:
            reader = subprocess.Popen(["cat"], stdin=ours, stdout=file, stderr=subprocess.DEVNULL)
        os.close(ours)
        process: Process
        if fork:
            process = forking.in_terminal(words, theirs)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "station", *words],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(_ROOT)},
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
            )
        os.close(theirs)
        return cls(process, reader, said)

    def drawn(self, command: Process) -> bool:
        """Wait until it shows the session; False when the command or the screen ended before."""
        end = time.monotonic() + 30.0
        while time.monotonic() < end and command.poll() is None and self.process.poll() is None:
            if self.said.stat().st_size > 8000:
                return True
            time.sleep(_LOOK)
        return False

    def end(self, number: signal.Signals | None) -> int:
        """Send it a signal, None: close its terminal; returns its exit code."""
        if number is None:
            self.reader.kill()
        else:
            self.process.send_signal(number)
        try:
            return self.process.wait(15.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return 1000
        finally:
            self.reader.kill()
            self.reader.wait()


@dataclass
class Life:
    """A command that was started."""

    command: Process
    forked: bool
    screen: Screen | None = None
    asked: signal.Signals | None = None
    """The polite signal before the last."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A session, and how commands are started on it."""

    folder: SessionFolder
    chunks: int
    cells: int
    slow: float
    real: float

    def __str__(self) -> str:
        """For people."""
        return f"{self.folder.path.name}, {self.cells} cells, commits {self.slow:g} s"

    @classmethod
    def copy(cls, source: Path, path: Path, *, chunks: int, cells: int, slow: float, real: float) -> Self:
        """On a copy of a prepared session."""
        shutil.copytree(source, path)
        return cls(folder=SessionFolder.open(path), chunks=chunks, cells=cells, slow=slow, real=real)

    @cached_property
    def _board_path(self) -> Path:
        return self.folder.path.with_suffix(".board")

    @cached_property
    def board(self) -> Board:
        """What its engine is doing."""
        return Board(self._board_path)

    def start(self, *, real: bool) -> Life:
        """``station run --headless`` with its engine; a new interpreter for each, or a fork of this one."""
        self.folder.engine.unlink(missing_ok=True)
        self.board.write(STARTING)
        words = ["run", str(self.folder.path), "--headless", "--autopilot", "--json"]
        words += ["--chunks", str(self.chunks), "--cells", str(self.cells)]
        said = self.folder.path.with_suffix(".log")
        if not real:
            return Life(forking.command(words, said, self._prepare), forked=True)
        with said.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "station", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": self._site()},
                start_new_session=True,
            )
        return Life(process, forked=False)

    def _prepare(self) -> None:
        slow_down(self.slow)
        show(self._board_path)

    def _site(self) -> str:
        folder = self.folder.path.with_suffix(".site")
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(site(self.slow, self._board_path))
        return f"{folder}:{_ROOT}"

    def ready(self, life: Life) -> int | None:
        """The pid of the engine once it listens and has opened the journal; None when the command ended before."""
        journal, end = Journal(self.folder.journal), time.monotonic() + PATIENCE
        while time.monotonic() < end and life.command.poll() is None:
            if any(isinstance(line.record, SessionOpened) for line in journal.refresh()):
                return running_pid(self.folder)
            time.sleep(_LOOK)
        return None

    def lived(self, life: Life, lines: int) -> bool:
        """Let the engine write so many journal lines; False when the command ended before."""
        journal = Journal(self.folder.journal)
        goal = journal.last_seq + lines
        while journal.last_seq < goal and life.command.poll() is None:
            time.sleep(_LOOK)
            journal.refresh()
        return life.command.poll() is None

    def finished(self) -> bool:
        """Whether the goal is reached."""
        return resting_state(Journal(self.folder.journal).ledger()) == "finished"


def send(pid: int, number: signal.Signals) -> None:
    """To a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
