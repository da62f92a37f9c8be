"""A toy task that a tiny policy learns in seconds: a bright dot, and a chunk that goes to where it is."""

from __future__ import annotations

import numpy as np

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from policy.base import PolicySettings
from policy.steering.interface import Window

SIDE = 24
SPEC = DataSpec(
    cameras=(CameraSpec(name="top", height=SIDE, width=SIDE),),
    proprioception=("x", "y"),
    action=ActionSpec(),
    control_hz=10.0,
)
TINY = PolicySettings.model_validate(
    {
        "n_obs": 1,
        "prediction_horizon": 4,
        "encoder": "small",
        "embedding": 16,
        "crops": {"top": (22, 22)},
        "small_channels": (8, 16),
        "small_strides": (2, 1),
        "widths": (32, 32),
        "kernel": 3,
        "blocks": 1,
        "time_embedding": 16,
        "activation": "silu",
    }
)


def dot_image(x: float, y: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A dot of three pixels at x, y in 0..1, on grey."""
    image = np.full((SIDE, SIDE, 3), 60, np.uint8)
    row, column = round(2 + y * (SIDE - 5)), round(2 + x * (SIDE - 5))
    image[row - 1 : row + 2, column - 1 : column + 2] = (250, 120, 20)
    return image


def target(x: float, y: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The action that belongs to a dot: [7] in the task's units."""
    return np.array([0.3 + 0.2 * x, 0.2 * y - 0.1, 0.1, 0.0, 0.0, x - 0.5, float(x > 0.5)], np.float32)


def episode(ordinal: int, steps: int = 6, spec: DataSpec = SPEC) -> Episode:
    """A dot that stays, and the same action at every step."""
    x, y = stream(7, "toy", ordinal).random(2)
    time = np.arange(steps + 1) / spec.control_hz
    action = np.repeat(target(x, y)[None], steps, axis=0)
    return Episode(
        header=EpisodeHeader(
            id=f"demo-{ordinal:04d}",
            kind=EpisodeKind.DEMO,
            ordinal=ordinal,
            spec=spec,
            ending=Ending.RECORDED,
            created="2026-11-20T00:00:00Z",
            layout={"x": float(x), "y": float(y)},
        ),
        images={"top": np.repeat(dot_image(x, y)[None], steps + 1, axis=0)},
        proprioception=np.stack([time, -time], axis=1).astype(np.float32),
        observation_time=time,
        action=action,
        sent=action,
        command_time=time[:-1],
    )


def window(dots: list[tuple[float, float]]) -> Window:
    """One observation of each dot."""
    return Window(
        images={"top": np.stack([dot_image(x, y)[None] for x, y in dots])},
        proprioception=np.zeros((len(dots), 1, 2), np.float32),
    )
