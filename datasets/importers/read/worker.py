"""A reader in a separate process: files that crash, hang, bloat or even compromise it cost only one episode.

The child (`importers.read.reading_process`) has limits on memory and silence; beyond them it is killed, and a new one
reads the next episode. Its answers are data, never code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psutil

from datasets.channel import Channel
from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.findings import Answers, Finding, Look
from datasets.importers.interface import Source
from datasets.importers.read.reader import refusal
from datasets.importers.read.reading_process import (
    REQUESTS,
    Answer,
    Beat,
    Describe,
    Described,
    Find,
    Fingerprint,
    Fingerprinted,
    Found,
    Judged,
    LookAt,
    Looked,
    ParentLine,
    Refused,
    Request,
    Success,
    Unknown,
    answers_within,
)
from datasets.importers.read.registry import UnknownFormatError, format_named
from datasets.messages import MessageError
from datasets.spec import DataSpec

Wanted = TypeVar("Wanted", bound=Answer)

_PROCESS = "datasets.importers.read.reading_process"
MEMORY = 3 * 2**29
"""Maximum bytes of data in a reader: an episode, its source and the decoders."""
PATIENCE = 60.0
"""Maximum s without a sign of life; after that a reader counts as hung."""
_SLOWEST = 20e6
"""Minimum read rate, bytes/s, that sets the extra time for a file that is read whole."""
_STARTING = 120.0
"""Maximum startup time of a reader's interpreter, s."""
_DYING = 10.0
"""s to wait for a reader's exit code after its connection ends, even on a busy machine."""
_FAREWELL = 2.0
"""s for a reader to exit by itself once the parent hangs up."""


@dataclass(frozen=True, kw_only=True)
class _Search:
    """Arguments of a search, and the path given by the user."""

    forced: str | None = None
    follow: bool = False
    within: Path


class IsolatedReader:
    """As `Reader`, but in a child process; close it after use."""

    def __init__(self, *, memory: int = MEMORY, patience: float = PATIENCE) -> None:
        """`memory` (bytes) and `patience` (s) are the limits per episode."""
        self._memory = memory
        self._patience = patience
        self._child: _Child | None = None
        self._outlined: set[str] = set()

    def find(
        self, paths: Iterable[Path], forced: str | None = None, *, follow: bool = False
    ) -> list[Source | Finding]:
        """See Reader."""
        found: list[Source | Finding] = []
        for path in paths:
            asked = _Search(forced=forced, follow=follow, within=path)
            found += [one for each in self._find(path, asked) for one in self._with_more_memory(each, asked)]
        return found

    def _with_more_memory(self, source: Source | Finding, asked: _Search) -> list[Source | Finding]:
        """Retry a file that is read whole and did not fit, with the memory that its format requests."""
        too_big = isinstance(source, Finding) and any(n.defect is Defect.TOO_BIG for n in source.defects)
        if not isinstance(source, Finding) or not too_big or not source.format or source.key:
            return [source]
        place = Source(path=source.path, format=source.format)
        try:
            extra = self._extra(place)
            if not extra:
                return [source]
            again = self._found(source.path, replace(asked, forced=source.format), extra=extra)
        except RefusedError:
            return [source]
        return again

    def _find(self, path: Path, asked: _Search) -> list[Source | Finding]:
        """Search a folder that crashes the reader entry by entry, so one file does not affect the others."""
        try:
            found = self._found(path, asked)
        except RefusedError as error:
            # do not enter links: they may be circular, and their targets have their own names or are outside
            is_folder = path.is_dir() and (path == asked.within or not path.is_symlink())
            entries = sorted(path.iterdir()) if is_folder else []
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            inside = [source for entry in shown for source in self._find(entry, asked)]
            return inside or [refusal(path, asked.forced or "", error)]
        return found

    def _found(self, path: Path, asked: _Search, extra: int = 0) -> list[Source | Finding]:
        request = Find(path=path, forced=asked.forced, follow=asked.follow, within=asked.within)
        return self._ask(request, Found, extra=extra).sources

    def fingerprint(self, source: Source) -> str:
        """See Reader."""
        try:
            return self._ask(Fingerprint(source=source), Fingerprinted, extra=self._extra(source)).text
        except RefusedError:
            return ""

    def describe(self, path: Path, spec: DataSpec) -> str:
        """See Reader."""
        return self._ask(Describe(path=path, spec=spec), Described).text

    def success(self, source: Source) -> bool | None:
        """See Reader."""
        try:
            return self._ask(Success(source=source), Judged, extra=self._extra(source)).success
        except RefusedError:
            return None

    def look(
        self, source: Source, spec: DataSpec, answers: Answers, *, fingerprint: str, ordinal: int
    ) -> Look:
        """See Reader."""
        try:
            request = LookAt(
                source=source, spec=spec, answers=answers, fingerprint=fingerprint, ordinal=ordinal
            )
            look = self._ask(request, Looked, extra=self._extra(source)).look
        except RefusedError as error:
            finding = refusal(source.path, source.format, error, key=source.key, fingerprint=fingerprint)
            return Look(finding=finding)
        # a replacement child repeats outlines that were already reported
        if look.outline is not None and look.outline.structure in self._outlined:
            return replace(look, outline=None)
        if look.outline is not None:
            self._outlined.add(look.outline.structure)
        return look

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _extra(self, source: Source) -> int:
        """Bytes beyond the common limit; a file that only claims to be large gets no more than is free."""
        try:
            return min(format_named(source.format).memory(source.path), psutil.virtual_memory().available)
        except OSError as error:
            raise RefusedError(Defect.UNREADABLE, f"unreadable ({why(error)})") from error

    def _ask(self, request: Request, kind: type[Wanted], *, extra: int = 0) -> Wanted:
        if self._child is not None and self._child.memory < self._memory + extra:
            self.close()
        if self._child is None:
            self._child = _Child(self._memory + extra, self._patience + extra / _SLOWEST)
        try:
            answer = self._child.ask(request)
        except RefusedError as error:
            if error.defect in (Defect.READER_DIED, Defect.TOO_BIG) and not self._child.alive:
                self.close()
            raise
        if not isinstance(answer, kind):
            self.close()
            raise RefusedError(Defect.READER_DIED, "the reader answered something else; it is damaged")
        return answer


@contextlib.contextmanager
def isolated_reader(*, memory: int = MEMORY, patience: float = PATIENCE) -> Iterator[IsolatedReader]:
    """A reader in a process that exits with the block."""
    reader = IsolatedReader(memory=memory, patience=patience)
    try:
        yield reader
    finally:
        reader.close()


class _Child:
    """The parent's end of one child."""

    def __init__(self, memory: int, patience: float) -> None:
        self.memory = memory
        self._patience = patience
        self._started = False
        ours, theirs = socket.socketpair()
        self._line: ParentLine = Channel(ours, says=REQUESTS, hears=answers_within(memory))
        # Ctrl-C also reaches the child, but only this process handles it: the child inherits the signal mask
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _PROCESS, str(theirs.fileno()), str(memory)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    },
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Request) -> Answer:
        """Send a request and return its answer.

        Raises:
            RefusedError: the child died, hung, ran out of memory, or sent an invalid answer.
        """
        try:
            self._wait_for_start()
            self._line.send(request, self._patience)
            while isinstance(answer := self._line.receive(self._patience), Beat):
                pass
        except TimeoutError as error:
            raise self._hung() from error
        except (EOFError, OSError) as error:
            raise self._dead() from error
        except MessageError as error:
            self.kill()
            text = f"reading it made the reader send an invalid answer ({error}); it is damaged or malicious"
            raise RefusedError(Defect.READER_DIED, text) from error
        if isinstance(answer, Refused):
            raise RefusedError(answer.defect, answer.text)
        if isinstance(answer, Unknown):
            raise UnknownFormatError(answer.text)
        return answer

    def _wait_for_start(self) -> None:
        """Wait for the interpreter to start, separately: a busy machine is not the fault of the file to read."""
        if not self._started:
            if not isinstance(self._line.receive(_STARTING), Beat):
                raise MessageError("the reader did not start properly")
            self._started = True

    def _hung(self) -> RefusedError:
        self.kill()
        return RefusedError(
            Defect.READER_DIED,
            f"reading it hung for {self._patience:.0f} s and was given up; it is damaged",
        )

    def _dead(self) -> RefusedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING)
        code = self._process.poll()
        self.kill()
        why = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return RefusedError(Defect.READER_DIED, f"reading it crashed the reader ({why}); it is damaged")

    def end(self) -> None:
        """Hang up, and kill it if it does not exit; it holds nothing worth saving."""
        self._line.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL)
        self.kill()

    def kill(self) -> None:
        """Kill it immediately."""
        self._line.close()
        self._process.kill()
        self._process.wait()
