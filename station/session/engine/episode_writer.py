"""Commits ended episodes outside the loop, so that a slow disk delays neither keys nor moving cells.

One thread writes only to the store; the loop collects finished commits in the order in which episodes ended, writes
the journal line and only then reports that the motion has ended. Cut-off episodes go to ``partial/`` instead. What a
full disk refuses waits in `PendingWrites`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from datasets.durable import DiskFullError
from datasets.episode import Episode
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, EpisodeCutOff
from datasets.store import ChunkRecord, EpisodeStore
from station.session.core.events import CutOff, Event, MotionEnded
from station.session.engine.partial import PartialLog
from station.session.engine.pending_writes import PendingWrites
from station.session.engine.recorder import EpisodeRecorder

_REMEMBERED = 128
"""Chunk records cached for the learner, which needs them right after the round; at least one per cell."""


@dataclass(frozen=True, kw_only=True)
class _Commit:
    episode: Episode
    event: MotionEnded
    block: int | None
    written: Future[None]


class EpisodeWriter:
    """Moves episodes from memory to store and journal."""

    def __init__(
        self,
        store: EpisodeStore,
        journal: Journal,
        pending: PendingWrites,
        emit: Callable[[Event], None],
        partial: PartialLog,
    ) -> None:
        """`emit` gets MotionEnded once an episode is committed, and `partial` then forgets it; or its CutOff."""
        self._store = store
        self._journal = journal
        self._pending = pending
        self._emit = emit
        self._partial = partial
        self._underway: deque[_Commit] = deque()
        self._records: OrderedDict[str, ChunkRecord] = OrderedDict()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")

    @property
    def busy(self) -> bool:
        """Whether an episode is being written."""
        return bool(self._underway)

    def submit(self, episode: Episode, event: MotionEnded, block: int | None) -> None:
        """Queue an episode for commit; `event` follows when it is committed."""
        written = self._writer.submit(self._store.commit, episode)
        self._underway.append(_Commit(episode=episode, event=event, block=block, written=written))

    def cut_off(self, episode: str, recorder: EpisodeRecorder, reason: str) -> None:
        """Save the recording of an episode that will not be committed; its CutOff follows when it is on disk."""
        self._pending.write(lambda: self._put_aside(episode, recorder, reason))

    def collect(self, patience: float = 0.0) -> None:
        """Journal and announce committed episodes, in order; waits up to `patience` s for the first.

        Raises StoreError: an episode cannot be stored, for a reason other than a full disk.
        """
        if self._underway and patience > 0.0:
            wait([self._underway[0].written], timeout=patience)
        while self._underway and self._underway[0].written.done():
            self._settle(self._underway.popleft())

    def chunks(self, episode: str) -> ChunkRecord:
        """The chunk record of a committed episode; cached if recent. Raises StoreError."""
        record = self._records.pop(episode, None)
        return self._store.chunks(episode) if record is None else record

    def close(self) -> None:
        """Wait for the writer; the next engine adopts episodes committed without a line."""
        self._writer.shutdown(wait=True)

    def _settle(self, commit: _Commit) -> None:
        try:
            commit.written.result()
        except DiskFullError:
            self._pending.write(lambda: self._store.commit(commit.episode))
        self._pending.write(lambda: self._announce(commit))

    def _put_aside(self, episode: str, recorder: EpisodeRecorder, reason: str) -> None:
        kept = self._partial.keep(episode, recorder)
        lost = recorder.steps - kept
        self._journal.append(EpisodeCutOff(episode=episode, steps=kept, lost=lost, reason=reason))
        self._emit(CutOff(episode=episode, steps=kept, lost=lost))

    def _announce(self, commit: _Commit) -> None:
        self._journal.append(EpisodeCommitted.of(commit.episode, commit.block))
        self._partial.committed(commit.episode.header.id)
        self._remember(commit.episode)
        self._emit(commit.event)

    def _remember(self, episode: Episode) -> None:
        self._records[episode.header.id] = ChunkRecord(
            header=episode.header,
            steps=episode.steps,
            chunk_start=episode.chunk_start,
            chunk_length=episode.chunk_length,
            features=episode.features,
            decisions=episode.decisions,
        )
        while len(self._records) > _REMEMBERED:
            self._records.popitem(last=False)
