"""Episodes and batches in given sizes, without meaning: what they cost does not depend on what they show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind
from datasets.observation import FloatArray, Image
from datasets.randomness import stream
from datasets.spec import CameraSpec, DataSpec
from policy.replay import RecordSpec
from policy.sac import SACBatch


def made_up_episode(
    spec: DataSpec, ordinal: int, *, steps: int, n_action_steps: int, record: RecordSpec
) -> Episode:
    """An online episode of `steps` steps with the arrays that a method records."""
    rng = stream(0, "made-up episode", ordinal)
    start = np.arange(0, steps, n_action_steps)
    time_line = np.arange(steps + 1) * spec.dt

    def arrays(shapes: Mapping[str, tuple[int, ...]], rows: int) -> dict[str, FloatArray]:
        return {
            name: rng.uniform(-1.0, 1.0, (rows, *shape)).astype(np.float32) for name, shape in shapes.items()
        }

    actions = rng.uniform(-1.0, 1.0, (steps, spec.da)).astype(np.float32)
    return Episode(
        header=EpisodeHeader(
            id=f"online-{ordinal:06d}",
            kind=EpisodeKind.ONLINE,
            ordinal=ordinal,
            spec=spec,
            ending=Ending.EPISODE_LIMIT,
            created="2026-01-01T00:00:00+00:00",
        ),
        images={camera.name: _images(camera, steps + 1, rng) for camera in spec.cameras},
        proprioception=rng.normal(size=(steps + 1, spec.proprioception_dim)).astype(np.float32),
        observation_time=np.asarray(time_line, np.float64),
        action=actions,
        sent=actions,
        command_time=np.asarray(time_line[:-1], np.float64),
        chunk_start=start,
        chunk_length=np.minimum(n_action_steps, steps - start),
        features=arrays(record.features, len(start) + 1),
        decisions=arrays(record.decisions, len(start)),
    )


def made_up_batch(dc: int, dz: int, size: int, device: torch.device) -> SACBatch:
    """`size` transitions with c and z as state and as context."""
    rng = stream(0, "made-up batch")

    def numbers(width: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal((size, width), dtype=np.float32)).to(device)

    state, following = numbers(dc + dz), numbers(dc + dz)
    return SACBatch(
        state=state,
        context=state,
        steered=numbers(dz),
        origin=state[:, dc:],
        next_state=following,
        next_context=following,
        next_origin=following[:, dc:],
        reward=torch.zeros(size, device=device),
        discount=torch.full((size,), 0.9, device=device),
    )


def _images(camera: CameraSpec, count: int, rng: np.random.Generator) -> Image:
    """Waves that move under noise: they compress about as badly as a camera's images."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    images = np.empty((count, camera.height, camera.width, 3), np.uint8)
    for index in range(count):
        wave = 127.0 + 90.0 * np.sin(columns / 11 + index / 5) * np.cos(rows / 13 - index / 7)
        noise = rng.normal(0.0, 3.0, (camera.height, camera.width, 3))
        images[index] = np.clip(wave[..., None] + noise, 0.0, 255.0)
    return images
