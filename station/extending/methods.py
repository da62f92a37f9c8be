"""Public names for steering methods. Loads torch.

Of `BasePolicy`, what `PUBLIC_OF_BASE` lists is public; how it is trained and stored is not.
"""

from __future__ import annotations

from datasets.episode import Episode, Outcome
from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.base import BasePolicy
from policy.replay import EpisodeTransitions, ReplayBuffer, ReplayError, Timeout, TransitionBatch
from policy.steering.draws import as_array, normal
from policy.steering.interface import Decision, Metrics, RecordSpec, Steering, SteeringSettings, Window

__all__ = [
    "BasePolicy",
    "Decision",
    "Episode",
    "EpisodeTransitions",
    "FloatArray",
    "Metrics",
    "Outcome",
    "RecordSpec",
    "ReplayBuffer",
    "ReplayError",
    "Steering",
    "SteeringSettings",
    "Timeout",
    "TransitionBatch",
    "Window",
    "as_array",
    "normal",
    "stream",
]

PUBLIC_OF_BASE = (
    "bottleneck",
    "dc",
    "decode",
    "decode_latent",
    "device",
    "draw_crops",
    "draw_noise",
    "dz",
    "embed",
    "encode",
    "hash",
    "prediction_horizon",
    "spec",
)
"""``encode(c)`` gives mean and log-variance of z, ``bottleneck.decode(z)`` c_hat."""
