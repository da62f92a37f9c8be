from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.randomness import stream
from policy.flow import GRID, Flow, Prediction, draw_times
from policy.unet import Activation, UNet

SCHEDULE = (1.0, 0.01, 0.0)


class KnownField(nn.Module):
    """Stands in for the network: the exact answer where every clean chunk is `chunk`."""

    product = False

    def __init__(self, chunk: Tensor, prediction: Prediction) -> None:
        super().__init__()
        self.chunk, self.prediction = chunk, prediction

    def forward(self, a_k: Tensor, time: Tensor, c: Tensor) -> Tensor:
        return self.predict(a_k, self.films(time, c))

    def films(self, time: Tensor, _: Tensor) -> list[Tensor]:
        return [time]

    def predict(self, a_k: Tensor, films: Sequence[Tensor]) -> Tensor:
        (time,) = films
        if self.prediction is Prediction.SAMPLE:
            return self.chunk.expand_as(a_k)
        return (a_k - self.chunk) * GRID / time[:, None, None]


def unet(levels: int = 2, dc: int = 1) -> UNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet(
            action=2,
            condition=dc,
            widths=(32,) * levels,
            kernel=3,
            blocks=1,
            time_size=16,
            activation=Activation.SILU,
        )


def train(flow: Flow, sides: bool, iterations: int) -> None:
    """Chunks that stay at +1 or at -1: by the sign of c, or (`sides`) by the toss of a coin."""
    optimizer = torch.optim.AdamW(flow.parameters(), lr=3e-3)
    for iteration in range(iterations):
        rng = stream(0, "toy-flow", iteration)
        sign = torch.from_numpy(rng.choice([-1.0, 1.0], 64).astype(np.float32))
        c = torch.zeros(64, 1) if sides else sign[:, None]
        a = sign[:, None, None].expand(64, 4, 2)
        w = torch.from_numpy(rng.standard_normal((64, 4, 2), np.float32))
        optimizer.zero_grad()
        flow(a, w, draw_times(rng, 64), c).backward()
        optimizer.step()


def noise(count: int) -> Tensor:
    return torch.from_numpy(stream(1, "toy-noise").standard_normal((count, 4, 2), np.float32))


def test_times_lie_on_the_hundred_step_grid_without_zero() -> None:
    times = draw_times(stream(0, "times"), 5000)
    steps = (times * GRID).round()
    assert torch.allclose(times * GRID, steps, atol=1e-4)
    assert (int(steps.min()), int(steps.max())) == (1, GRID)


@pytest.mark.parametrize("prediction", list(Prediction))
def test_two_steps_reach_the_chunk_exactly_when_the_field_is_exact(prediction: Prediction) -> None:
    chunk = torch.linspace(-1, 1, 8).reshape(1, 4, 2)
    flow = Flow(KnownField(chunk, prediction), prediction)  # type: ignore[arg-type]
    sampled = flow.sample(noise(3), torch.zeros(3, 1), SCHEDULE)
    assert torch.allclose(sampled, chunk.expand(3, 4, 2), atol=1e-4)


@pytest.mark.parametrize("prediction", list(Prediction))
def test_the_loss_is_zero_for_an_exact_field(prediction: Prediction) -> None:
    chunk = torch.linspace(-1, 1, 8).reshape(1, 4, 2)
    flow = Flow(KnownField(chunk, prediction), prediction)  # type: ignore[arg-type]
    k = torch.tensor([0.01, 0.5, 1.0])
    assert float(flow(chunk.expand(3, 4, 2), noise(3), k, torch.zeros(3, 1))) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("prediction", list(Prediction))
def test_two_step_samples_follow_the_condition(prediction: Prediction) -> None:
    flow = Flow(unet(), prediction)
    train(flow, sides=False, iterations=250)
    with torch.no_grad():
        sign = torch.tensor([1.0, -1.0]).repeat(32)
        sampled = flow.sample(noise(64), sign[:, None], SCHEDULE)
    assert float((sampled - sign[:, None, None]).abs().mean()) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("prediction", list(Prediction))
def test_two_equally_good_chunks_are_both_sampled_and_not_their_mean(prediction: Prediction) -> None:
    flow = Flow(unet(), prediction)
    train(flow, sides=True, iterations=400)
    steps = tuple(float(k) for k in np.linspace(1, 0, 21))
    with torch.no_grad():
        sampled = flow.sample(noise(200), torch.zeros(200, 1), steps).mean(dim=(1, 2))
    assert 0.25 < float((sampled > 0).float().mean()) < 0.75
    assert float((sampled.abs() > 0.6).float().mean()) > 0.85


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_unet_keeps_the_shape_of_the_chunk(levels: int) -> None:
    chunk = torch.zeros(2, 8, 2)
    assert unet(levels)(chunk, torch.tensor([1.0, 100.0]), torch.zeros(2, 1)).shape == chunk.shape
