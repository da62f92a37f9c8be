"""The replay buffer: labelled online episodes as transitions. A view of store and journal, never a file of its own.

Rewards are sparse: 1 on the last executed step of a success, else 0. A chunk of n steps is one transition, with the
discounted sum of its rewards and the discount gamma^n towards the next decision. Entries are sorted by episode ordinal,
regardless of the order of labels, voids and restores, so a buffer rebuilt from disk yields the same batches as the one
in a running learner. The buffer makes no decisions about learning.
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

if TYPE_CHECKING:
    from datasets.journal.journal import Ledger
    from datasets.store import ChunkRecord


DEVICE_LIMIT = 4 * 2**30
"""Bytes of rows that are also held on a GPU: about two million chunks of a 500-dimensional embedding."""


class ReplayError(StationError):
    """The replay does not hold what was requested."""


class Timeout(StrEnum):
    """How a critic treats a timeout."""

    TERMINAL = "terminal"
    """The final state has value 0, as after a failure."""
    BOOTSTRAP = "bootstrap"
    """The task could have continued: bootstrap from the final observation's value."""


@dataclass(frozen=True, kw_only=True)
class RecordSpec:
    """Arrays that the session stores for a method: name -> shape of one entry."""

    features: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Computed from every observation at a decision, and from the final one; stored as [K+1, ...]."""
    decisions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Chosen at every decision; stored as [K, ...]."""


class HasRecord(Protocol):
    """A steering method, as far as the replay knows it."""

    record: RecordSpec


@runtime_checkable
class Discounting(Protocol):
    """A method that defines its discount and its treatment of timeouts; others get the replay's defaults."""

    gamma: float
    timeout: Timeout


@dataclass(frozen=True, kw_only=True)
class TransitionBatch:
    """B transitions, float32, names and shapes as in the method's `RecordSpec`."""

    features: dict[str, Tensor]
    """[B, ...] at the decision"""
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
    """One episode's chunks in order, for on-policy methods."""

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
    """Changes made by a `sync`, as episode ids."""

    added: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    """Episodes that cannot be used for learning -> the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """Location of an episode's rows: K+1 feature rows from `start` on."""

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
    """Rows of one shape that grow by doubling; on a GPU, a copy of them is kept there."""

    def __init__(self, shape: tuple[int, ...], kind: type[np.float32] | type[np.int64]) -> None:
        self.array: NDArray[Any] = np.zeros((1024, *shape), kind)
        self.size = 0
        self._copy: Tensor | None = None
        self._current = 0
        """Rows of the copy that are up to date."""

    def extend(self, rows: NDArray[Any]) -> None:
        """Append rows [n, ...]."""
        self.skip(len(rows))
        self.array[self.size - len(rows) : self.size] = rows

    def skip(self, count: int) -> None:
        """Append rows that are left unset."""
        self.size += count
        while self.size > len(self.array):
            self.array = np.concatenate([self.array, np.zeros_like(self.array)])

    def write(self, rows: slice, values: NDArray[Any]) -> None:
        """Replace rows."""
        self.array[rows] = values
        self._current = min(self._current, rows.start)

    def gather(self, rows: Tensor, device: torch.device, *, keep: bool) -> Tensor:
        """These rows [B, ...] on `device`, where `rows` [B] are; `keep` holds a copy of all of them there."""
        if device.type == "cpu":
            return torch.from_numpy(self.array).index_select(0, rows)
        if keep:
            return self._on(device).index_select(0, rows)
        self._copy, self._current = None, 0
        picked = torch.from_numpy(self.array).index_select(0, rows.cpu())
        return picked.pin_memory().to(device, non_blocking=True)

    def _on(self, device: torch.device) -> Tensor:
        """The copy on `device`, up to date."""
        if self._copy is None or len(self._copy) < len(self.array):
            grown = torch.zeros(self.array.shape, dtype=torch.from_numpy(self.array[:0]).dtype, device=device)
            if self._copy is not None:
                grown[: self._current] = self._copy[: self._current]
            self._copy = grown
        if self._current < self.size:
            fresh = slice(self._current, self.size)
            self._copy[fresh] = torch.from_numpy(self.array[fresh]).to(device)
            self._current = self.size
        return self._copy


class ReplayBuffer:
    """Labelled online chunks, kept up to date with the journal by `sync`."""

    def __init__(
        self,
        record: RecordSpec,
        gamma: float = 0.99,
        *,
        timeout: Timeout = Timeout.TERMINAL,
        base_hash: str = "",
        observations: Callable[[str], Episode] | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Create an empty replay.

        Args:
            record: what the method stores per chunk.
            gamma: discount per environment step.
            timeout: how timeouts are treated.
            base_hash: refuse features of any other base policy; empty accepts all.
            observations: loads a whole episode, for methods that learn from images.
            device: where batches are sampled (None: on the CPU). A GPU also holds a copy of all rows up to
                `DEVICE_LIMIT` bytes; beyond, batches are copied to it one by one.
        """
        self.record = record
        self.gamma = gamma
        self.timeout = timeout
        self.base_hash = base_hash
        self.device = device or torch.device("cpu")
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
        method: HasRecord,
        *,
        base_hash: str = "",
        observations: Callable[[str], Episode] | None = None,
        device: torch.device | None = None,
    ) -> ReplayBuffer:
        """A replay for `method`: its record and, if it defines them, its discount and treatment of timeouts."""
        if isinstance(method, Discounting):
            return cls(
                method.record,
                method.gamma,
                timeout=method.timeout,
                base_hash=base_hash,
                observations=observations,
                device=device,
            )
        return cls(method.record, base_hash=base_hash, observations=observations, device=device)

    def __len__(self) -> int:
        """Number of chunks that can be sampled."""
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
        """Episodes that cannot be used for learning -> the reason."""
        return dict(self._refused)

    def chunks(self, episodes: Sequence[str]) -> int:
        """Number of chunks of these episodes; episodes not in the replay count 0."""
        return sum(self._stored[episode].chunks for episode in episodes if episode in self)

    def read_some(self, ledger: Ledger, load: Callable[[str], ChunkRecord], *, patience: float) -> int:
        """Load new episodes ahead of `sync`, at least one, for up to `patience` s; returns how many remain."""
        end = time.monotonic() + patience
        new = self._unread(_wanted(ledger))
        for read, episode in enumerate(new, start=1):
            self._store(load(episode), episode)
            if time.monotonic() >= end:
                return len(new) - read
        return 0

    def sync(self, ledger: Ledger, load: Callable[[str], ChunkRecord]) -> SyncReport:
        """Apply the journal: add and relabel episodes, and remove those that are void or pending again.

        `load` is called once per new episode. The cost grows with the changes, plus one pass over all statuses.
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
        """Draw transitions uniformly with replacement; `features` names the features to return (default: all).

        Raises ReplayError when the replay is empty.
        """
        if not len(self):
            raise ReplayError("The replay is empty. Label an online episode before learning.")
        rows = torch.from_numpy(self._index.array[rng.integers(len(self), size=batch)]).to(self.device)
        names = self.record.features if features is None else features
        keep = self.bytes <= DEVICE_LIMIT

        def gathered(column: _Column, rows: Tensor) -> Tensor:
            return column.gather(rows, self.device, keep=keep)

        return TransitionBatch(
            features={name: gathered(self._features[name], rows) for name in names},
            decisions={name: gathered(column, rows) for name, column in self._decisions.items()},
            next_features={name: gathered(self._features[name], rows + 1) for name in names},
            reward=gathered(self._reward, rows),
            discount=gathered(self._discount, rows),
        )

    @property
    def bytes(self) -> int:
        """Memory of the rows, with the room that they have to grow."""
        columns = (*self._features.values(), *self._decisions.values(), self._reward, self._discount)
        return sum(column.array.nbytes for column in columns)

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
        """SHA-256 over everything that can be sampled, in order: equal for a rebuilt and a running replay."""
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
            column.skip(1)  # the final observation has no decision; keep all columns aligned
        self._length.extend(chunk_record.chunk_length)
        self._length.skip(1)
        self._reward.skip(chunks + 1)
        self._discount.skip(chunks + 1)

    def _unfit(self, chunk_record: ChunkRecord) -> str:
        """Why this record cannot be used for learning; empty if it can."""
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
        self._reward.write(entry.rows, reward)
        self._discount.write(entry.rows, discount)

    def _reorder(self, added: list[str], removed: list[str]) -> None:
        """Append to the order where that suffices, otherwise re-sort."""
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
