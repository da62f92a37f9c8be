"""Training windows over episodes: N past observations and the H actions that follow, read at memory speed.

Every recorded step starts one window. Windows that cross an episode boundary repeat its first or last step. Images are
stored once, as uint8, in memory or memory-mapped; a window is a row of indices into them. Cropping and normalisation
are left to the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Episode, EpisodeHeader
from datasets.errors import StationError
from datasets.image_memory import make_room
from datasets.observation import FloatArray, Image
from datasets.spec import DataSpec

if TYPE_CHECKING:
    from datasets.store import EpisodeStore


class WindowError(StationError, ValueError):
    """The episodes cannot be turned into training windows."""


@dataclass(frozen=True, kw_only=True)
class WindowBatch:
    """B windows."""

    images: dict[str, Image]
    """camera -> uint8 [B, N, height, width, 3]"""
    proprioception: FloatArray
    """[B, N, proprioception_dim]"""
    actions: FloatArray
    """[B, H, da] in the task's units."""


@dataclass(frozen=True, kw_only=True)
class TrainingWindows:
    """All windows of a set of episodes: F frames in total, one window per frame."""

    spec: DataSpec
    images: dict[str, Image]
    """camera -> uint8 [F, height, width, 3]"""
    proprioception: FloatArray
    """[F, proprioception_dim]"""
    actions: FloatArray
    """[F, da]"""
    observed: NDArray[np.int64]
    """[F, N] frames of each window's observations, oldest first."""
    followed: NDArray[np.int64]
    """[F, H] frames of each window's actions."""
    episode: NDArray[np.int64]
    """[F] index of the episode each window belongs to."""

    @classmethod
    def from_episodes(
        cls, episodes: Sequence[Episode], n_obs: int, prediction_horizon: int
    ) -> TrainingWindows:
        """Concatenate episodes; windows follow their order.

        Raises:
            WindowError: no episode has a step, or two episodes were recorded under different specs.
        """
        kept = [episode for episode in episodes if episode.steps > 0]
        spec = _common_spec([episode.header for episode in kept])
        return cls._laid_out(
            spec, [episode.steps for episode in kept], kept, n_obs, prediction_horizon, None, None
        )

    @classmethod
    def from_store(
        cls,
        store: EpisodeStore,
        names: Sequence[str],
        n_obs: int,
        prediction_horizon: int,
        *,
        folder: Path | None = None,
        limit: int | None = None,
    ) -> TrainingWindows:
        """As `from_episodes`, for committed episodes, loading one at a time.

        Images beyond `limit` bytes (half the free memory if None) go to an unlinked file in `folder`.

        Raises:
            WindowError: as above. StoreError: an episode cannot be read. DiskFullError: `folder` has no room.
        """
        sizes = {name: store.size(name)[0] for name in names}
        kept = [name for name in names if sizes[name] > 0]
        spec = _common_spec([store.header(name) for name in kept])
        loaded = (store.load(name) for name in kept)
        return cls._laid_out(
            spec, [sizes[name] for name in kept], loaded, n_obs, prediction_horizon, folder, limit
        )

    @classmethod
    def _laid_out(
        cls,
        spec: DataSpec,
        steps: Sequence[int],
        episodes: Iterable[Episode],
        n_obs: int,
        prediction_horizon: int,
        folder: Path | None,
        limit: int | None,
    ) -> TrainingWindows:
        lengths = np.array(steps, np.int64)
        count = int(lengths.sum())
        frame = np.arange(count, dtype=np.int64)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)[:, None]
        last = np.repeat(np.cumsum(lengths) - 1, lengths)[:, None]
        past = np.arange(1 - n_obs, 1, dtype=np.int64)
        ahead = np.arange(prediction_horizon, dtype=np.int64)
        shapes = {camera.name: (count, camera.height, camera.width, 3) for camera in spec.cameras}
        windows = cls(
            spec=spec,
            images=make_room(shapes, folder, limit),
            proprioception=np.empty((count, spec.proprioception_dim), np.float32),
            actions=np.empty((count, spec.da), np.float32),
            observed=np.maximum(frame[:, None] + past, first),
            followed=np.minimum(frame[:, None] + ahead, last),
            episode=np.repeat(np.arange(len(lengths), dtype=np.int64), lengths),
        )
        for begin, episode in zip(np.cumsum(lengths) - lengths, episodes, strict=True):
            windows._put(episode, slice(int(begin), int(begin) + episode.steps))
        return windows

    def _put(self, episode: Episode, rows: slice) -> None:
        for name, frames in self.images.items():
            frames[rows] = episode.images[name][: episode.steps]
        self.proprioception[rows] = episode.proprioception[: episode.steps]
        self.actions[rows] = episode.action

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.episode)

    @property
    def n_obs(self) -> int:
        """N."""
        return int(self.observed.shape[1])

    @property
    def prediction_horizon(self) -> int:
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


def _common_spec(headers: Sequence[EpisodeHeader]) -> DataSpec:
    if not headers:
        raise WindowError("There is no recorded step to train on. Import demonstrations first.")
    spec = headers[0].spec
    for header in headers:
        if header.spec != spec:
            raise WindowError(
                f"Episode {header.id} was recorded under another spec than {headers[0].id}. "
                "Train on episodes of one task only."
            )
    return spec
