"""Lines of a journal: how they are encoded and checked, and where each is in the file.

A line is JSON whose last member is the CRC-32 of everything before it. Memory holds only the offset of each line, about
ten bytes; lines are read again on demand, with a cache of recent ones. What a line says is its record
(`datasets.journal.records`).
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from datasets.errors import StationError
from datasets.journal.records import Record, read
from datasets.own_files import open_own
from datasets.plain_text import from_json

_CRC_MARK = b',"crc":"'
_CRC_SIZE = len(_CRC_MARK) + 8 + len(b'"}')
_REMEMBERED = 1000


LONGEST = 2**26
"""Maximum bytes of a line. The longest lines name every episode of a session."""
_LATEST = 253_402_214_400.0
"""s since 1970: the last day of the year 9999, beyond which Python has no dates."""


class JournalError(StationError):
    """The journal cannot be trusted, or a line must not be added to it."""


R_co = TypeVar("R_co", bound=Record, covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line(Generic[R_co]):
    """One event that changed the session."""

    seq: int
    """1, 2, 3, ... without gaps."""
    time: float
    """Wall-clock time, s since 1970; only for display and accounting of time."""
    record: R_co
    """What it says."""

    @property
    def op(self) -> str:
        """The kind of line, as it is named on disk."""
        return self.record.op


def encode(line: Line[Record]) -> bytes:
    """The line's bytes, with checksum and newline. Raises JournalError: not plain JSON, or too long."""
    content = {"seq": line.seq, "time": line.time, "op": line.op, "fields": line.record.to_fields()}
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise JournalError(f"A line '{line.op}' must be plain JSON: {error}.") from error
    # lone surrogates, from file names that are not valid text, are kept as JSON escapes
    body = text[:-1].encode(errors="backslashreplace")
    row = body + _CRC_MARK + b"%08x" % zlib.crc32(body) + b'"}\n'
    if len(row) > LONGEST:
        raise JournalError(f"A line '{line.op}' would have {len(row)} bytes, and a line at most {LONGEST}.")
    return row


def decode(row: bytes) -> Line[Record]:
    """Inverse of `encode`. Raises JournalError: the row is damaged, or makes no sense."""
    return line_of(unseal(row))


def unseal(row: bytes) -> dict[str, Any]:
    """The JSON of an intact row: seq, time, op and fields, unchecked. Raises JournalError: the row is damaged."""
    if len(row) > LONGEST:
        raise JournalError(f"it is longer than any line that the station writes ({LONGEST} bytes)")
    row = row.removesuffix(b"\n")
    body, end = row[:-_CRC_SIZE], row[-_CRC_SIZE:]
    if end != _CRC_MARK + b"%08x" % zlib.crc32(body) + b'"}':
        raise JournalError("its checksum is wrong")
    try:
        content: dict[str, Any] = from_json(body + b"}")
        if missing := {"seq", "time", "op", "fields"} - content.keys():
            raise KeyError(*sorted(missing))
    except (ValueError, KeyError, AttributeError) as error:
        raise JournalError(f"it is not a journal line ({error!r})") from error
    return content


def line_of(content: dict[str, Any]) -> Line[Record]:
    """The line that a row's JSON describes. Raises JournalError: it makes no sense."""
    time = content["time"]
    if type(time) not in (int, float) or not 0 <= time < _LATEST:
        raise JournalError(f"its time {str(time)[:40]!r} is not a date")
    try:
        return Line(seq=content["seq"], time=time, record=read(content["op"], content["fields"]))
    except ValueError as error:
        raise JournalError(str(error)) from error


class Places:
    """Offset and operation of every line in the file."""

    def __init__(
        self, path: Path, *, offsets: bytes = b"", codes: bytes = b"", ops: Iterable[str] = ()
    ) -> None:
        """Start from known lines: 64-bit offsets, and 16-bit indices into `ops`."""
        self.path = path
        self.offsets = array("q", offsets)
        self.codes = array("h", codes)
        self.ops = list(ops)
        self._remembered: dict[int, Line[Record]] = {}

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.offsets)

    def add(self, line: Line[Record], offset: int) -> None:
        """Add the next line, which begins at `offset`."""
        if line.op not in self.ops:
            self.ops.append(line.op)
        self.offsets.append(offset)
        self.codes.append(self.ops.index(line.op))
        self._remember(line)

    def numbers(self, op: str, through: int) -> NDArray[np.int64]:
        """seq of all lines of an operation, up to `through`."""
        code = self.ops.index(op) if op in self.ops else -1
        return np.flatnonzero(np.array(self.codes[:through]) == code) + 1

    def read(self, numbers: Iterable[int]) -> Iterator[Line[Record]]:
        """Read the lines with these seq.

        Raises:
            JournalError, OSError: they can no longer be read.
        """
        with open_own(self.path, "rb") as file:
            for seq in numbers:
                line = self._remembered.get(seq)
                if line is None:
                    try:
                        file.seek(self.offsets[seq - 1])
                        line = decode(file.readline(LONGEST + 1))
                    except (JournalError, IndexError, ValueError) as error:
                        raise JournalError(f"{self.path}, line {seq}: {error}.") from error
                    self._remember(line)
                yield line

    def _remember(self, line: Line[Record]) -> None:
        self._remembered[line.seq] = line
        if len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]


class Lines(Sequence[Line[R_co]]):
    """A sequence of lines that is read lazily."""

    def __init__(self, places: Places, numbers: Sequence[int] | NDArray[np.int64]) -> None:
        """`numbers`: the seq of the lines, ascending; they hold records of this kind."""
        self._places = places
        self._numbers = numbers

    def __len__(self) -> int:
        """Number of lines; reads none."""
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Line[R_co]: ...
    @overload
    def __getitem__(self, place: slice) -> Lines[R_co]: ...
    def __getitem__(self, place: int | slice) -> Line[R_co] | Lines[R_co]:
        """One line, or a slice. Raises IndexError, JournalError."""
        if isinstance(place, slice):
            return Lines(self._places, self._numbers[place])
        return next(self._read([int(self._numbers[place])]))

    def __iter__(self) -> Iterator[Line[R_co]]:
        """All lines, in order. Raises JournalError."""
        # without lines, the file need not exist yet
        return self._read(map(int, self._numbers)) if len(self) else iter(())

    def __eq__(self, other: object) -> bool:
        """Whether both hold equal lines."""
        return isinstance(other, Lines) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _read(self, numbers: Iterable[int]) -> Iterator[Line[R_co]]:
        return cast("Iterator[Line[R_co]]", self._places.read(numbers))
