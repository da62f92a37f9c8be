"""Poses survive the way into an action and back, whatever the representation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation as SciPyRotation

from datasets.rotation import REFERENCE_QUATERNION, RotationError, action_to_pose, pose_to_action, to_matrix
from datasets.spec import ActionSpec, Rotation


@pytest.mark.parametrize("rotation", list(Rotation))
@pytest.mark.parametrize("gripper", [True, False])
def test_a_pose_comes_back_from_its_action(rotation: Rotation, gripper: bool) -> None:
    rng = np.random.default_rng(0)
    position = rng.normal(size=(5, 2, 3))
    turn = SciPyRotation.from_quat(rng.normal(size=(10, 4)))
    spec = ActionSpec(rotation=rotation, gripper=gripper)
    action = pose_to_action(position, turn.as_quat().reshape(5, 2, 4), rng.uniform(size=(5, 2)), spec)
    back_position, back_quaternion, _ = action_to_pose(action, spec)
    assert action.shape == (5, 2, spec.size) and action.dtype == np.float32
    np.testing.assert_allclose(back_position, position, atol=1e-6)
    np.testing.assert_allclose(
        SciPyRotation.from_quat(back_quaternion.reshape(10, 4)).as_matrix(), turn.as_matrix(), atol=1e-5
    )


def test_a_vertical_tool_with_yaw_is_a_rotation_vector_about_its_own_axis() -> None:
    yawed = SciPyRotation.from_quat(REFERENCE_QUATERNION) * SciPyRotation.from_rotvec([0, 0, 0.7])
    action = pose_to_action(np.zeros(3), yawed.as_quat(), 0.5, ActionSpec())
    np.testing.assert_allclose(action, [0, 0, 0, 0, 0, 0.7, 0.5], atol=1e-6)


def test_a_quaternion_sign_flip_changes_no_action() -> None:
    quaternion = SciPyRotation.from_rotvec([2.9, 0.3, 0.1]).as_quat()
    spec = ActionSpec(rotation=Rotation.QUATERNION)
    np.testing.assert_allclose(
        pose_to_action(np.zeros(3), quaternion, 0, spec), pose_to_action(np.zeros(3), -quaternion, 0, spec)
    )


def test_numbers_that_are_no_rotation_are_refused() -> None:
    with pytest.raises(RotationError, match="length zero"):
        to_matrix(np.zeros(4), Rotation.QUATERNION)
    with pytest.raises(RotationError, match="removing"):
        to_matrix(np.array([1.0, 0, 0, 2, 0, 0]), Rotation.ROT6D)
    with pytest.raises(RotationError, match="NaN"):
        to_matrix(np.array([np.nan, 0, 0]), Rotation.ROTATION_VECTOR)
