"""The one interface behind which every steering method and fine-tuner sits.

A method computes features of what it observes, decides on a chunk, and learns from a replay that is a view of the
store and the journal. The session stores whatever the method declares in its `RecordSpec` and hands it back; it never
looks inside. The table in `SteeringSettings` names all methods there are: a new one is one file and one line.
Symbols are the paper's: c embedding, z bottleneck latent, dz residual, lam its scale.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datasets.observation import FloatArray
from datasets.settings import OneOf

if TYPE_CHECKING:
    from policy.base import BasePolicy
    from policy.replay import ReplayBuffer

Metrics = dict[str, float]
"""Live figures of one gradient step; names are the method's (``critic_loss``, ``actor_loss``, ``alpha``, ``q``,
``rms_ratio`` where it has them)."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The last N observations of B cells; the oldest is repeated where an episode is younger than N."""

    images: dict[str, NDArray[np.uint8]]
    """camera -> uint8 [B, N, height, width, 3]"""
    proprioception: FloatArray
    """[B, N, dq]"""

    @property
    def batch(self) -> int:
        """B."""
        return len(self.proprioception)


@dataclass(frozen=True, kw_only=True)
class RecordSpec:
    """What the session stores for a method: name -> shape of one entry."""

    features: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Computed from every observation it decides on and from the final one: stored [K+1, ...]."""
    decisions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Chosen at every decision: stored [K, ...]."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a method decided for B cells."""

    actions: FloatArray
    """[B, execute, da] in the task's units."""
    chosen: dict[str, FloatArray]
    """Per `RecordSpec.decisions`, each [B, ...]."""


class Steering(ABC):
    """A method. Owns its networks, and a changed copy of the base where it fine-tunes."""

    name: ClassVar[str]
    record: RecordSpec
    execute: int
    """Steps executed of each chunk."""
    warmup_chunks: int = 0
    """Chunks it gathers before its first gradient step, to be shown; when to learn it decides by itself."""

    @abstractmethod
    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        """Per `RecordSpec.features`, each [B, ...]; row b draws only from rngs[b]."""

    @abstractmethod
    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        """Decide for B cells; row b draws only from rngs[b]. Without `explore`: the method's evaluation behaviour."""

    @abstractmethod
    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        """How many gradient steps `learn` would take now; 0 while warming up."""

    @abstractmethod
    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        """Learn, yielding after each gradient step so that the session can answer keys in between.

        A pure function of the state before it, the replay and `rng`. `fresh` are the ids of the episodes that ended
        since the last block, for methods that learn on-policy.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything `learn` and `act` depend on besides the frozen base, optimiser state and counters included."""

    @abstractmethod
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`. Raises ValueError when names or shapes differ."""


class SteeringSettings(OneOf):
    """The online method."""

    chooser: ClassVar[str] = "method"
    kinds: ClassVar[Mapping[str, str]] = {"zprl": "policy.steering.zprl:ZPRLSettings"}
    usual: ClassVar[str] = "zprl"

    method: str
    """Which method learns online; one of your own is named module:Class (of its settings)."""

    @abstractmethod
    def build(self, base: BasePolicy, seed: int, *, execute: int) -> Steering:
        """The method over this base, fresh networks drawn from `seed`, executing so many steps of each chunk."""
