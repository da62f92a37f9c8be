"""The optimiser steps as Adam's authors define it, and its state is a checkpoint's."""

from __future__ import annotations

import numpy as np
import torch

from policy.adam import Adam


def test_steps_are_those_of_the_definition() -> None:
    weights, lr = torch.tensor([1.0, -2.0, 0.5]), 0.1
    optimiser = Adam(weights, lr)
    expected, m, v = np.array([1.0, -2.0, 0.5]), np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(([0.5, -1.0, 0.0], [0.25, 2.0, -3.0], [0.0, 0.1, 1.0]), start=1):
        optimiser.step(torch.tensor(gradient))
        m, v = 0.9 * m + 0.1 * np.array(gradient), 0.999 * v + 0.001 * np.square(gradient)
        expected -= lr * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    assert np.allclose(weights, expected, rtol=1e-6)
    assert optimiser.state["step"] == 3
    assert np.allclose(optimiser.state["exp_avg"], m) and np.allclose(optimiser.state["exp_avg_sq"], v)
