"""Integrity check of a session: its stores, its journal, and whether they agree.

The check changes nothing; `set_aside` moves damaged episodes to quarantine, and `renounce` records in the journal that
the session continues without them. Nothing here deletes. Policies and checkpoints are checked by their own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets.journal.journal import Journal, JournalError
from datasets.journal.records import Voided
from datasets.store import EpisodeStore, StoreReport, unjournaled


@dataclass(frozen=True, kw_only=True)
class JournalReport:
    """Result of checking the journal."""

    path: Path
    lines: int = 0
    error: str | None = None
    """Why the journal cannot be trusted; None if it can."""
    torn_bytes: int = 0
    """Bytes of an unfinished last line; the next writer cuts them off and saves them beside the journal."""
    orphans: tuple[int, ...] = ()
    """Lines that label, void or restore episodes missing from the journal."""

    @property
    def ok(self) -> bool:
        """Whether the journal is readable to its end and consistent."""
        return self.error is None and not self.orphans


@dataclass(frozen=True, kw_only=True)
class SessionReport:
    """State of stores and journal, and where they disagree."""

    stores: tuple[StoreReport, ...]
    journal: JournalReport
    unjournaled: tuple[str, ...] = ()
    """Committed episodes missing from the journal; the session adopts them when next opened."""
    absent: tuple[str, ...] = ()
    """In the journal but in no store, and not renounced."""
    lost: tuple[str, ...] = ()
    """Void and no longer in a store, because their files are in quarantine; only their journal lines remain."""
    pruned: int = 0
    """Void episodes whose files an operator deleted; not a loss."""

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or missing."""
        return all(store.ok for store in self.stores) and self.journal.ok and not self.absent

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, for ``station verify --json``."""
        return {
            "ok": self.ok,
            "stores": [_store_json(store) for store in self.stores],
            "journal": {
                "path": str(self.journal.path),
                "ok": self.journal.ok,
                "lines": self.journal.lines,
                "error": self.journal.error,
                "torn_bytes": self.journal.torn_bytes,
                "orphans": list(self.journal.orphans),
            },
            "unjournaled": list(self.unjournaled),
            "absent": list(self.absent),
            "lost": list(self.lost),
            "pruned": self.pruned,
        }


def verify(
    stores: Sequence[EpisodeStore],
    journal: Path,
    *,
    full: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> SessionReport:
    """Check everything; `full` compares contents as well as sizes. Writes nothing.

    `progress` receives a store's folder name and the numbers of episodes checked and in total.
    """
    reports = tuple(
        store.verify(full=full, progress=progress and partial(progress, store.root.name)) for store in stores
    )
    try:
        reader = Journal(journal, whole=True)
    except JournalError as error:
        return SessionReport(stores=reports, journal=JournalReport(path=journal, error=str(error)))
    ledger = reader.ledger()
    present = {name for store in stores for name in store.ids()}
    gone = [status for name, status in ledger.episodes.items() if name not in present]
    return SessionReport(
        stores=reports,
        journal=JournalReport(
            path=journal,
            lines=reader.last_seq,
            torn_bytes=reader.unread,
            orphans=tuple(ledger.orphans),
            error=None if journal.exists() else "there is no journal",
        ),
        unjournaled=tuple(name for store in stores for name in unjournaled(store, ledger)),
        absent=tuple(status.id for status in gone if not status.void),
        lost=tuple(status.id for status in gone if status.void and not status.pruned),
        pruned=sum(status.pruned for status in gone),
    )


def set_aside(store: EpisodeStore, report: StoreReport) -> list[Path]:
    """Move the damaged episodes of a report to quarantine; returns their new paths.

    Raises:
        StoreError: the store was opened for reading.
    """
    return [store.quarantine(name, report.reason(name)) for name in report.damaged]


def renounce(journal: Journal, lost: Mapping[str, str]) -> list[str]:
    """Void unreadable episodes (id -> reason), so counts, training and replay continue without them.

    Returns the ids for which a line was written: those in the journal that were not already void.

    Raises:
        JournalError: opened for reading. DiskFullError.
    """
    known = journal.ledger().episodes
    names = [name for name in lost if name in known and not known[name].void]
    for name in names:
        reason = f"damaged and in quarantine: {lost[name]}"
        journal.append(Voided(episode=name, by="system", reason=reason))
    return names


def _store_json(report: StoreReport) -> dict[str, Any]:
    return {
        "root": str(report.root),
        "ok": report.ok,
        "full": report.full,
        "sound": len(report.sound),
        "faults": [
            {
                "episode": fault.episode,
                "file": fault.file,
                "damage": fault.damage.value,
                "detail": fault.detail,
            }
            for fault in report.faults
        ],
        "leftovers": list(report.leftovers),
        "quarantined": list(report.quarantined),
    }
