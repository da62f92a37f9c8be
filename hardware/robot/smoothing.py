"""The temporal filter of a task: each pose of a plan becomes the mean of the last few.

Works on poses at the planning rate, before interpolation; residual actions need it because their exploration noise
changes from pose to pose. It delays a motion by (count - 1) / 2 poses.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware.plan import TimedPlan, Vector


def mean_of_poses(plan: TimedPlan, earlier: TimedPlan | None, count: int) -> TimedPlan:
    """`plan` with every position, rotation and gripper the mean of its last `count` ones; times are unchanged.

    The poses before the plan's first are those of `earlier` (unfiltered) that were due before it, newest last; where
    there are fewer, the mean is over those. A mean rotation is the normalised sum of the quaternions.
    """
    if count <= 1:
        return plan
    past = (
        np.flatnonzero(earlier.time < plan.time[0])[1 - count :] if earlier is not None else np.zeros(0, int)
    )
    position, quaternion, gripper = plan.position, plan.quaternion, plan.gripper
    if earlier is not None and len(past):
        position = np.concatenate([earlier.position[past], position])
        quaternion = np.concatenate([earlier.quaternion[past], quaternion])
        gripper = np.concatenate([earlier.gripper[past], gripper])
    turns = _trailing_mean(_one_sided(quaternion), count)
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    first = len(past)
    return replace(
        plan,
        position=_trailing_mean(position, count)[first:],
        quaternion=turns[first:],
        gripper=_trailing_mean(gripper[:, None], count)[first:, 0],
    )


def _trailing_mean(rows: Vector, count: int) -> Vector:
    """Mean of each row and up to `count` - 1 rows before it."""
    return np.array([rows[max(0, i + 1 - count) : i + 1].mean(axis=0) for i in range(len(rows))])


def _one_sided(quaternions: Vector) -> Vector:
    """The same rotations, each quaternion in its predecessor's hemisphere: q and -q are one rotation."""
    products = np.sum(quaternions[1:] * quaternions[:-1], axis=-1)
    signs = np.cumprod(np.concatenate([[1.0], np.where(products < 0.0, -1.0, 1.0)]))
    return np.asarray(quaternions * signs[:, None])
