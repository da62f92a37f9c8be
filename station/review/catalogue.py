"""What of a session can be looked at: demonstrations, online and evaluation episodes, and leftovers in ``partial/``.

Follows the journal while others write it and reads no array; `station.review.take` loads one recording. Headers are
read only where a sentence asks for what the journal does not say (a date, a method), and each only once.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from datasets.episode import EpisodeHeader, EpisodeKind
from datasets.journal import EpisodeStatus, Journal
from datasets.selection import Facts, Where, facts
from datasets.store import EpisodeStore, StoreError
from station.review.take import Take, take_of, take_of_partial
from station.session.folder import SessionFolder

_OF_THE_HEADER = re.compile(r"\b(date|method)\b")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One recording of the list."""

    id: str
    status: EpisodeStatus | None = None
    """None: a leftover of an episode that was cut off, which nobody can judge."""
    entered: float = 0.0
    """s since 1970, when the journal heard of it; of a leftover, when it was written last."""

    @property
    def verdict(self) -> str:
        """success, failure, timeout, pending, void, pruned or partial."""
        if self.status is None:
            return "partial"
        if self.status.pruned:
            return "pruned"
        if self.status.void:
            return "void"
        return self.status.outcome.value if self.status.outcome else "pending"


class Catalogue:
    """The recordings of one session, newest first. May be used from several threads."""

    def __init__(self, folder: SessionFolder) -> None:
        """Read the journal. Raises JournalError."""
        self._folder = folder
        self._journal = Journal(folder.journal)
        self._headers: dict[str, EpisodeHeader] = {}
        self._reading = threading.Lock()

    def refresh(self) -> bool:
        """Take in what others wrote since; whether there was anything. Raises JournalError."""
        with self._reading:
            return bool(self._journal.refresh())

    def items(self, where: Where | None = None) -> list[Item]:
        """Those that `where` means (None: all, leftovers included), newest first."""
        with self._reading:
            episodes, lines = self._journal.ledger().episodes, self._journal.lines
            found = [
                Item(id=status.id, status=status, entered=lines[status.seq - 1].time)
                for status in reversed(episodes.values())
                if where is None or where(self._facts(status, where))
            ]
        return [*self._leftovers(), *found] if where is None or not where.text else found

    def load(self, item: Item) -> Take:
        """One recording with its pictures.

        Raises:
            StoreError: it is damaged, was moved away or pruned.
        """
        if item.status is None:
            return take_of_partial(self._folder.partial / item.id)
        if item.status.pruned:
            raise StoreError(f"The files of {item.id} were pruned; the journal keeps its lines.")
        return take_of(EpisodeStore(self._root(item.status)).load(item.id))

    def _facts(self, status: EpisodeStatus, where: Where) -> Facts:
        if not _OF_THE_HEADER.search(where.text):
            return Facts(status=status)
        if status.id not in self._headers:
            try:
                self._headers[status.id] = EpisodeStore(self._root(status)).header(status.id)
            except StoreError:
                return Facts(status=status)
        return facts(status, self._headers[status.id])

    def _root(self, status: EpisodeStatus) -> Path:
        return self._folder.demos if status.kind is EpisodeKind.DEMO else self._folder.episodes

    def _leftovers(self) -> list[Item]:
        """What a killed engine had flushed; those of an episode that was recorded again later as well."""
        if not self._folder.partial.is_dir():
            return []
        folders = sorted(entry for entry in self._folder.partial.iterdir() if entry.is_dir())
        return [Item(id=entry.name, entered=entry.stat().st_mtime) for entry in reversed(folders)]
