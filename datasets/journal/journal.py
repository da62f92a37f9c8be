"""The append-only journal of a session: one numbered line per event.

A line is a number, a time and a record (`datasets.journal.records`). Nothing is ever rewritten, and a line is on disk
when `append` returns. Counters and curves are folds over the lines and live elsewhere, except the `Ledger` of episode
statuses, which this layer needs itself. Memory holds the ledger and the lines' offsets, not the lines.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from pathlib import Path
from typing import Any, cast

from datasets.durable import Disk, full_disk_named
from datasets.journal import index as journal_index
from datasets.journal.index import Index
from datasets.journal.ledger import FOLDED, EpisodeStatus, Ledger, R
from datasets.journal.lines import (
    LONGEST,
    JournalError,
    Line,
    Lines,
    Places,
    decode,
    encode,
    line_of,
    unseal,
)
from datasets.journal.records import EpisodeCommitted, Labelled, Record, Restored, Voided
from datasets.own_files import identity, open_own

__all__ = ["EpisodeStatus", "Journal", "JournalError", "Ledger", "Line"]

LARGEST = 1 << 30
"""Bytes of a journal; 50,000 episodes need some 50 MB."""
INDEXED = 200
"""A writer caches the ledger every this many lines, so opening a journal reads about this many."""


class Journal:
    """The journal file and its fold in memory: one writer (under the session's lock), any number of readers."""

    def __init__(
        self, path: Path, *, writable: bool = False, disk: Disk | None = None, whole: bool = False
    ) -> None:
        """Read the journal to its end; a writer creates it, and cuts off a last line torn by a crash.

        `whole` ignores the cache of `datasets.journal.index` and checks every line.

        Raises:
            JournalError: a line other than the last is damaged, or numbers are missing.
        """
        self.path = path
        self.writable = writable
        self.torn: Path | None = None
        """Where a writer saved the bytes it cut off; None if nothing was torn."""
        self._disk = disk or Disk()
        index = None if whole else journal_index.load(path)
        self._ledger = index.ledger if index else Ledger()
        self._places = index.places if index else Places(path)
        self._offset, self._crc = (index.end, index.crc) if index else (0, 0)
        self._indexed = self._ledger.through
        tail = self._follow()
        if writable:
            self._open_for_writing(tail)
            self._put_aside()

    @property
    def lines(self) -> Lines[Record]:
        """All lines known so far, read lazily; a reader sees new ones after `refresh`."""
        return Lines(self._places, range(1, self.last_seq + 1))

    @property
    def last_seq(self) -> int:
        """Number of the last line; 0 for an empty journal."""
        return len(self._places)

    @property
    def unread(self) -> int:
        """Bytes after the last complete line: one still being written, or torn by a crash."""
        return self.path.stat().st_size - self._offset if self.path.exists() else 0

    def append(self, record: R) -> Line[R]:
        """Number a line, write it durably, and apply it to the ledger.

        Raises:
            JournalError: opened for reading, the record is not plain JSON, the episode is unknown, or the file is no
            longer the one that was opened. DiskFullError: the line did not fit and is not in the journal.
        """
        self._check(record)
        data = encode(Line(seq=self.last_seq + 1, time=time.time(), record=record))
        self._require_room(self._offset + len(data))
        with full_disk_named(f"journal line {self.last_seq + 1} ({record.op})", self.path):
            self._disk.append(self.path, data)
        # decoded again, so a live ledger and a resumed one hold equal objects
        line = decode(data)
        self._take_in(line, data)
        self._put_aside()
        return cast("Line[R]", line)

    def refresh(self) -> list[Line[Record]]:
        """Read and return the lines another process has appended since.

        Raises:
            JournalError: they are damaged.
        """
        before = self.last_seq
        self._follow()
        return list(self.lines[before:])

    def about(self, episode: str) -> list[Line[Record]]:
        """All lines about an episode, oldest first. Raises JournalError: the file changed in the meantime."""
        name, end = json.dumps(episode).encode(), self._offset
        found: list[Line[Record]] = []
        if not end:
            return found
        with open_own(self.path, "rb") as file:
            while row := file.readline(LONGEST):
                end -= len(row)
                if end < 0:
                    break
                if name in row:
                    found.append(decode(row))
        return found

    def ledger(self, through: int | None = None) -> Ledger:
        """A snapshot of the ledger, up to and including line `through` (default: all)."""
        if through is None or through >= self.last_seq:
            ledger = self._ledger.copy()
        else:
            ledger = Ledger()
            numbers = sorted(int(seq) for kind in FOLDED for seq in self._places.numbers(kind.OP, through))
            for line in self._places.read(numbers):
                ledger.add(line)
            ledger.through = through
        ledger.places = self._places
        return ledger

    def _follow(self) -> bytes:
        """Apply all new complete lines; returns the bytes of a torn or unfinished last one."""
        if not self.path.exists():
            return b""
        with open_own(self.path, "rb") as file:
            self._require_room(os.fstat(file.fileno()).st_size)
            file.seek(self._offset)
            while row := file.readline(LONGEST + 1):
                if not row.endswith(b"\n") and len(row) <= LONGEST:
                    return row
                try:
                    content = unseal(row)
                except JournalError as error:
                    if len(row) <= LONGEST and not file.read(1):
                        return row
                    raise JournalError(
                        f"{self.path}, line {self.last_seq + 1}: {error}. More lines follow, so this is no torn end: "
                        "restore the file from a copy; `station verify` shows other damage."
                    ) from error
                self._enter(content, row)
        return b""

    def _require_room(self, size: int) -> None:
        if size > LARGEST:
            raise JournalError(
                f"{self.path} holds {size / 1e6:,.0f} MB, and a journal at most {LARGEST / 1e6:,.0f} MB. It was not "
                "read: restore it from a copy."
            )

    def _enter(self, content: dict[str, Any], row: bytes) -> None:
        seq = self.last_seq + 1
        if content["seq"] != seq:
            raise JournalError(
                f"{self.path}, line {seq}: it is numbered {content['seq']}. Lines were removed, "
                "doubled or swapped: restore the file from a copy."
            )
        try:
            self._take_in(line_of(content), row)
        except (JournalError, ValueError, OverflowError) as error:
            said = str(error) if isinstance(error, JournalError) else repr(error)
            raise JournalError(
                f"{self.path}, line {seq} ({str(content['op'])[:40]}): {said}. The line is not understood. If a newer "
                "version wrote it, open the session with that one; otherwise restore the file from a copy."
            ) from error

    def _take_in(self, line: Line[Record], row: bytes) -> None:
        self._ledger.add(line)
        self._places.add(line, self._offset)
        self._offset += len(row)
        self._crc = zlib.crc32(row, self._crc)

    def _put_aside(self) -> None:
        if self.last_seq - self._indexed >= INDEXED:
            journal_index.save(
                Index(ledger=self._ledger, places=self._places, end=self._offset, crc=self._crc)
            )
            self._indexed = self.last_seq

    def _open_for_writing(self, tail: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with full_disk_named("the journal", self.path):
            if tail:
                self.torn = self.path.with_name(f"{self.path.name}.torn-{self.last_seq + 1}")
                self._disk.write(self.torn, tail)
                self._disk.sync(self.path.parent)
                with open_own(self.path, "r+b") as file:
                    file.truncate(self._offset)
            self._disk.create(self.path)
            self._disk.sync(self.path.parent)
        self._opened = identity(self.path)

    def _check(self, record: Record) -> None:
        if not self.writable:
            raise JournalError(
                f"{self.path} was opened for reading; open it writable, under the session's lock."
            )
        if identity(self.path) != self._opened:
            raise JournalError(
                f"{self.path} was removed, renamed or replaced since it was opened. Line {self.last_seq + 1} "
                f"({record.op}) was not written: put the file back where it was, then run the command again."
            )
        known = self._ledger.episodes
        match record:
            case EpisodeCommitted(id=name) if name in known:
                raise JournalError(f"Episode {name} is in the journal already (line {known[name].seq}).")
            case Labelled(episode=name) | Voided(episode=name) | Restored(episode=name) if name not in known:
                raise JournalError(f"No episode {name} in {self.path}; `station status` lists them.")
            case Restored(episode=name) if known[name].pruned:
                raise JournalError(f"Episode {name} was pruned: its files are gone, it stays void.")
