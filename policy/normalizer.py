"""Affine maps between task units and the networks' [-1, 1], saved with the policy.

Positions, rotation vectors and proprioception are scaled from their minimum and maximum; unit quaternions and rot6d are
left unchanged; a gripper maps 0..1 to -1..1. A constant dimension is only centred.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasets.observation import FloatArray
from datasets.spec import ActionSpec, Rotation

CONSTANT_RANGE = 1e-4
"""A dimension whose values span less than this counts as constant."""


class Normalizer(nn.Module):
    """normalised = value * scale + offset, per dimension; the identity until fitted."""

    scale: Tensor
    offset: Tensor

    def __init__(self, size: int) -> None:
        """`size`: length of the last axis."""
        super().__init__()
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("offset", torch.zeros(size))

    def normalize(self, value: Tensor) -> Tensor:
        """Task units -> network units, [..., size]."""
        return value * self.scale + self.offset

    def denormalize(self, value: Tensor) -> Tensor:
        """Network units -> task units, [..., size]."""
        return (value - self.offset) / self.scale

    def fit_proprioception(self, values: FloatArray) -> None:
        """Map the minimum and maximum of [F, proprioception_dim] to -1 and 1."""
        self._set(*_min_max(values))

    def fit_action(self, values: FloatArray, spec: ActionSpec) -> None:
        """Fit [F, da] actions, arm by arm, by the rules in the module docstring."""
        scale, offset = _min_max(values)
        for arm in range(spec.arms):
            start = arm * spec.arm_size
            rotation = slice(start + 3, start + 3 + spec.rotation.size)
            if spec.rotation is not Rotation.ROTATION_VECTOR:
                scale[rotation], offset[rotation] = 1.0, 0.0
            if spec.gripper:
                scale[rotation.stop], offset[rotation.stop] = 2.0, -1.0
        self._set(scale, offset)

    def _set(self, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> None:
        self.scale.copy_(torch.from_numpy(scale))
        self.offset.copy_(torch.from_numpy(offset))


def _min_max(values: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    span = high - low
    scale = np.where(span < CONSTANT_RANGE, 1.0, 2.0 / np.maximum(span, CONSTANT_RANGE))
    return scale, -scale * (low + high) / 2.0
