"""A session's reviewable recordings: demonstrations, online and evaluation episodes, and ``partial/``.

Follows the journal while others write it, and reads no arrays; `station.review.take` loads one recording. Headers are
read only if a filter needs what the journal lacks (a date, a method), and each only once.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import lock
from datasets.episode import EpisodeHeader, EpisodeKind
from datasets.journal.journal import EpisodeStatus, Journal, Line
from datasets.journal.records import AboutEpisode, EpisodeCutOff, Labelled, Pruned, Record, Restored, Voided
from datasets.selection import Facts, Where, facts
from datasets.store import EpisodeStore, StoreError
from station.review.take import Take, take_of, take_of_partial
from station.session.engine.partial import leftovers
from station.session.folder import SessionFolder
from station.session.link.client import running_pid

_HISTORY: tuple[type[Record], ...] = (Labelled, Voided, Restored, Pruned, EpisodeCutOff)
"""What is shown of an episode's past."""
_OF_THE_HEADER = re.compile(r"\b(date|method)\b")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One recording of the list."""

    id: str
    status: EpisodeStatus | None = None
    """None: a cut-off or running episode; it cannot be labelled."""
    running: bool = False
    """An engine is recording it."""
    steps: int | None = None
    """None: known only from its files."""
    reason: str = ""
    """Why it was cut off."""
    entered: float = 0.0
    """s since 1970 of its journal line; of its last write, if it was cut off without one."""

    @property
    def verdict(self) -> str:
        """success, failure, timeout, pending, void, pruned, running or partial."""
        if self.status is None:
            return "running" if self.running else "partial"
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
        """Read new journal lines; returns whether there were any. Raises JournalError."""
        with self._reading:
            return bool(self._journal.refresh())

    def items(self, where: Where | None = None, *, kept: Collection[str] = ()) -> list[Item]:
        """Those that `where` means (None: all, and what was cut off) and those `kept` by name, newest first."""
        with self._reading:
            ledger = self._journal.ledger()
            found = [
                (status.seq, Item(id=status.id, status=status, steps=status.steps, entered=status.time))
                for status in ledger.episodes.values()
                if where is None or status.id in kept or where(self._facts(status, where))
            ]
            if where is None or not where.text:
                found += self._leftovers(ledger.lines_of(EpisodeCutOff))
        return [item for _, item in sorted(found, key=lambda row: row[0], reverse=True)]

    def load(self, item: Item) -> Take:
        """One recording with its images.

        Raises:
            StoreError: it is damaged, was moved away or pruned.
        """
        if item.status is None:
            return take_of_partial(self._folder.partial / item.id, running=item.running)
        if item.status.pruned:
            raise StoreError(f"The files of {item.id} were pruned; the journal keeps its lines.")
        return take_of(EpisodeStore(self._root(item.status)).load(item.id))

    def history(self, episode: str) -> tuple[Line[Record], ...]:
        """Every label, void, restore and prune of an episode, or why it was cut off, oldest first."""
        with self._reading:
            said = self._journal.about(episode)
        return tuple(line for line in said if isinstance(line.record, _HISTORY))

    def histories(self) -> dict[str, list[Line[Record]]]:
        """The same for every episode, in one pass."""
        with self._reading:
            ledger = self._journal.ledger()
            said = [line for kind in _HISTORY for line in ledger.lines_of(kind)]
        found: dict[str, list[Line[Record]]] = {}
        for line in sorted(said, key=lambda each: each.seq):
            for episode in _named(line.record):
                found.setdefault(episode, []).append(line)
        return found

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

    def _leftovers(self, lines: Sequence[Line[EpisodeCutOff]]) -> list[tuple[int, Item]]:
        """Cut-off episodes in journal order; unjournaled ones last."""
        told = {line.record.episode: line for line in lines}
        found = leftovers(self._folder.partial)
        recording = any(folder.name not in told for folder in found) and self._is_recorded()
        return [_cut_off(folder, told.get(folder.name), recording=recording) for folder in found]

    def _is_recorded(self) -> bool:
        """Whether an engine works on the session: it holds the lock and has announced itself; a command has not."""
        pid = lock.holder(self._folder.lock)
        return pid is not None and pid == running_pid(self._folder)


def _named(record: Record) -> list[str]:
    """The episodes that a line of their history is about."""
    if isinstance(record, Pruned):
        return record.episodes
    return [record.episode] if isinstance(record, AboutEpisode) else []


def _cut_off(folder: Path, line: Line[EpisodeCutOff] | None, *, recording: bool) -> tuple[int, Item]:
    """What lies in ``partial/`` of one episode; a running engine has already entered what earlier ones left."""
    if line is None:
        words = (
            "it still runs" if recording else "its engine was killed; the next one enters it in the journal"
        )
        entered = folder.stat().st_mtime
        return sys.maxsize, Item(id=folder.name, running=recording, entered=entered, reason=words)
    record = line.record
    return line.seq, Item(id=folder.name, steps=record.steps, reason=record.reason, entered=line.time)
