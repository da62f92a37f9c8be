"""The interface of every steering method and fine-tuner.

A method computes features of observations, chooses action chunks, and learns from a replay, which is a view of the
store and the journal. The session stores what the method declares in its `RecordSpec` and returns it uninterpreted.
The table in `SteeringSettings` lists all methods: adding one takes one file and one line.
Symbols are the paper's: c embedding, z bottleneck latent, dz residual (in shapes: size of z), lam its scale.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from datasets.observation import FloatArray
from datasets.settings import OneOf
from policy.base import BasePolicy, Window
from policy.replay import RecordSpec, ReplayBuffer

__all__ = ["Decision", "Metrics", "RecordSpec", "Steering", "SteeringSettings", "Window"]

Metrics = dict[str, float]
"""Live metrics of one gradient step; the method chooses the names (``critic_loss``, ``actor_loss``, ``alpha``, ``q``,
``rms_ratio`` where applicable)."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A method's decision for B cells."""

    actions: FloatArray
    """[B, n_action_steps, da] in the task's units."""
    chosen: dict[str, FloatArray]
    """One array per entry of `RecordSpec.decisions`, each [B, ...]."""


class Steering(ABC):
    """A steering method. Owns its networks and, if it fine-tunes, its own copy of the base."""

    name: ClassVar[str]
    record: RecordSpec
    n_action_steps: int
    """Number of steps of each chunk to execute."""
    warmup_chunks: int = 0
    """Chunks collected before the first gradient step; for display only, the method itself decides when to learn."""

    @abstractmethod
    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        """Compute the entries of `RecordSpec.features`, each [B, ...]; row b draws only from rngs[b]."""

    @abstractmethod
    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        """Choose chunks for B cells; row b draws only from rngs[b]. Without `explore`, act as in evaluation."""

    @abstractmethod
    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        """Number of gradient steps `learn` would take now; 0 during warm-up."""

    @abstractmethod
    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        """Learn, yielding after each gradient step so the session can handle keys in between.

        A pure function of the previous state, the replay and `rng`. `fresh`: ids of the episodes that ended since the
        last update block, for on-policy methods.
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
    """Name of the online method; for a custom one, module:Class of its settings."""

    @abstractmethod
    def build(self, base: BasePolicy, seed: int, *, n_action_steps: int) -> Steering:
        """The method on this base, with networks initialised from `seed`, executing `n_action_steps` of each chunk."""
