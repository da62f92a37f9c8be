"""Small episodes for the tests of the ground floor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec

MakeEpisode = Callable[..., Episode]


@pytest.fixture
def spec() -> DataSpec:
    return DataSpec(
        cameras=(CameraSpec(name="third", height=8, width=10), CameraSpec(name="wrist", height=8, width=8)),
        proprioception=("joint_1", "joint_2", "gripper"),
        action=ActionSpec(),
        control_hz=10.0,
    )


@pytest.fixture
def make_episode(spec: DataSpec) -> MakeEpisode:
    def make(ordinal: int = 0, steps: int = 6, chunks: int = 2) -> Episode:
        rng = stream(1, "test episode", ordinal)

        def numbers(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            return rng.normal(size=shape).astype(np.float32)

        return Episode(
            header=EpisodeHeader(
                id=f"online-{ordinal:06d}",
                kind=EpisodeKind.ONLINE,
                ordinal=ordinal,
                spec=spec,
                ending=Ending.EPISODE_LIMIT,
                created="2026-11-20T12:00:00+00:00",
                layout={"orange": [0.1, 0.2]},
                source={"truth": "success"},
            ),
            images={
                camera.name: rng.integers(0, 255, (steps + 1, camera.height, camera.width, 3), dtype=np.uint8)
                for camera in spec.cameras
            },
            proprioception=numbers(steps + 1, spec.proprioception_dim),
            observation_time=np.arange(steps + 1, dtype=np.float64) * spec.dt,
            action=numbers(steps, spec.da),
            sent=numbers(steps, spec.da),
            command_time=np.arange(steps, dtype=np.float64) * spec.dt,
            chunk_start=np.arange(chunks) * 3,
            chunk_length=np.full(chunks, 3),
            features={"z": numbers(chunks + 1, 4), "c": np.zeros((chunks + 1, 5), np.float32)},
            decisions={"dz": numbers(chunks, 4)},
        )

    return make
