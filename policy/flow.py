"""The flow-matching head: loss and sampling of action chunks in network units.

Symbols as in the paper: a clean chunk [B, H, da], w Gaussian noise [B, H, da], k flow time [B] (1 noise, 0 clean),
a^k = (1 - k) a + k w, v velocity, c embedding [B, dc]. Noise and times are drawn by the caller.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor, nn

from policy.unet import UNet

GRID = 100
"""Number of flow times on the training grid: k = 0.01, 0.02 .. 1."""


class Prediction(StrEnum):
    """What the network predicts."""

    VELOCITY = "velocity"
    """v, as in the paper."""
    SAMPLE = "sample"
    """The clean chunk, converted to a velocity; small networks learn it faster."""


def draw_times(rng: np.random.Generator, batch: int) -> Tensor:
    """k [B], uniform on the grid."""
    return torch.from_numpy(rng.integers(1, GRID + 1, batch).astype(np.float32) / np.float32(GRID))


class Flow(nn.Module):
    """A velocity field over action chunks."""

    def __init__(self, unet: UNet, prediction: Prediction) -> None:
        """`unet` predicts what `prediction` says."""
        super().__init__()
        self.unet = unet
        self.prediction = prediction

    def forward(self, a: Tensor, w: Tensor, k: Tensor, c: Tensor) -> Tensor:
        """The imitation loss of equation 1, a scalar: mean over batch, steps and dimensions.

        With `Prediction.SAMPLE` the error is that of the clean chunk, i.e. the velocity error weighted by k^2;
        unweighted, it would diverge as k approaches 0.
        """
        kk = k[:, None, None]
        predicted = self.unet((1 - kk) * a + kk * w, GRID * k, c)
        target = w - a if self.prediction is Prediction.VELOCITY else a
        return torch.mean((predicted - target) ** 2)

    def velocity(self, a_k: Tensor, k: float, c: Tensor) -> Tensor:
        """v(a^k, k, c), [B, H, da] like a^k, at one time k for the whole batch."""
        return self._velocity(a_k, k, self._films(len(a_k), [k], c))

    def sample(self, w: Tensor, c: Tensor, schedule: Sequence[float]) -> Tensor:
        """Equation 2: integrate from noise w along the schedule 1 = k_M > .. > k_0 = 0 to a chunk [B, H, da]."""
        times = schedule[:-1]
        if self.unet.product:  # the weights of all FiLM layers are read once for all times
            rows = self._films(len(w), times, c)
            films = [list(each) for each in zip(*(film.chunk(len(times)) for film in rows), strict=True)]
        else:
            films = [self._films(len(w), [k], c) for k in times]
        a_k = w
        for (k, lower), film in zip(itertools.pairwise(schedule), films, strict=True):
            a_k = a_k - (k - lower) * self._velocity(a_k, k, film)
        return a_k

    def _films(self, batch: int, times: Sequence[float], c: Tensor) -> list[Tensor]:
        """Per FiLM block [times * B, ...], time by time."""
        k = torch.cat([torch.full((batch,), GRID * k, device=c.device) for k in times])
        return self.unet.films(k, c.repeat(len(times), 1) if len(times) > 1 else c)

    def _velocity(self, a_k: Tensor, k: float, films: Sequence[Tensor]) -> Tensor:
        predicted = self.unet.predict(a_k, films)
        return predicted if self.prediction is Prediction.VELOCITY else (a_k - predicted) / k
