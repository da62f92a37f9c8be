"""Plans and performs permanent deletion in a session: void and cut-off episodes, old quarantine. Nothing else.

Planning changes nothing. The journal keeps every line, and gets one more that names what was deleted: it is written
before the first file goes, so no crash leaves an episode that is neither whole nor known to be deleted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.durable import Disk
from datasets.episode import EpisodeKind
from datasets.journal.journal import Journal, Ledger
from datasets.journal.records import Pruned, UpdateBegun, Voided
from datasets.own_files import make_folder, remove, remove_tree
from datasets.store import EpisodeStore
from station.session.core.events import EventSource
from station.session.engine.partial import leftovers
from station.session.engine.resume import enter_partials
from station.session.folder import SessionFolder

_BLOCKS = 3
"""Newest update blocks that a resumed learner may rerun: newest and previous checkpoint, and one in progress."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A folder or file to delete."""

    path: Path
    size: int
    """bytes"""
    episode: str = ""
    """The void episode whose files these are; empty for anything else."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be deleted, and what stays although it looks deletable."""

    void: tuple[Piece, ...]
    partial: tuple[Piece, ...]
    quarantined: tuple[Piece, ...]
    needed: tuple[str, ...] = ()
    """Void episodes that a resumed learner may still need: they were voided after its newest update blocks."""
    young: tuple[str, ...] = ()
    """Episodes voided too recently."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All of it."""
        return (*self.void, *self.partial, *self.quarantined)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(piece.size for piece in self.pieces)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        groups = {"void": self.void, "partial": self.partial, "quarantined": self.quarantined}
        return {
            "bytes": self.size,
            "needed": list(self.needed),
            "young": list(self.young),
            **{
                name: [{"path": str(piece.path), "bytes": piece.size} for piece in group]
                for name, group in groups.items()
            },
        }


def plan(folder: SessionFolder, *, before: float) -> Plan:
    """What was voided, cut off or quarantined before this instant (s since 1970). Raises JournalError, NotOursError."""
    folder.require_own()
    ledger = Journal(folder.journal).ledger()
    needed: list[str] = []
    young: list[str] = []
    void = tuple(_void(folder, ledger, before, needed, young))
    old = [path for path in leftovers(folder.partial) if _newest(path) < before]
    places = (folder.demos / "quarantine", folder.episodes / "quarantine", folder.quarantine)
    quarantined = [path for place in places for path in _entries(place) if path.lstat().st_ctime < before]
    return Plan(
        void=void,
        partial=tuple(_piece(path) for path in old),
        quarantined=tuple(_piece(path) for path in quarantined),
        needed=tuple(needed),
        young=tuple(young),
    )


def carry_out(folder: SessionFolder, wanted: Plan) -> Plan:
    """Delete what was confirmed and is still deletable; returns what was deleted. The caller holds the session's lock.

    Raises:
        JournalError, DiskFullError: nothing was deleted. OSError: some of it is left; prune again.
    """
    now = plan(folder, before=math.inf)
    agreed = {piece.path for piece in wanted.pieces}
    gone = Plan(
        void=_among(now.void, agreed),
        partial=_among(now.partial, agreed),
        quarantined=_among(now.quarantined, agreed),
    )
    if not gone.pieces:
        return gone
    journal = Journal(folder.journal, writable=True)
    # what a killed engine left gets its line first, so that its number is not reused
    store = EpisodeStore(folder.episodes, writable=True)
    enter_partials(folder.partial, journal, store)
    journal.append(
        Pruned(
            episodes=[piece.episode for piece in gone.void],
            leftovers=[
                str(piece.path.relative_to(folder.path)) for piece in (*gone.partial, *gone.quarantined)
            ],
            bytes=gone.size,
            by=EventSource.COMMAND.value,
        )
    )
    for piece in gone.pieces:
        _delete(piece)
    return gone


def _void(
    folder: SessionFolder, ledger: Ledger, before: float, needed: list[str], young: list[str]
) -> Iterator[Piece]:
    voided = {line.record.episode: line for line in ledger.lines_of(Voided)}
    updates = ledger.lines_of(UpdateBegun)[-_BLOCKS:]
    through = updates[0].record.through if updates else math.inf
    for status in ledger.episodes.where(ledger.episodes.rows["void"]):
        line = voided.get(status.id)
        store = folder.demos if status.kind is EpisodeKind.DEMO else folder.episodes
        path = store / "episodes" / status.id
        if not path.is_dir():
            continue
        if line is not None and not status.pruned:
            if line.time >= before:
                young.append(status.id)
                continue
            if status.kind is EpisodeKind.ONLINE and line.seq > through:
                needed.append(status.id)
                continue
        yield _piece(path, status.id)


def _delete(piece: Piece) -> None:
    """Remove an episode from its store atomically; the next opening sweeps its remains in tmp/."""
    path = piece.path
    if piece.episode:
        path = piece.path.parent.parent / "tmp" / f"{piece.episode}-pruned"
        make_folder(path.parent)
        remove_tree(path)
        piece.path.rename(path)
        Disk().sync(piece.path.parent)
    remove(path)


def _among(pieces: Sequence[Piece], agreed: set[Path]) -> tuple[Piece, ...]:
    return tuple(piece for piece in pieces if piece.path in agreed)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for root, _, names in os.walk(path):
            yield from (Path(root) / name for name in names)
    else:
        yield path


def _newest(path: Path) -> float:
    return max((file.lstat().st_mtime for file in _files(path)), default=path.lstat().st_mtime)


def _piece(path: Path, episode: str = "") -> Piece:
    return Piece(path=path, size=sum(file.lstat().st_size for file in _files(path)), episode=episode)
