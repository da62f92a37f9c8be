"""An episode as it lives in memory and in the store: immutable once committed, labelled only by the journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.observation import FloatArray, Image, TimeArray
from datasets.spec import DataSpec


class EpisodeKind(StrEnum):
    """Where an episode comes from, hence what it counts for."""

    DEMO = "demo"
    ONLINE = "online"
    EVALUATION = "evaluation"
    """Stored, but in no replay, no rolling rate and no env_steps."""


class Outcome(StrEnum):
    """The verdict on an episode. None yet means: label pending."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    """The horizon was reached; counted as no success."""


class Ending(StrEnum):
    """Why the motion ended; a fact of the recording, never changed by a relabel."""

    OPERATOR = "operator"
    """A success or failure key ended the motion."""
    SUCCESS = "success"
    """A simulated cell saw success."""
    IRRECOVERABLE = "irrecoverable"
    """A simulated cell saw a state from which no success is possible."""
    HORIZON = "horizon"
    STOPPED = "stopped"
    """In older recordings only: stop latch or fault; void. What is cut off now is not committed at all."""
    RECORDED = "recorded"
    """A demonstration ended by its recorder."""


@dataclass(frozen=True, kw_only=True)
class EpisodeHeader:
    """Everything about an episode that is not an array."""

    id: str
    """Unique in its session and fit for a folder: ``online-000012``, ``evaluation-000003``, ``demo-<fingerprint>``."""
    kind: EpisodeKind
    ordinal: int
    spec: DataSpec
    ending: Ending
    created: str
    """Wall clock, ISO 8601, UTC; for people only."""
    layout: dict[str, Any] = field(default_factory=dict)
    """Start layout as the cell wrote it (plain JSON)."""
    method: str = ""
    """Steering method that acted, or the demonstrator's style."""
    policy_version: int = 0
    base_hash: str = ""
    """Hash of the frozen base whose features the chunk record holds; empty for demonstrations."""
    source: dict[str, Any] = field(default_factory=dict)
    """Provenance of an import (file, fingerprint, what was trimmed), or extra facts (truth seen by a simulator)."""

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
    """T steps, T+1 observations (the last one is what the final action led to), K decisions."""

    header: EpisodeHeader
    images: dict[str, Image]
    """camera -> uint8 [T+1, height, width, 3]"""
    proprioception: FloatArray
    """[T+1, dq]"""
    observation_time: TimeArray
    """[T+1]"""
    action: FloatArray
    """[T, da] what the policy (or the demonstrator) asked for."""
    sent: FloatArray
    """[T, da] what really went to the arm after limits."""
    command_time: TimeArray
    """[T]"""
    chunk_start: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[K] step at which each decision was taken; empty for demonstrations."""
    chunk_length: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[K] steps really executed of each chunk."""
    features: dict[str, FloatArray] = field(default_factory=dict)
    """What the steering method computed from each observation it decided on, the final one included: [K+1, ...]."""
    decisions: dict[str, FloatArray] = field(default_factory=dict)
    """What the steering method chose at each decision: [K, ...]."""

    @property
    def steps(self) -> int:
        """T."""
        return len(self.action)

    @property
    def chunks(self) -> int:
        """K."""
        return len(self.chunk_start)
