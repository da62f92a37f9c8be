"""The one numbered, append-only journal of a session: everything that can change, one line each.

Labels, voids and restores of episodes, imports, trainings, update blocks, checkpoints, evaluations, settings,
notes and faults are lines; nothing is ever rewritten. A line is JSON whose last member is the CRC-32 of what
stands before it, and it is on the disk when `append` returns. Counters and curves are not here: they are
folds over the lines, of which the `Ledger` of episode statuses is the one that this floor needs itself.
"""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets.durable import Disk, full_disk_named
from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome

EPISODE, LABEL, VOID, RESTORE, IMPORT = "episode", "label", "void", "restore", "import"
PRUNE = "prune"

_REQUIRED = {
    EPISODE: {"id", "kind", "ordinal", "steps", "chunks", "ending", "policy_version"},
    LABEL: {"episode", "outcome", "by"},
    VOID: {"episode", "by"},
    RESTORE: {"episode", "by"},
    PRUNE: {"episodes", "by"},
}
"""Fields without which the ledger cannot follow a line; the other operations are their writers' business."""

_CRC_MARK = b',"crc":"'
_CRC_SIZE = len(_CRC_MARK) + 8 + len(b'"}')


class JournalError(Exception):
    """A journal that cannot be trusted, or a line that must not enter it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One event that changed the session."""

    seq: int
    """1, 2, 3, ... without gaps."""
    time: float
    """Wall clock, s since 1970; for people and time ledgers only."""
    op: str
    fields: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EpisodeStatus:
    """What the journal says about one episode."""

    id: str
    kind: EpisodeKind
    ordinal: int
    steps: int
    chunks: int
    ending: Ending
    policy_version: int
    outcome: Outcome | None = None
    """None: label pending."""
    void: bool = False
    by: str = ""
    """Who labelled, voided or restored it last."""
    seq: int
    """The line that entered it."""
    block: int | None = None
    """The evaluation block it belongs to."""
    pruned: bool = False
    """Its files were deleted for good while it was void; it stays void."""


@dataclass(kw_only=True)
class Ledger:
    """The journal folded up to a line: where every episode stands."""

    through: int = 0
    """seq of the last line taken in."""
    episodes: dict[str, EpisodeStatus] = field(default_factory=dict)
    """id -> status, in the order of their lines."""
    lines: dict[str, list[Line]] = field(default_factory=dict)
    """op -> its lines, in order; all operations."""
    orphans: list[Line] = field(default_factory=list)
    """Labels, voids and restores of episodes that no line before them had entered."""

    def add(self, line: Line) -> None:
        """Take in the next line."""
        self.through = line.seq
        self.lines.setdefault(line.op, []).append(line)
        if line.op == EPISODE:
            status = _entered(line)
            self.episodes.setdefault(status.id, status)
        elif line.op in (LABEL, VOID, RESTORE):
            self._change(line)
        elif line.op == PRUNE:
            self._prune(line)

    def copy(self) -> Ledger:
        """One that later lines do not touch."""
        return Ledger(
            through=self.through,
            episodes=dict(self.episodes),
            lines={op: list(lines) for op, lines in self.lines.items()},
            orphans=list(self.orphans),
        )

    def _change(self, line: Line) -> None:
        status = self.episodes.get(line.fields["episode"])
        if status is None:
            self.orphans.append(line)
            return
        by = str(line.fields["by"])
        if line.op == LABEL:
            outcome = line.fields["outcome"]
            status = replace(status, outcome=None if outcome is None else Outcome(outcome), by=by)
        else:
            status = replace(status, void=line.op == VOID or status.pruned, by=by)
        self.episodes[status.id] = status

    def _prune(self, line: Line) -> None:
        for name in line.fields["episodes"]:
            if name in self.episodes:
                self.episodes[name] = replace(self.episodes[name], void=True, pruned=True)


class Journal:
    """The file, held in memory as well: one writer (under the session's lock), any number of readers."""

    def __init__(self, path: Path, *, writable: bool = False, disk: Disk | None = None) -> None:
        """Read the journal; a writer creates it, and cuts off a last line that a crash left torn.

        Raises:
            JournalError: a line other than the last is damaged, or numbers are missing.
        """
        self.path = path
        self.writable = writable
        self.torn: Path | None = None
        """Where a writer saved the bytes it cut off; None when there were none."""
        self._disk = disk or Disk()
        self._lines: list[Line] = []
        self._ledger = Ledger()
        self._offset = 0
        tail = self._take(self._unread())
        if writable:
            self._open_for_writing(tail)

    @property
    def lines(self) -> list[Line]:
        """Every line known so far; a reader sees new ones after `refresh`."""
        return self._lines

    @property
    def last_seq(self) -> int:
        """Number of the last line, 0 for an empty journal."""
        return len(self._lines)

    @property
    def unread(self) -> int:
        """Bytes behind the last whole line: a line that is being written, or that a crash left torn."""
        return self.path.stat().st_size - self._offset if self.path.exists() else 0

    def append(self, op: str, **fields: Any) -> Line:
        """Number a line, put it on the disk, take it in.

        Raises:
            JournalError: opened for reading, fields missing or not plain JSON, or it names an unknown
            episode. DiskFullError: the line did not fit and is not in the journal.
        """
        self._check(op, fields)
        line = Line(seq=self.last_seq + 1, time=time.time(), op=op, fields=fields)
        data = _encode(line)
        with full_disk_named(f"journal line {line.seq} ({op})", self.path):
            self._disk.append(self.path, data)
        self._offset += len(data)
        # decoded again, so that a live ledger and a resumed one hold equal objects
        line = _decode(data[:-1])
        self._lines.append(line)
        self._ledger.add(line)
        return line

    def refresh(self) -> list[Line]:
        """The lines another process has appended since.

        Raises:
            JournalError: they are damaged.
        """
        before = self.last_seq
        self._take(self._unread())
        return self._lines[before:]

    def ledger(self, through: int | None = None) -> Ledger:
        """A ledger that later lines do not touch; up to and including line `through`, or all."""
        if through is None or through >= self.last_seq:
            return self._ledger.copy()
        ledger = Ledger()
        for line in self._lines[:through]:
            ledger.add(line)
        return ledger

    def _unread(self) -> bytes:
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            return file.read()

    def _take(self, data: bytes) -> bytes:
        """Take in whole lines of `data`; what is left is the torn (or still unfinished) last one."""
        end = data.rfind(b"\n") + 1
        rows = data[:end].split(b"\n")[:-1]
        for index, row in enumerate(rows):
            try:
                line = _decode(row)
            except JournalError as error:
                if index == len(rows) - 1 and end == len(data):
                    return row + b"\n"
                raise JournalError(
                    f"{self.path}, line {self.last_seq + 1}: {error}. Lines follow, so this is no torn end: "
                    "restore the file from a copy; `station verify` shows what else is hurt."
                ) from error
            self._enter(line, len(row) + 1)
        return data[end:]

    def _enter(self, line: Line, size: int) -> None:
        if line.seq != self.last_seq + 1:
            raise JournalError(
                f"{self.path}, line {self.last_seq + 1}: it is numbered {line.seq}. Lines were removed, "
                "doubled or swapped: restore the file from a copy."
            )
        try:
            self._ledger.add(line)
        except (KeyError, ValueError, TypeError) as error:
            raise JournalError(
                f"{self.path}, line {line.seq} ({line.op}): {error!r} is not understood. It was "
                "probably written by a newer version: open the session with that one."
            ) from error
        self._lines.append(line)
        self._offset += size

    def _open_for_writing(self, tail: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with full_disk_named("the journal", self.path):
            if tail:
                self.torn = self.path.with_name(f"{self.path.name}.torn-{self.last_seq + 1}")
                self._disk.write(self.torn, tail)
                self._disk.sync(self.path.parent)
                with self.path.open("r+b") as file:
                    file.truncate(self._offset)
            self._disk.append(self.path, b"")
            self._disk.sync(self.path.parent)

    def _check(self, op: str, fields: dict[str, Any]) -> None:
        if not self.writable:
            raise JournalError(
                f"{self.path} was opened for reading; open it writable, under the session's lock."
            )
        missing = _REQUIRED.get(op, set()) - fields.keys()
        if missing:
            raise JournalError(f"A line '{op}' needs {', '.join(sorted(missing))}.")
        known = self._ledger.episodes
        if op == EPISODE and fields["id"] in known:
            raise JournalError(
                f"Episode {fields['id']} is in the journal already (line {known[fields['id']].seq})."
            )
        if op in (LABEL, VOID, RESTORE) and fields["episode"] not in known:
            raise JournalError(f"No episode {fields['episode']} in {self.path}; `station status` lists them.")
        if op == RESTORE and known[fields["episode"]].pruned:
            raise JournalError(f"Episode {fields['episode']} was pruned: its files are gone, it stays void.")
        if op == LABEL and fields["outcome"] not in {None, *Outcome}:
            raise JournalError(f"'{fields['outcome']}' is no outcome; one of {', '.join(Outcome)} or null.")


def episode_fields(episode: Episode, block: int | None = None) -> dict[str, Any]:
    """The fields of an ``episode`` line."""
    return header_fields(episode.header, steps=episode.steps, chunks=episode.chunks, block=block)


def header_fields(
    header: EpisodeHeader, *, steps: int, chunks: int, block: int | None = None
) -> dict[str, Any]:
    """The fields of an ``episode`` line for an episode whose arrays are not at hand."""
    fields: dict[str, Any] = {
        "id": header.id,
        "kind": header.kind.value,
        "ordinal": header.ordinal,
        "steps": steps,
        "chunks": chunks,
        "ending": header.ending.value,
        "policy_version": header.policy_version,
    }
    return fields if block is None else {**fields, "block": block}


def _entered(line: Line) -> EpisodeStatus:
    fields = line.fields
    return EpisodeStatus(
        id=str(fields["id"]),
        kind=EpisodeKind(fields["kind"]),
        ordinal=int(fields["ordinal"]),
        steps=int(fields["steps"]),
        chunks=int(fields["chunks"]),
        ending=Ending(fields["ending"]),
        policy_version=int(fields["policy_version"]),
        block=fields.get("block"),
        seq=line.seq,
    )


def _encode(line: Line) -> bytes:
    content = {"seq": line.seq, "time": line.time, "op": line.op, "fields": line.fields}
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise JournalError(f"A line '{line.op}' must be plain JSON: {error}.") from error
    body = text[:-1].encode()
    return body + _CRC_MARK + b"%08x" % zlib.crc32(body) + b'"}\n'


def _decode(row: bytes) -> Line:
    body, end = row[:-_CRC_SIZE], row[-_CRC_SIZE:]
    if end != _CRC_MARK + b"%08x" % zlib.crc32(body) + b'"}':
        raise JournalError("its checksum is wrong")
    try:
        content = json.loads(body + b"}")
        return Line(seq=content["seq"], time=content["time"], op=content["op"], fields=content["fields"])
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"it is no journal line ({error!r})") from error
