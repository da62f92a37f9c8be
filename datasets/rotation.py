"""Conversion between end-effector poses and actions, in the task's rotation representation.

Rotations in actions are relative to the reference orientation, a tool that points straight down:
``R = R_ref @ exp(r)``. A vertical tool turned about its own axis is therefore the rotation vector ``(0, 0,
yaw)``, far from the half turn at which rotation vectors are discontinuous. Limits and interpolation live elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as SciPyRotation

from datasets.errors import StationError
from datasets.observation import FloatArray
from datasets.spec import ActionSpec, Rotation

Array = NDArray[np.float64]

REFERENCE_QUATERNION = (1.0, 0.0, 0.0, 0.0)
"""xyzw, in the base frame: the tool's z axis points down."""

_SMALLEST_NORM = 1e-6


class RotationError(StationError, ValueError):
    """The numbers do not form a rotation."""


def reference_matrix() -> Array:
    """R_ref, [3, 3]."""
    return np.asarray(SciPyRotation.from_quat(REFERENCE_QUATERNION).as_matrix(), np.float64)


_REFERENCE = reference_matrix()  # made once: the simulated arm converts twice a control period


def to_matrix(values: NDArray[Any], representation: Rotation) -> Array:
    """Rotation matrices [..., 3, 3] of `values` [..., representation.size].

    Raises:
        RotationError: a value is not finite, a quaternion is zero, or the rows of a rot6d are parallel.
    """
    flat = _flat(values, representation.size)
    match representation:
        case Rotation.ROTATION_VECTOR:
            matrices = SciPyRotation.from_rotvec(flat).as_matrix()
        case Rotation.QUATERNION:
            _require_length(flat, "quaternion")
            matrices = SciPyRotation.from_quat(flat).as_matrix()
        case Rotation.ROT6D:
            matrices = _orthonormal(flat)
    return np.asarray(matrices, np.float64).reshape(*np.shape(values)[:-1], 3, 3)


def from_matrix(rotation: NDArray[Any], representation: Rotation) -> Array:
    """Numbers [..., representation.size] of rotation matrices [..., 3, 3]; quaternions have w >= 0."""
    matrices = np.asarray(rotation, np.float64)
    leading = matrices.shape[:-2]
    if representation is Rotation.ROT6D:
        return matrices[..., :2, :].reshape(*leading, 6)
    rotations = SciPyRotation.from_matrix(matrices.reshape(-1, 3, 3))
    vector = representation is Rotation.ROTATION_VECTOR
    numbers = rotations.as_rotvec() if vector else rotations.as_quat(canonical=True)
    return np.asarray(numbers, np.float64).reshape(*leading, representation.size)


def pose_to_action(
    position: NDArray[Any], quaternion: NDArray[Any], gripper: NDArray[Any] | float, spec: ActionSpec
) -> FloatArray:
    """One arm's action [..., arm_size] of a base-frame pose: m [..., 3], xyzw [..., 4], gripper 0..1 [...].

    Raises:
        RotationError: a quaternion is zero or not finite.
    """
    relative = _REFERENCE.T @ to_matrix(quaternion, Rotation.QUATERNION)
    parts = [np.asarray(position, np.float64), from_matrix(relative, spec.rotation)]
    if spec.gripper:
        leading = parts[0].shape[:-1]
        parts.append(np.broadcast_to(np.asarray(gripper, np.float64), leading)[..., None])
    return np.concatenate(parts, axis=-1).astype(np.float32)


def action_to_pose(action: NDArray[Any], spec: ActionSpec) -> tuple[Array, Array, Array]:
    """One arm's base-frame pose: position m [..., 3], quaternion xyzw [..., 4], gripper [...].

    An action without gripper gives 1, open.

    Raises:
        RotationError: the action's rotation is invalid.
    """
    numbers = np.asarray(action, np.float64)
    end = 3 + spec.rotation.size
    matrices = _REFERENCE @ to_matrix(numbers[..., 3:end], spec.rotation)
    gripper = numbers[..., end] if spec.gripper else np.ones(numbers.shape[:-1])
    return numbers[..., :3], from_matrix(matrices, Rotation.QUATERNION), gripper


def _flat(values: NDArray[Any], size: int) -> Array:
    flat = np.asarray(values, np.float64).reshape(-1, size)
    if not np.isfinite(flat).all():
        raise RotationError("A rotation holds NaN or infinity; it cannot be converted.")
    return flat


def _require_length(rows: Array, what: str) -> None:
    if (np.linalg.norm(rows, axis=-1) < _SMALLEST_NORM).any():
        raise RotationError(f"A {what} has length zero; it is not a rotation.")


def _orthonormal(rows: Array) -> Array:
    """Gram-Schmidt of two rows [n, 6] to matrices [n, 3, 3]."""
    first, second = rows[:, :3], rows[:, 3:]
    _require_length(first, "rot6d row")
    first = first / np.linalg.norm(first, axis=-1, keepdims=True)
    second = second - (first * second).sum(-1, keepdims=True) * first
    _require_length(second, "rot6d row, after removing what it shares with the other,")
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)
