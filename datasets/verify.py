"""Is a session's memory sound? One look at its stores and its journal, and at whether they agree.

Looking changes nothing; `set_aside` moves damaged episodes to quarantine and is the only thing here that writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.journal import Journal, JournalError
from datasets.store import EpisodeStore, StoreReport, unjournaled


@dataclass(frozen=True, kw_only=True)
class JournalReport:
    """What a look at the journal found."""

    path: Path
    lines: int = 0
    error: str | None = None
    """Why it cannot be trusted."""
    torn_bytes: int = 0
    """Bytes of an unfinished last line; the next opening for writing cuts them off and keeps them beside."""
    orphans: tuple[int, ...] = ()
    """Lines that judge episodes nobody entered."""

    @property
    def ok(self) -> bool:
        """It can be read to its end and makes sense."""
        return self.error is None and not self.orphans


@dataclass(frozen=True, kw_only=True)
class SessionReport:
    """Stores, journal, and where they disagree."""

    stores: tuple[StoreReport, ...]
    journal: JournalReport
    unjournaled: tuple[str, ...] = ()
    """Committed, but the journal does not know them; a session adopts them when it is next opened."""
    absent: tuple[str, ...] = ()
    """In the journal, but in no store: damaged and quarantined, or removed by hand."""

    @property
    def ok(self) -> bool:
        """Nothing is damaged and nothing is missing."""
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
        }


def verify(stores: Sequence[EpisodeStore], journal: Path, *, full: bool = True) -> SessionReport:
    """Look at everything; `full` compares contents as well as sizes. Writes nothing."""
    reports = tuple(store.verify(full=full) for store in stores)
    try:
        reader = Journal(journal)
    except JournalError as error:
        return SessionReport(stores=reports, journal=JournalReport(path=journal, error=str(error)))
    ledger = reader.ledger()
    present = {name for store in stores for name in store.ids()}
    return SessionReport(
        stores=reports,
        journal=JournalReport(
            path=journal,
            lines=reader.last_seq,
            torn_bytes=reader.unread,
            orphans=tuple(line.seq for line in ledger.orphans),
            error=None if journal.exists() else "there is no journal",
        ),
        unjournaled=tuple(name for store in stores for name in unjournaled(store, ledger)),
        absent=tuple(name for name in ledger.episodes if name not in present),
    )


def set_aside(store: EpisodeStore, report: StoreReport) -> list[Path]:
    """Move the damaged episodes of a report to quarantine; returns where they lie.

    Raises:
        StoreError: the store was opened for reading.
    """
    return [store.quarantine(name, report.reason(name)) for name in report.damaged]


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
