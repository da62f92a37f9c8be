"""The reader's child process, started by `worker` with a descriptor and a memory limit.

It answers requests until the parent hangs up. The files it reads may compromise it, so its answers are plain data of
the types below (`datasets.messages`), none of which the parent executes.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from datasets.channel import BROKEN, Channel
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.findings import Answers, Finding, Look
from datasets.importers.interface import Source
from datasets.importers.read.reader import Reader
from datasets.importers.read.registry import UnknownFormatError
from datasets.installed import PackageError
from datasets.messages import Codec, Limits
from datasets.spec import DataSpec

log = logging.getLogger(__name__)

_BEAT = 0.2
"""Interval between signs of life, s."""
_TEXT = 2**28
"""Maximum bytes of text in one message; large, because folders hold many episodes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Base of all requests; each corresponds to the `Reader` method of the same name."""


@dataclass(frozen=True, kw_only=True)
class Find(Request):
    """Answered by `Found`."""

    path: Path
    forced: str | None
    follow: bool
    within: Path


@dataclass(frozen=True, kw_only=True)
class Fingerprint(Request):
    """Answered by `Fingerprinted`."""

    source: Source


@dataclass(frozen=True, kw_only=True)
class Describe(Request):
    """Answered by `Described`."""

    path: Path
    spec: DataSpec


@dataclass(frozen=True, kw_only=True)
class Success(Request):
    """Answered by `Judged`."""

    source: Source


@dataclass(frozen=True, kw_only=True)
class LookAt(Request):
    """Answered by `Looked`."""

    source: Source
    spec: DataSpec
    answers: Answers
    fingerprint: str
    ordinal: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Base of all answers."""


@dataclass(frozen=True, kw_only=True)
class Found(Answer):
    """Episodes found, and files that cannot be read."""

    sources: list[Source | Finding]


@dataclass(frozen=True, kw_only=True)
class Fingerprinted(Answer):
    """A content's fingerprint."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Described(Answer):
    """A description template."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Judged(Answer):
    """The source's own verdict."""

    success: bool | None


@dataclass(frozen=True, kw_only=True)
class Looked(Answer):
    """The result of one look."""

    look: Look


@dataclass(frozen=True, kw_only=True)
class Beat(Answer):
    """Sign of life: work continues."""


@dataclass(frozen=True, kw_only=True)
class Refused(Answer):
    """The source could not be read."""

    defect: Defect
    text: str


@dataclass(frozen=True, kw_only=True)
class Unknown(Answer):
    """No format has that name, or one of an installed package cannot be used."""

    text: str


REQUESTS: Codec[Request] = Codec(Request, Limits(header=_TEXT))


def answers_within(memory: int) -> Codec[Answer]:
    """Codec for the answers of a reader with `memory` bytes of data."""
    return Codec(Answer, Limits(header=_TEXT, arrays=memory))


ParentLine = Channel[Request, Answer]
"""The parent's end."""
ReaderLine = Channel[Answer, Request]
"""The reader's end."""


class _Pulse:
    """Periodically signals the parent that work continues."""

    def __init__(self, line: ReaderLine) -> None:
        self._line = line
        self._last = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > _BEAT:
            self._last = now
            self._line.send(Beat())


def _answer(reader: Reader, request: Request) -> Answer:
    match request:
        case Find(path=path, forced=forced, follow=follow, within=within):
            return Found(sources=reader.find([path], forced, follow=follow, within=within))
        case Fingerprint(source=source):
            return Fingerprinted(text=reader.fingerprint(source))
        case Describe(path=path, spec=spec):
            return Described(text=reader.describe(path, spec))
        case Success(source=source):
            return Judged(success=reader.success(source))
        case LookAt(source=source, fingerprint=fingerprint, ordinal=ordinal):
            told = request.answers
            return Looked(
                look=reader.look(source, request.spec, told, fingerprint=fingerprint, ordinal=ordinal)
            )
    raise TypeError(f"no handler for a {type(request).__name__}")


def _answered(line: ReaderLine, reader: Reader, request: Request) -> None:
    try:
        line.send(_answer(reader, request))
    except (UnknownFormatError, PackageError) as error:
        line.send(Unknown(text=str(error)))
    except RefusedError as error:
        line.send(Refused(defect=error.defect, text=str(error)))
    except MemoryError:
        line.send(Refused(defect=Defect.TOO_BIG, text="reading it takes more memory than an import may use"))
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # a damaged file can make a library raise anything
        log.warning("reading failed: %s", request, exc_info=True)
        text = f"unreadable, damaged ({type(error).__name__}: {error})"[:500]
        line.send(Refused(defect=Defect.READER_DIED, text=text))


def main() -> int:
    """Answer until the parent hangs up."""
    descriptor, memory = map(int, sys.argv[1:])
    line: ReaderLine = Channel(socket.socket(fileno=descriptor), says=answers_within(memory), hears=REQUESTS)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reader = Reader(_Pulse(line))
    with contextlib.suppress(*BROKEN):
        line.send(Beat())
        while True:
            _answered(line, reader, line.receive())
    return 0


if __name__ == "__main__":
    sys.exit(main())
