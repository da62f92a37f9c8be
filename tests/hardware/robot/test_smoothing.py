"""The temporal filter is a mean of the last poses, also across plans, and knows that q and -q are one rotation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hardware.plan import TimedPlan
from hardware.robot.smoothing import mean_of_poses

DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0])


def plan(first: float, yaws: list[float], *, flip: bool = False) -> TimedPlan:
    n = len(yaws)
    turns = (Rotation.from_rotvec([[0.0, 0.0, yaw] for yaw in yaws]) * DOWN).as_quat()
    if flip:
        turns[::2] *= -1.0
    return TimedPlan(
        time=first + np.arange(n) / 10.0,
        position=np.array([[yaw, 0.0, 2.0 * yaw] for yaw in yaws]),
        quaternion=turns,
        gripper=np.array(yaws),
    )


def yaws(smoothed: TimedPlan) -> list[float]:
    return [float(x) for x in (Rotation.from_quat(smoothed.quaternion) * DOWN.inv()).as_rotvec()[:, 2]]


@pytest.mark.parametrize("flip", [False, True])
def test_each_pose_becomes_the_mean_of_the_last_three(flip: bool) -> None:
    smoothed = mean_of_poses(plan(1.0, [0.0, 0.3, 0.6, 0.3], flip=flip), None, 3)
    expected = [0.0, 0.15, 0.3, 0.4]
    assert smoothed.position[:, 0] == pytest.approx(expected)
    assert smoothed.gripper == pytest.approx(expected)
    assert yaws(smoothed) == pytest.approx(expected, abs=2e-3)
    assert np.linalg.norm(smoothed.quaternion, axis=-1) == pytest.approx(1.0)


def test_the_first_poses_of_a_plan_are_averaged_with_those_due_before_it() -> None:
    earlier = plan(0.0, [9.0, 0.3, 0.6, 5.0, 5.0])
    smoothed = mean_of_poses(plan(0.3, [0.9, 0.9]), earlier, 3)
    assert smoothed.gripper == pytest.approx([0.6, 0.8])
    assert smoothed.time == pytest.approx([0.3, 0.4])


def test_a_mean_of_one_leaves_the_plan_as_it_is() -> None:
    posted = plan(0.0, [0.1, 0.2])
    assert mean_of_poses(posted, None, 1) is posted
