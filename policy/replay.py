"""The replay: what online episodes and their labels mean to a learner. A view of store and journal, never a file.

Rewards are sparse: 1 on the last executed step of a success, else 0. A chunk of n steps is one transition, with the
discounted sum of its rewards and the discount gamma^n towards the next decision. Entries stand in the order of their
episodes' ordinals whatever the order of labels, voids and restores, so that a replay rebuilt from the folder gives the
same batches as the one a running learner held. It decides nothing about learning.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.episode import Episode, EpisodeKind, Outcome
from datasets.errors import StationError
from datasets.observation import FloatArray
from policy.steering.interface import RecordSpec, Steering

if TYPE_CHECKING:
    from datasets.journal.journal import Ledger
    from datasets.store import ChunkRecord


class ReplayError(StationError):
    """The replay was asked for something it does not hold."""


class Timeout(StrEnum):
    """What a timeout means to a critic."""

    TERMINAL = "terminal"
    """Worth nothing from there on, like a failure."""
    BOOTSTRAP = "bootstrap"
    """The task could have gone on: the final observation's value counts."""


@runtime_checkable
class Discounting(Protocol):
    """A method with a discount and a view on timeouts; others get the replay's defaults."""

    gamma: float
    timeout: Timeout


@dataclass(frozen=True, kw_only=True)
class TransitionBatch:
    """B transitions, float32, names and shapes as in the method's `RecordSpec`."""

    features: dict[str, Tensor]
    """[B, ...] at the decision."""
    decisions: dict[str, Tensor]
    """[B, ...]"""
    next_features: dict[str, Tensor]
    """[B, ...] at the next decision, or at the final observation."""
    reward: Tensor
    """[B] discounted sum over the chunk's steps."""
    discount: Tensor
    """[B] gamma^length, 0 where terminal."""


@dataclass(frozen=True, kw_only=True)
class EpisodeTransitions:
    """One episode's chunks in their order, for methods that learn on-policy."""

    id: str
    outcome: Outcome
    policy_version: int
    features: dict[str, FloatArray]
    """[K+1, ...]"""
    decisions: dict[str, FloatArray]
    """[K, ...]"""
    reward: FloatArray
    """[K]"""
    discount: FloatArray
    """[K]"""
    length: NDArray[np.int64]
    """[K] executed steps."""


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a `sync` changed, by episode id."""

    added: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    """Episodes that cannot be learnt from, with the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """Where an episode's rows lie: K+1 feature rows from `start` on."""

    id: str
    ordinal: int
    start: int
    chunks: int
    policy_version: int

    @property
    def key(self) -> tuple[int, str]:
        return self.ordinal, self.id

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + self.chunks)


class _Column:
    """Rows of one shape that grow by doubling."""

    def __init__(self, shape: tuple[int, ...], kind: type[np.float32] | type[np.int64]) -> None:
        self.array: NDArray[Any] = np.zeros((1024, *shape), kind)
        self.size = 0

    def extend(self, rows: NDArray[Any]) -> None:
        """Append rows [n, ...]."""
        self.skip(len(rows))
        self.array[self.size - len(rows) : self.size] = rows

    def skip(self, count: int) -> None:
        """Append rows to be written later."""
        self.size += count
        while self.size > len(self.array):
            self.array = np.concatenate([self.array, np.zeros_like(self.array)])


class ReplayBuffer:
    """Labelled online chunks, kept in step with the journal by `sync`."""

    def __init__(
        self,
        record: RecordSpec,
        gamma: float = 0.99,
        *,
        timeout: Timeout = Timeout.TERMINAL,
        base_hash: str = "",
        observations: Callable[[str], Episode] | None = None,
    ) -> None:
        """An empty replay.

        Args:
            record: what the method stores per chunk.
            gamma: discount per environment step.
            timeout: what a timeout means.
            base_hash: features of any other base are refused; empty accepts all.
            observations: loads a whole episode, for methods that learn from images.
        """
        self.record = record
        self.gamma = gamma
        self.timeout = timeout
        self.base_hash = base_hash
        self._load_episode = observations
        self._features = {name: _Column(shape, np.float32) for name, shape in record.features.items()}
        self._decisions = {name: _Column(shape, np.float32) for name, shape in record.decisions.items()}
        self._reward = _Column((), np.float32)
        self._discount = _Column((), np.float32)
        self._length = _Column((), np.int64)
        self._stored: dict[str, _Entry] = {}
        self._refused: dict[str, str] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._order: list[_Entry] = []
        self._index = _Column((), np.int64)

    @classmethod
    def for_method(
        cls,
        method: Steering,
        *,
        base_hash: str = "",
        observations: Callable[[str], Episode] | None = None,
    ) -> ReplayBuffer:
        """The replay that `method` wants: its record, and its discount and timeouts where it has a view on them."""
        if isinstance(method, Discounting):
            return cls(
                method.record,
                method.gamma,
                timeout=method.timeout,
                base_hash=base_hash,
                observations=observations,
            )
        return cls(method.record, base_hash=base_hash, observations=observations)

    def __len__(self) -> int:
        """Chunks that can be sampled."""
        return self._index.size

    def __contains__(self, episode: str) -> bool:
        """Whether the episode's chunks can be sampled."""
        return episode in self._outcomes

    @property
    def entries(self) -> tuple[str, ...]:
        """Episode ids in canonical order."""
        return tuple(entry.id for entry in self._order)

    @property
    def refused(self) -> dict[str, str]:
        """Episodes that cannot be learnt from, with the reason."""
        return dict(self._refused)

    def chunks(self, episodes: Sequence[str]) -> int:
        """Chunks that these episodes contribute; those not in the replay contribute none."""
        return sum(self._stored[episode].chunks for episode in episodes if episode in self)

    def read_some(self, ledger: Ledger, load: Callable[[str], ChunkRecord], *, patience: float) -> int:
        """Load new episodes for `patience` s, at least one, ahead of `sync`; returns how many are left."""
        end = time.monotonic() + patience
        new = self._unread(_wanted(ledger))
        for read, episode in enumerate(new, start=1):
            self._store(load(episode), episode)
            if time.monotonic() >= end:
                return len(new) - read
        return 0

    def sync(self, ledger: Ledger, load: Callable[[str], ChunkRecord]) -> SyncReport:
        """Follow the journal: add, relabel, and remove what is void or pending again.

        `load` is called once per new episode. Cost is that of the changes, apart from one look at every status.
        """
        wanted = _wanted(ledger)
        removed = [episode for episode in self._outcomes if episode not in wanted]
        relabelled = [
            episode
            for episode, outcome in self._outcomes.items()
            if wanted.get(episode, outcome) is not outcome
        ]
        for episode in self._unread(wanted):
            self._store(load(episode), episode)
        added = [episode for episode in wanted if episode in self._stored and episode not in self._outcomes]
        for episode in removed:
            del self._outcomes[episode]
        for episode in added + relabelled:
            self._outcomes[episode] = wanted[episode]
            self._reward_episode(self._stored[episode], wanted[episode])
        self._reorder(added, removed)
        return SyncReport(
            added=tuple(added),
            relabelled=tuple(relabelled),
            removed=tuple(removed),
            refused={episode: self._refused[episode] for episode in wanted if episode in self._refused},
        )

    def sample(
        self, rng: np.random.Generator, batch: int, features: Sequence[str] | None = None
    ) -> TransitionBatch:
        """Draw transitions uniformly, with replacement; `features` names those wanted (default: all).

        Raises ReplayError when the replay is empty.
        """
        if not len(self):
            raise ReplayError("The replay is empty. Label an online episode before learning.")
        rows = torch.from_numpy(self._index.array[rng.integers(len(self), size=batch)])
        names = self.record.features if features is None else features
        return TransitionBatch(
            features={name: _gather(self._features[name], rows) for name in names},
            decisions={name: _gather(column, rows) for name, column in self._decisions.items()},
            next_features={name: _gather(self._features[name], rows + 1) for name in names},
            reward=_gather(self._reward, rows),
            discount=_gather(self._discount, rows),
        )

    def feature(self, name: str, limit: int | None = None) -> FloatArray:
        """[n, ...] the feature at the first `limit` decisions (default: all), in canonical order; a copy."""
        rows = self._index.array[: self._index.size][:limit]
        return np.asarray(self._features[name].array[rows], np.float32)

    def episode(self, episode: str) -> EpisodeTransitions:
        """One episode's chunks in order. Raises ReplayError when it is not in the replay."""
        if episode not in self._outcomes:
            raise ReplayError(
                f"Episode {episode} is not in the replay: it is void, unlabelled, or was refused."
            )
        entry = self._stored[episode]
        observed = slice(entry.start, entry.start + entry.chunks + 1)
        return EpisodeTransitions(
            id=episode,
            outcome=self._outcomes[episode],
            policy_version=entry.policy_version,
            features={name: column.array[observed].copy() for name, column in self._features.items()},
            decisions={name: column.array[entry.rows].copy() for name, column in self._decisions.items()},
            reward=self._reward.array[entry.rows].copy(),
            discount=self._discount.array[entry.rows].copy(),
            length=self._length.array[entry.rows].copy(),
        )

    def observations(self, episode: str) -> Episode:
        """The whole episode, images included. Raises ReplayError when this replay was built without a loader."""
        if self._load_episode is None:
            raise ReplayError("This replay holds no images. Build it with a loader of whole episodes.")
        return self._load_episode(episode)

    def fingerprint(self) -> str:
        """SHA-256 of everything that can be sampled, in order: equal for a rebuilt and a running replay."""
        digest = hashlib.sha256()
        for entry in self._order:
            digest.update(f"{entry.id} {entry.chunks} {self._outcomes[entry.id]}\n".encode())
            transitions = self.episode(entry.id)
            for arrays in (transitions.features, transitions.decisions):
                for name in sorted(arrays):
                    digest.update(name.encode())
                    digest.update(np.ascontiguousarray(arrays[name]).tobytes())
            for values in (transitions.reward, transitions.discount, transitions.length):
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def _unread(self, wanted: Iterable[str]) -> list[str]:
        return [name for name in wanted if name not in self._stored and name not in self._refused]

    def _store(self, chunk_record: ChunkRecord, episode: str) -> None:
        reason = self._unfit(chunk_record)
        if reason:
            self._refused[episode] = reason
            return
        header, chunks = chunk_record.header, len(chunk_record.chunk_start)
        self._stored[episode] = _Entry(
            id=episode,
            ordinal=header.ordinal,
            start=self._length.size,
            chunks=chunks,
            policy_version=header.policy_version,
        )
        for name, column in self._features.items():
            column.extend(chunk_record.features[name])
        for name, column in self._decisions.items():
            column.extend(chunk_record.decisions[name])
            column.skip(1)  # the final observation has no decision; all columns stay aligned
        self._length.extend(chunk_record.chunk_length)
        self._length.skip(1)
        self._reward.skip(chunks + 1)
        self._discount.skip(chunks + 1)

    def _unfit(self, chunk_record: ChunkRecord) -> str:
        """Why nothing can be learnt from this record; empty when it is fit."""
        chunks = len(chunk_record.chunk_start)
        if not chunks:
            return "It ended before the first decision."
        if self.base_hash and chunk_record.header.base_hash != self.base_hash:
            return f"Its features come from another base ({chunk_record.header.base_hash[:12] or 'none'})."
        wanted = {name: (chunks + 1, *shape) for name, shape in self.record.features.items()}
        wanted |= {name: (chunks, *shape) for name, shape in self.record.decisions.items()}
        held = {**chunk_record.features, **chunk_record.decisions}
        odd = [name for name, shape in wanted.items() if name not in held or held[name].shape != shape]
        return f"Its {', '.join(odd)} do not have the shape this method stores." if odd else ""

    def _reward_episode(self, entry: _Entry, outcome: Outcome) -> None:
        length = self._length.array[entry.rows]
        reward = np.zeros(entry.chunks)
        discount = self.gamma ** length.astype(np.float64)
        if outcome is Outcome.SUCCESS:
            reward[-1] = self.gamma ** (length[-1] - 1.0)
        if outcome is not Outcome.TIMEOUT or self.timeout is Timeout.TERMINAL:
            discount[-1] = 0.0
        self._reward.array[entry.rows] = reward
        self._discount.array[entry.rows] = discount

    def _reorder(self, added: list[str], removed: list[str]) -> None:
        """Append to the order where that suffices, else sort anew."""
        entries = sorted((self._stored[episode] for episode in added), key=lambda entry: entry.key)
        late = bool(entries) and bool(self._order) and entries[0].key < self._order[-1].key
        if removed or late:
            entries = sorted(
                (self._stored[episode] for episode in self._outcomes), key=lambda entry: entry.key
            )
            self._order = []
            self._index.size = 0
        for entry in entries:
            self._order.append(entry)
            self._index.extend(np.arange(entry.start, entry.start + entry.chunks))


def _wanted(ledger: Ledger) -> dict[str, Outcome]:
    episodes = ledger.episodes
    return episodes.outcomes(episodes.of(EpisodeKind.ONLINE) & ~episodes.rows["void"])


def _gather(column: _Column, rows: Tensor) -> Tensor:
    return torch.from_numpy(column.array).index_select(0, rows)
