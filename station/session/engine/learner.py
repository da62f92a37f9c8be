"""Runs update blocks one gradient step at a time, and can rerun recorded ones exactly.

A block is a pure function of the learner before it, the journal up to the block's recorded line, and a random stream
of its own. What happens in a block is up to the method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from datasets.episode import EpisodeKind
from datasets.errors import StationError
from datasets.journal.journal import Journal, Ledger, Line
from datasets.journal.records import CheckpointSaved, UpdateBegun
from datasets.randomness import stream
from datasets.store import ChunkRecord, EpisodeStore, StoreError
from policy.replay import ReplayBuffer
from policy.steering.interface import Metrics, Steering
from station.session.engine.checkpoint import (
    NEWEST,
    PREVIOUS,
    CheckpointError,
    CheckpointFacts,
    Checkpoints,
)

_SMOOTH = 0.95
_READING = 0.03
"""Approximate s per slice of loading."""


class LearnerError(StationError):
    """The learner cannot continue from the journal."""


@dataclass(frozen=True, kw_only=True)
class LearningProgress:
    """Live figures of the running or last block."""

    done: int = 0
    planned: int = 0
    rate: float = 0.0
    """Gradient steps per second."""
    metrics: Metrics | None = None
    reading: int = 0
    """Past episodes still to be loaded into the replay buffer."""


class Learner:
    """The method's networks between checkpoints."""

    def __init__(
        self,
        steering: Steering,
        replay: ReplayBuffer,
        *,
        journal: Journal,
        store: EpisodeStore,
        checkpoints: Checkpoints,
        base_hash: str,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """`steering` and `replay` are empty; `restore` brings them up to date."""
        self.steering = steering
        self.replay = replay
        self.blocks = 0
        """Update blocks done."""
        self.policy_version = 0
        self.steps = 0
        """Gradient steps done."""
        self.progress = LearningProgress()
        self._journal = journal
        self.chunks: Callable[[str], ChunkRecord] = store.chunks
        """Source of an episode's chunks for the replay buffer; a running engine caches the newest."""
        self._checkpoints = checkpoints
        self._base_hash = base_hash
        self._seed = seed
        self._device = device
        self._block: _Block | None = None
        self._read_through = -1
        newest = journal.ledger().last_of(CheckpointSaved)
        self._journaled = newest.record.update if newest else 0

    @property
    def begun(self) -> int:
        """Update blocks begun according to the journal."""
        return len(self._updates)

    @property
    def _updates(self) -> Sequence[Line[UpdateBegun]]:
        return self._journal.ledger().lines_of(UpdateBegun)

    def restore(self) -> list[str]:
        """Load the newest intact checkpoint; returns sentences for the log.

        Raises:
            LearnerError: it belongs to another method or base.
        """
        said = []
        for name in (NEWEST, PREVIOUS):
            try:
                state, facts = self._checkpoints.load(name)
            except FileNotFoundError:
                continue
            except CheckpointError as error:
                said.append(f"{error} The one before it is used, and what it lacks is learnt again.")
                continue
            self._adopt(facts)
            try:
                self.steering.load_state(state)
            except ValueError as error:
                raise LearnerError(
                    f"The {name} checkpoint does not fit this session's method. {error}"
                ) from error
            return [*said, f"Learner restored after update block {facts.update} ({name} checkpoint)."]
        return said

    def read_ahead(self) -> bool:
        """Load some past episodes into the replay buffer, unless a block runs; returns whether there are more.

        Raises LearnerError: one of them is damaged.
        """
        if self._block is not None or self._read_through == self._journal.last_seq:
            return False
        ledger = self._journal.ledger()
        try:
            left = self.replay.read_some(ledger, self.chunks, patience=_READING)
        except StoreError as error:
            raise LearnerError(str(error)) from error
        self.progress = replace(self.progress, reading=left)
        if not left:
            self._read_through = ledger.through
            if self.blocks >= self.begun:
                self.replay.sync(ledger, self.chunks)
        return left > 0

    def slice(self) -> bool:
        """Load more, begin the next block, or take one gradient step; True once every begun block is done.

        The next block is the first journaled one that the learner lacks; if there is none, a new one is journaled.

        Raises:
            DiskFullError: the block could not be written; call again later. LearnerError.
        """
        if self._block is None:
            self._block = None if self.read_ahead() else self._begin()
            return False
        metrics = next(self._block.steps, None)
        if metrics is not None:
            self._count(self._block, metrics)
            return False
        self._complete(self._block)
        self._block = None
        return self.blocks >= len(self._updates)

    def save(self) -> None:
        """Checkpoint, then its journal line. Raises DiskFullError; then call again later."""
        facts = CheckpointFacts(
            method=self.steering.name,
            base_hash=self._base_hash,
            update=self.blocks,
            policy_version=self.policy_version,
            steps=self.steps,
        )
        self._checkpoints.save(self.steering.state(), facts)
        self.journal_checkpoint()

    def journal_checkpoint(self) -> None:
        """Journal the newest checkpoint, unless already journaled."""
        if self.blocks <= self._journaled:
            return
        self._journal.append(
            CheckpointSaved(update=self.blocks, policy_version=self.policy_version, steps=self.steps)
        )
        self._journaled = self.blocks

    def _adopt(self, facts: CheckpointFacts) -> None:
        if facts.method != self.steering.name or facts.base_hash != self._base_hash:
            raise LearnerError(
                f"The checkpoints in {self._checkpoints.folder} belong to {facts.method} on base "
                f"{facts.base_hash[:12]}, this session runs {self.steering.name} on {self._base_hash[:12]}. "
                "Put the matching base back, or start a new session."
            )
        if facts.update > self.begun:
            raise LearnerError(
                f"The checkpoints in {self._checkpoints.folder} know {facts.update} update blocks, the journal "
                f"{self.begun}. The journal is an older copy: put the newer one back."
            )
        self.blocks, self.policy_version, self.steps = facts.update, facts.policy_version, facts.steps

    def _begin(self) -> _Block:
        updates = self._updates
        recorded = updates[self.blocks].record if self.blocks < len(updates) else None
        ledger = self._journal.ledger(recorded.through if recorded else None)
        self.replay.sync(ledger, self.chunks)
        fresh = self._fresh(ledger)
        if recorded is None:
            recorded = UpdateBegun(
                ordinal=self.blocks,
                through=ledger.through,
                steps=self.steering.planned_updates(self.replay, fresh),
                device=self._device,
            )
            self._journal.append(recorded)
        return self._opened(recorded.steps, fresh)

    def _opened(self, planned: int, fresh: list[str]) -> _Block:
        self.progress = LearningProgress(
            planned=planned, rate=self.progress.rate, metrics=self.progress.metrics
        )
        rng = stream(self._seed, "update", self.blocks)
        steps = self.steering.learn(self.replay, fresh, rng) if planned else iter(())
        return _Block(planned=planned, steps=steps, began=time.monotonic())

    def _fresh(self, ledger: Ledger) -> list[str]:
        """Usable online episodes that ended since the previous block, by ordinal."""
        since = self._updates[self.blocks - 1].record.through if self.blocks else 0
        episodes = ledger.episodes
        late = episodes.where(episodes.of(EpisodeKind.ONLINE) & (episodes.rows["seq"] > since))
        fresh = [status for status in late if status.id in self.replay]
        return [status.id for status in sorted(fresh, key=lambda status: status.ordinal)]

    def _count(self, block: _Block, metrics: Metrics) -> None:
        now = time.monotonic()
        block.done += 1
        period = max(now - block.began, 1e-9)
        block.began = now
        old = self.progress.rate
        rate = 1.0 / period if old == 0.0 else 1.0 / (_SMOOTH / old + (1.0 - _SMOOTH) * period)
        self.progress = LearningProgress(done=block.done, planned=block.planned, rate=rate, metrics=metrics)

    def _complete(self, block: _Block) -> None:
        if block.done != block.planned:
            raise LearnerError(
                f"Update block {self.blocks} took {block.done} gradient steps where its journal line says "
                f"{block.planned}. The method or the stored episodes have changed; run 'station verify'."
            )
        self.blocks += 1
        self.steps += block.done
        self.policy_version += block.done > 0


@dataclass(kw_only=True)
class _Block:
    planned: int
    steps: Iterator[Metrics]
    began: float
    done: int = 0
