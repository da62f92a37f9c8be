"""Commits ended episodes beside the loop, so that a slow disk holds up neither keys nor the cells that still move.

One thread writes to the store and nothing else; the loop collects what is done, in the order in which it ended, writes
the journal line and only then says that the motion has ended. What was cut off goes to ``partial/`` instead. What a
full disk refuses waits in the keeper.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from datasets.durable import DiskFullError
from datasets.episode import Episode
from datasets.journal.journal import EPISODE, Journal, episode_fields
from datasets.store import ChunkRecord, EpisodeStore
from station.session.core.events import CutOff, Event, MotionEnded
from station.session.engine.partial import PartialLog
from station.session.engine.pending_writes import PendingWrites
from station.session.engine.recorder import EpisodeRecorder
from station.session.operations import CUT_OFF

_REMEMBERED = 128
"""Chunk records kept for the learner, which wants them right after the round; at least one for each cell."""


@dataclass(frozen=True, kw_only=True)
class _Commit:
    episode: Episode
    event: MotionEnded
    block: int | None
    written: Future[None]


class EpisodeWriter:
    """The way of an episode from memory to store and journal."""

    def __init__(
        self,
        store: EpisodeStore,
        journal: Journal,
        keeper: PendingWrites,
        emit: Callable[[Event], None],
        partial: PartialLog,
    ) -> None:
        """`emit` takes the MotionEnded of every episode that is safe, and `partial` forgets it then; or its CutOff."""
        self._store = store
        self._journal = journal
        self._keeper = keeper
        self._emit = emit
        self._partial = partial
        self._underway: deque[_Commit] = deque()
        self._records: OrderedDict[str, ChunkRecord] = OrderedDict()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")

    @property
    def busy(self) -> bool:
        """Whether an episode is on its way."""
        return bool(self._underway)

    def submit(self, episode: Episode, event: MotionEnded, block: int | None) -> None:
        """Put an episode on its way; `event` follows when it is safe."""
        written = self._writer.submit(self._store.commit, episode)
        self._underway.append(_Commit(episode=episode, event=event, block=block, written=written))

    def cut_off(self, episode: str, recorder: EpisodeRecorder, reason: str) -> None:
        """Keep what was recorded of an episode that will not be committed; its CutOff follows when that is safe."""
        self._keeper.write(lambda: self._put_aside(episode, recorder, reason))

    def collect(self, patience: float = 0.0) -> None:
        """Journal and announce what is in the store, in order; waits up to `patience` s for the first.

        Raises StoreError: an episode cannot be stored, for another reason than a full disk.
        """
        if self._underway and patience > 0.0:
            wait([self._underway[0].written], timeout=patience)
        while self._underway and self._underway[0].written.done():
            self._settle(self._underway.popleft())

    def chunks(self, episode: str) -> ChunkRecord:
        """The chunk record of a committed episode; from memory where it is fresh. Raises StoreError."""
        record = self._records.pop(episode, None)
        return self._store.chunks(episode) if record is None else record

    def close(self) -> None:
        """Wait for the writer; what it has committed without a line is adopted by the next engine."""
        self._writer.shutdown(wait=True)

    def _settle(self, commit: _Commit) -> None:
        try:
            commit.written.result()
        except DiskFullError:
            self._keeper.write(lambda: self._store.commit(commit.episode))
        self._keeper.write(lambda: self._announce(commit))

    def _put_aside(self, episode: str, recorder: EpisodeRecorder, reason: str) -> None:
        kept = self._partial.keep(episode, recorder)
        lost = recorder.steps - kept
        self._journal.append(CUT_OFF, episode=episode, steps=kept, lost=lost, reason=reason)
        self._emit(CutOff(episode=episode, steps=kept, lost=lost))

    def _announce(self, commit: _Commit) -> None:
        self._journal.append(EPISODE, **episode_fields(commit.episode, commit.block))
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
