from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.spec import ActionSpec, Rotation
from policy.normalizer import Normalizer


@pytest.mark.parametrize("rotation", list(Rotation))
def test_positions_fill_the_range_and_rotations_only_when_they_are_vectors(rotation: Rotation) -> None:
    spec = ActionSpec(arms=2, rotation=rotation)
    values = np.random.default_rng(0).uniform(0.2, 0.7, (50, spec.size)).astype(np.float32)
    normalizer = Normalizer(spec.size)
    normalizer.fit_action(values, spec)
    scaled = normalizer.normalize(torch.from_numpy(values)).numpy()
    for arm in range(2):
        start = arm * spec.arm_size
        position = scaled[:, start : start + 3]
        assert np.allclose([position.min(axis=0), position.max(axis=0)], [[-1] * 3, [1] * 3], atol=1e-5)
        turned = slice(start + 3, start + 3 + rotation.size)
        untouched = np.allclose(scaled[:, turned], values[:, turned])
        assert untouched == (rotation is not Rotation.ROTATION_VECTOR)
        assert np.allclose(scaled[:, turned.stop], 2 * values[:, turned.stop] - 1, atol=1e-6)


def test_a_number_that_never_changes_is_centred_and_not_blown_up() -> None:
    values = np.full((10, 2), 0.4, np.float32)
    values[:, 1] = np.linspace(0, 1, 10)
    normalizer = Normalizer(2)
    normalizer.fit_proprioception(values)
    scaled = normalizer.normalize(torch.tensor([[0.41, 0.5]]))
    assert torch.allclose(scaled, torch.tensor([[0.01, 0.0]]), atol=1e-6)


def test_denormalize_undoes_normalize() -> None:
    values = np.random.default_rng(1).standard_normal((30, 5)).astype(np.float32)
    normalizer = Normalizer(5)
    normalizer.fit_proprioception(values)
    value = torch.from_numpy(values)
    assert torch.allclose(normalizer.denormalize(normalizer.normalize(value)), value, atol=1e-5)
