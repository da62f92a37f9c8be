"""Training windows over episodes: N past observations and the H actions that follow, held in memory.

Every recorded step opens one window. Where a window reaches over an edge, the first or the last step of its episode
is repeated. Pictures are stored once, as uint8; a window is a row of indices into them. This module neither crops
nor normalises: that is the policy's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Episode
from datasets.observation import FloatArray, Image
from datasets.spec import DataSpec


class WindowError(ValueError):
    """Episodes that cannot be made into training windows."""


@dataclass(frozen=True, kw_only=True)
class WindowBatch:
    """B windows."""

    images: dict[str, Image]
    """camera -> uint8 [B, N, height, width, 3]"""
    proprioception: FloatArray
    """[B, N, dq]"""
    actions: FloatArray
    """[B, H, da] in the task's units."""


@dataclass(frozen=True, kw_only=True)
class TrainingWindows:
    """All windows of some episodes; F frames in all, one window per frame."""

    spec: DataSpec
    images: dict[str, Image]
    """camera -> uint8 [F, height, width, 3]"""
    proprioception: FloatArray
    """[F, dq]"""
    actions: FloatArray
    """[F, da]"""
    observed: NDArray[np.int64]
    """[F, N] frames of each window's observations, oldest first."""
    followed: NDArray[np.int64]
    """[F, H] frames of each window's actions."""
    episode: NDArray[np.int64]
    """[F] which of the episodes a window belongs to."""

    @classmethod
    def from_episodes(cls, episodes: Sequence[Episode], n_obs: int, horizon: int) -> TrainingWindows:
        """Lay the episodes one after another; their order is the order of the windows.

        Raises:
            WindowError: no episode has a step, or two episodes were recorded under different specs.
        """
        kept = [episode for episode in episodes if episode.steps > 0]
        spec = _common_spec(kept)
        lengths = np.array([episode.steps for episode in kept], np.int64)
        frame = np.arange(int(lengths.sum()), dtype=np.int64)
        member = np.repeat(np.arange(len(kept), dtype=np.int64), lengths)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)[:, None]
        last = np.repeat(np.cumsum(lengths) - 1, lengths)[:, None]
        past = np.arange(1 - n_obs, 1, dtype=np.int64)
        ahead = np.arange(horizon, dtype=np.int64)
        return cls(
            spec=spec,
            images={
                camera.name: np.concatenate([e.images[camera.name][: e.steps] for e in kept])
                for camera in spec.cameras
            },
            proprioception=np.concatenate([e.proprioception[: e.steps] for e in kept]).astype(np.float32),
            actions=np.concatenate([e.action for e in kept]).astype(np.float32),
            observed=np.maximum(frame[:, None] + past, first),
            followed=np.minimum(frame[:, None] + ahead, last),
            episode=member,
        )

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self.episode)

    @property
    def n_obs(self) -> int:
        """N."""
        return int(self.observed.shape[1])

    @property
    def horizon(self) -> int:
        """H."""
        return int(self.followed.shape[1])

    def batch(self, indices: NDArray[np.int64]) -> WindowBatch:
        """The windows at `indices` [B], in that order."""
        observed = self.observed[indices]
        return WindowBatch(
            images={name: frames[observed] for name, frames in self.images.items()},
            proprioception=self.proprioception[observed],
            actions=self.actions[self.followed[indices]],
        )


def _common_spec(episodes: Sequence[Episode]) -> DataSpec:
    if not episodes:
        raise WindowError("There is no recorded step to train on. Import demonstrations first.")
    spec = episodes[0].header.spec
    for episode in episodes:
        if episode.header.spec != spec:
            raise WindowError(
                f"Episode {episode.header.id} was recorded under another spec than {episodes[0].header.id}. "
                "Train on episodes of one task only."
            )
    return spec
