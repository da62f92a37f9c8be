"""Measures gradient steps per second of the learning rule, one thread: run with ``pytest -s tests/benchmarks``."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.randomness import stream
from policy.sac import SAC, SACBatch, SACSettings

EMBEDDED = SACSettings(hidden=128, layers=3, layer_norm=True)
PAPER = SACSettings(hidden=256, layers=4)


def batch(context: int, latent: int, rng: np.random.Generator, size: int = 256) -> SACBatch:
    def numbers(width: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal((size, width), dtype=np.float32))

    state, following = numbers(context + latent), numbers(context + latent)
    return SACBatch(
        state=state,
        context=state,
        steered=numbers(latent),
        origin=numbers(latent),
        next_state=following,
        next_context=following,
        next_origin=numbers(latent),
        reward=torch.zeros(size),
        discount=torch.full((size,), 0.9),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "dc", "dz"),
    [
        ("embedded cell, 2 critics", EMBEDDED, 200, 16),
        ("embedded cell, 5 critics", EMBEDDED.model_copy(update={"n_critics": 5}), 200, 16),
        ("paper's sizes, 2 critics", PAPER, 521, 16),
        ("paper's sizes, 5 critics", PAPER.model_copy(update={"n_critics": 5}), 521, 16),
    ],
)
def test_gradient_steps_per_second(name: str, settings: SACSettings, dc: int, dz: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rng = stream(0, "benchmark")
        sac = SAC(settings, state_size=dc + dz, context_size=dc + dz, action_size=dz, rng=rng)
        transitions, periods = batch(dc, dz, rng), []
        for _ in range(60):
            begin = time.thread_time()
            sac.update(transitions, rng)
            sac.update(transitions, rng)
            periods.append((time.thread_time() - begin) / 2)
    finally:
        torch.set_num_threads(threads)
    rates = 1.0 / np.percentile(periods[10:], [10, 50])
    print(f"\n{name}: {rates[0]:.0f} gradient steps per second at best, {rates[1]:.0f} as a rule")
    assert rates[1] > 2.0
