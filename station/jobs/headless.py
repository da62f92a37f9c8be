"""Runs a session's engine as a child process and reports on it, without a UI.

It is the same engine that the UI attaches to; reports are recomputed from store and journal. An
interruption is passed on to the engine, which ends at its next safe point; so does an engine whose command was
killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from datasets.errors import ExitCode, StationError
from datasets.journal.journal import Journal, JournalError
from datasets.log_lines import without_stamp
from datasets.own_files import open_own
from station.interruption import deferred, ended_by, exit_code, interruption
from station.jobs.remote import live_snapshot
from station.reporting import Reporter
from station.session.engine.spawn import spawn
from station.session.status import tally
from station.tether import Tether

if TYPE_CHECKING:
    from station.session.engine.options import EngineOptions
    from station.session.folder import SessionFolder
    from station.session.snapshot import Snapshot

REPORT_EVERY = 5.0
"""s between reports."""
_POLL = 0.2
_ANSWER = 0.5
"""s that a busy engine has to send a snapshot for a report."""
_LINE = 1 << 16
"""Most bytes of an engine's last words."""
PATIENCE = 60.0
"""s that the engine has to end after being asked."""


def run(folder: SessionFolder, options: EngineOptions, *, reporter: Reporter) -> None:
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
    # opened now: the folder may be moved before the last lines are read
    with deferred() as interrupted, Tether() as tether, open_own(folder.log, "rb") as said:
        start = said.seek(0, os.SEEK_END)
        child = spawn(folder, options, tether)
        unread: Exception | None = None
        try:
            progress = _Progress(folder, options, reporter)
            while child.poll() is None and not interrupted():
                progress.report()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_POLL)
            progress.report(last=True)
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


class _Progress:
    """A session's progress since a run began: chunks or episodes, from its journal; first, past episodes loaded."""

    def __init__(self, folder: SessionFolder, options: EngineOptions, reporter: Reporter) -> None:
        self._folder = folder
        self._reporter = reporter
        rules = folder.task.session
        self._window = rules.rolling_window
        self._chunks = rules.chunks if options.chunks is None else options.chunks
        self._episodes = rules.episodes if options.episodes is None else options.episodes
        self._journal = Journal(folder.journal)
        self._began = time.monotonic()
        self._next = self._began
        self._first: int | None = None
        self._full = False
        self._past = 0
        """Past episodes to load, as far as the engine has said; 0 once they are loaded."""

    def report(self, *, last: bool = False) -> None:
        """Report if it is time, or for the `last` time. Raises JournalError, OSError."""
        if time.monotonic() < self._next and not last:
            return
        if last or not self._report_loading():
            self._report_counts()
        self._next = time.monotonic() + REPORT_EVERY

    def _report_loading(self) -> bool:
        """Whether past episodes are being loaded: until then nothing else happens. No, if the engine does not say."""
        snapshot = None
        with suppress(StationError):
            snapshot = live_snapshot(self._folder, _ANSWER)
        self._report_full_disk(snapshot)
        left = snapshot.steering.reading if snapshot else 0
        self._past = max(self._past, left)
        if self._past:
            self._reporter.progress("past episodes", self._past - left, self._past)
        self._past = self._past if left else 0
        return left > 0

    def _report_full_disk(self, snapshot: Snapshot | None) -> None:
        """Say once each time why the engine waits: its log is on the same disk."""
        full = snapshot is not None and snapshot.disk_full
        if snapshot is not None and full and not self._full:
            self._reporter.event("waits", words=snapshot.reason)
        self._full = full

    def _report_counts(self) -> None:
        self._journal.refresh()
        counts = tally(self._journal.ledger(), rolling_window=self._window)
        done, total = (counts.chunks, self._chunks) if self._chunks else (counts.episodes, self._episodes)
        first = self._first = done if self._first is None else self._first
        spent = time.monotonic() - self._began
        self._reporter.progress(
            "chunks" if self._chunks else "episodes",
            done,
            total or done,
            eta=spent * (total - done) / (done - first) if total > done > first else None,
            success=counts.rolling.value if counts.rolling else None,
            updates=counts.updates,
        )


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
    said = without_stamp(lines[-1]) if lines else "It said nothing."
    if code in set(ExitCode):
        return said
    return f"The engine of {folder.path} died (code {code}). Its last words: {said} Its log is {folder.log}."
