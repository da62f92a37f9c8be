"""Lines of a journal: how they are encoded and checked, and where each is in the file.

A line is JSON whose last member is the CRC-32 of everything before it. Memory holds only the offset of each line, about
ten bytes; lines are read again on demand, with a cache of recent ones. This module does not know what lines mean.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from datasets.errors import StationError
from datasets.journal.line_forms import require_form
from datasets.own_files import open_own
from datasets.plain_text import from_json

_CRC_MARK = b',"crc":"'
_CRC_SIZE = len(_CRC_MARK) + 8 + len(b'"}')
_REMEMBERED = 1000


LONGEST = 2**26
"""Maximum bytes of a line. The longest lines name every episode of a session."""


class JournalError(StationError):
    """The journal cannot be trusted, or a line must not be added to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One event that changed the session."""

    seq: int
    """1, 2, 3, ... without gaps."""
    time: float
    """Wall-clock time, s since 1970; only for display and accounting of time."""
    op: str
    fields: dict[str, Any]


def encode(line: Line) -> bytes:
    """The line's bytes, with checksum and newline. Raises JournalError: not plain JSON, or too long."""
    content = {"seq": line.seq, "time": line.time, "op": line.op, "fields": line.fields}
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


def decode(row: bytes) -> Line:
    """Inverse of `encode`. Raises JournalError: the row is damaged."""
    if len(row) > LONGEST:
        raise JournalError(f"it is longer than any line that the station writes ({LONGEST} bytes)")
    row = row.removesuffix(b"\n")
    body, end = row[:-_CRC_SIZE], row[-_CRC_SIZE:]
    if end != _CRC_MARK + b"%08x" % zlib.crc32(body) + b'"}':
        raise JournalError("its checksum is wrong")
    try:
        content = from_json(body + b"}")
        return Line(seq=content["seq"], time=content["time"], op=content["op"], fields=content["fields"])
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"it is not a journal line ({error!r})") from error


def checked(line: Line) -> Line:
    """Return the line if it fits the schema of `datasets.journal.line_forms`. Raises JournalError."""
    try:
        require_form(line.op, line.time, line.fields)
    except ValueError as error:
        raise JournalError(str(error)) from error
    return line


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
        self._remembered: dict[int, Line] = {}

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.offsets)

    def add(self, line: Line, offset: int) -> None:
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

    def read(self, numbers: Iterable[int]) -> Iterator[Line]:
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
                        line = checked(decode(file.readline(LONGEST + 1)))
                    except (JournalError, IndexError, ValueError) as error:
                        raise JournalError(f"{self.path}, line {seq}: {error}.") from error
                    self._remember(line)
                yield line

    def _remember(self, line: Line) -> None:
        self._remembered[line.seq] = line
        if len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]


class Lines(Sequence[Line]):
    """A sequence of lines that is read lazily."""

    def __init__(self, places: Places, numbers: Sequence[int] | NDArray[np.int64]) -> None:
        """`numbers`: the seq of the lines, ascending."""
        self._places = places
        self._numbers = numbers

    def __len__(self) -> int:
        """Number of lines; reads none."""
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> Lines: ...
    def __getitem__(self, place: int | slice) -> Line | Lines:
        """One line, or a slice. Raises IndexError, JournalError."""
        if isinstance(place, slice):
            return Lines(self._places, self._numbers[place])
        return next(self._places.read([int(self._numbers[place])]))

    def __iter__(self) -> Iterator[Line]:
        """All lines, in order. Raises JournalError."""
        # without lines, the file need not exist yet
        return self._places.read(map(int, self._numbers)) if len(self) else iter(())

    def __eq__(self, other: object) -> bool:
        """Whether both hold equal lines."""
        return isinstance(other, Lines) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class LinesByOp(Mapping[str, Lines]):
    """op -> its lines in order, up to a given line."""

    def __init__(self, places: Places, through: int) -> None:
        """Lines after `through` are ignored."""
        self._places = places
        self._through = through

    def __getitem__(self, op: str) -> Lines:
        """The lines of an operation. Raises KeyError: there are none."""
        numbers = self._places.numbers(op, self._through)
        if not len(numbers):
            raise KeyError(op)
        return Lines(self._places, numbers)

    def __iter__(self) -> Iterator[str]:
        """Every operation that occurs."""
        return (op for op in self._places.ops if len(self._places.numbers(op, self._through)))

    def __len__(self) -> int:
        """Number of operations."""
        return sum(1 for _ in self)
