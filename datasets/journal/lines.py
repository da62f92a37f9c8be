"""Lines of a journal: how one is written and checked, and where each lies in its file.

A line is JSON whose last member is the CRC-32 of what stands before it. Of the lines that were read only their places
stay in memory, some ten bytes each; who wants one reads it again, and those wanted last are remembered. What lines
mean is not known here.
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
"""Bytes of a line. The longest that are written name every episode of a session."""


class JournalError(StationError):
    """A journal that cannot be trusted, or a line that must not enter it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One event that changed the session."""

    seq: int
    """1, 2, 3, ... without gaps."""
    time: float
    """Wall clock, s since 1970; for people and time ledgers only."""
    op: str
    fields: dict[str, Any]


def encode(line: Line) -> bytes:
    """With its checksum and the end of line. Raises JournalError: no plain JSON."""
    content = {"seq": line.seq, "time": line.time, "op": line.op, "fields": line.fields}
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise JournalError(f"A line '{line.op}' must be plain JSON: {error}.") from error
    # half characters, from names of files that are no text, stand as JSON escapes them
    body = text[:-1].encode(errors="backslashreplace")
    return body + _CRC_MARK + b"%08x" % zlib.crc32(body) + b'"}\n'


def decode(row: bytes) -> Line:
    """Inverse of `encode`. Raises JournalError: it is not what was written."""
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
        raise JournalError(f"it is no journal line ({error!r})") from error


def checked(line: Line) -> Line:
    """The same line, when it makes sense. Raises JournalError (see `datasets.journal.line_forms`)."""
    try:
        require_form(line.op, line.time, line.fields)
    except ValueError as error:
        raise JournalError(str(error)) from error
    return line


class Places:
    """Where every line begins in the file, and its operation."""

    def __init__(
        self, path: Path, *, offsets: bytes = b"", codes: bytes = b"", ops: Iterable[str] = ()
    ) -> None:
        """Those that are known: 64-bit offsets, and 16-bit places in `ops`."""
        self.path = path
        self.offsets = array("q", offsets)
        self.codes = array("h", codes)
        self.ops = list(ops)
        self._remembered: dict[int, Line] = {}

    def __len__(self) -> int:
        """How many lines."""
        return len(self.offsets)

    def add(self, line: Line, offset: int) -> None:
        """The next line begins at `offset`."""
        if line.op not in self.ops:
            self.ops.append(line.op)
        self.offsets.append(offset)
        self.codes.append(self.ops.index(line.op))
        self._remember(line)

    def numbers(self, op: str, through: int) -> NDArray[np.int64]:
        """seq of the lines of an operation, up to `through`."""
        code = self.ops.index(op) if op in self.ops else -1
        return np.flatnonzero(np.array(self.codes[:through]) == code) + 1

    def read(self, numbers: Iterable[int]) -> Iterator[Line]:
        """These lines.

        Raises:
            JournalError, OSError: they cannot be read any more.
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
    """Some lines, read when they are looked at."""

    def __init__(self, places: Places, numbers: Sequence[int] | NDArray[np.int64]) -> None:
        """`numbers` are their seq, ascending."""
        self._places = places
        self._numbers = numbers

    def __len__(self) -> int:
        """How many; reads none."""
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> Lines: ...
    def __getitem__(self, place: int | slice) -> Line | Lines:
        """One, or some. Raises IndexError, JournalError."""
        if isinstance(place, slice):
            return Lines(self._places, self._numbers[place])
        return next(self._places.read([int(self._numbers[place])]))

    def __iter__(self) -> Iterator[Line]:
        """All, in order. Raises JournalError."""
        # of none, the file need not be there yet
        return self._places.read(map(int, self._numbers)) if len(self) else iter(())

    def __eq__(self, other: object) -> bool:
        """Whether they say the same."""
        return isinstance(other, Lines) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class LinesByOp(Mapping[str, Lines]):
    """op -> its lines in order, up to one line."""

    def __init__(self, places: Places, through: int) -> None:
        """Lines behind `through` do not exist for it."""
        self._places = places
        self._through = through

    def __getitem__(self, op: str) -> Lines:
        """Raises KeyError: there is none."""
        numbers = self._places.numbers(op, self._through)
        if not len(numbers):
            raise KeyError(op)
        return Lines(self._places, numbers)

    def __iter__(self) -> Iterator[str]:
        """Every operation that there is."""
        return (op for op in self._places.ops if len(self._places.numbers(op, self._through)))

    def __len__(self) -> int:
        """How many operations."""
        return sum(1 for _ in self)
