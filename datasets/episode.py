"""An episode in memory and in the store: immutable once committed; only the journal labels it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.observation import FloatArray, Image, TimeArray
from datasets.spec import DataSpec


class EpisodeKind(StrEnum):
    """Where an episode comes from, and so what it counts towards."""

    DEMO = "demo"
    ONLINE = "online"
    EVALUATION = "evaluation"
    """Stored, but excluded from replay, rolling success rate and env_steps."""


class Outcome(StrEnum):
    """The verdict on an episode. An episode whose outcome is None awaits its label."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    """Step limit reached; does not count as a success."""


class Ending(StrEnum):
    """Why the motion ended: a fact of the recording that relabelling never changes."""

    OPERATOR = "operator"
    """The operator pressed success or failure."""
    SUCCESS = "success"
    """A simulated cell detected success."""
    IRRECOVERABLE = "irrecoverable"
    """A simulated cell detected a state from which success is impossible."""
    EPISODE_LIMIT = "horizon"
    STOPPED = "stopped"
    """Older recordings only: cut off by a stop or fault, and void. Today such episodes are never committed."""
    RECORDED = "recorded"
    """The recorder of a demonstration ended it."""


@dataclass(frozen=True, kw_only=True)
class EpisodeHeader:
    """Metadata of an episode: everything but the arrays."""

    id: str
    """Unique in its session, usable as a folder name: ``online-000012``, ``demo-<fingerprint>``."""
    kind: EpisodeKind
    ordinal: int
    spec: DataSpec
    ending: Ending
    created: str
    """Wall-clock time, ISO 8601, UTC; informational only."""
    layout: dict[str, Any] = field(default_factory=dict)
    """Initial scene layout as reported by the cell (plain JSON)."""
    method: str = ""
    """Steering method that acted, or the demonstration style."""
    policy_version: int = 0
    base_hash: str = ""
    """Hash of the frozen base policy that computed the chunk record's features; empty for demonstrations."""
    source: dict[str, Any] = field(default_factory=dict)
    """Provenance of an import (file, fingerprint, trimming), or extra facts (simulator ground truth)."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EpisodeHeader:
        """Inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the JSON is not a header.
        """
        return cls(
            **{
                **data,
                "kind": EpisodeKind(data["kind"]),
                "ending": Ending(data["ending"]),
                "spec": DataSpec.from_json(data["spec"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Episode:
    """T steps, T+1 observations (the last one follows the final action), K decisions."""

    header: EpisodeHeader
    images: dict[str, Image]
    """camera -> uint8 [T+1, height, width, 3]"""
    proprioception: FloatArray
    """[T+1, proprioception_dim]"""
    observation_time: TimeArray
    """[T+1]"""
    action: FloatArray
    """[T, da] requested by the policy or the demonstrator."""
    sent: FloatArray
    """[T, da] sent to the arm after limits were applied."""
    command_time: TimeArray
    """[T]"""
    chunk_start: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[K] first executed step of each decision's chunk; empty for demonstrations. With an overlap, the decision was
    taken so many steps earlier (the first one excepted)."""
    chunk_length: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[K] executed steps of each chunk."""
    features: dict[str, FloatArray] = field(default_factory=dict)
    """[K+1, ...] computed by the steering method from each observation it acted on, plus the final one."""
    decisions: dict[str, FloatArray] = field(default_factory=dict)
    """[K, ...] chosen by the steering method at each decision."""

    @property
    def steps(self) -> int:
        """T."""
        return len(self.action)

    @property
    def chunks(self) -> int:
        """K."""
        return len(self.chunk_start)
