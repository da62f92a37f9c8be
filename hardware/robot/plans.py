"""A chunk of actions, checked, as one plan per arm. Commands nothing."""

from __future__ import annotations

import numpy as np

from datasets.observation import FloatArray
from datasets.rotation import RotationError, action_to_pose
from datasets.spec import DataSpec
from hardware.cell import CellError, NonFiniteCommandError
from hardware.plan import TimedPlan
from hardware.wire import MOST_WAYPOINTS


def plans_of(actions: FloatArray, spec: DataSpec) -> list[TimedPlan]:
    """One plan per arm for actions [n, da], without times yet.

    Raises:
        CellError: they have another shape. NonFiniteCommandError: a number is not finite, or a rotation is none.
    """
    if np.ndim(actions) != 2 or actions.shape[1] != spec.da or not 0 < len(actions) <= MOST_WAYPOINTS:
        raise CellError(
            f"A plan has the shape {np.shape(actions)}, this cell takes [1 .. {MOST_WAYPOINTS}, {spec.da}]. "
            "Check the task's rotation, gripper and n_action_steps settings."
        )
    actions = np.array(actions, dtype=np.float32)
    if not np.isfinite(actions).all():
        raise NonFiniteCommandError(
            "A plan contained NaN or infinity. None of it was sent and the arms were braked; check the policy."
        )
    size = spec.action.arm_size
    return [_plan(actions[:, first : first + size], spec) for first in range(0, spec.da, size)]


def _plan(actions: FloatArray, spec: DataSpec) -> TimedPlan:
    try:
        position, quaternion, gripper = action_to_pose(actions, spec.action)
    except RotationError as error:
        raise NonFiniteCommandError(f"A planned pose is invalid; the arms were braked. {error}") from error
    return TimedPlan(
        time=np.zeros(len(actions)),
        position=position,
        quaternion=quaternion,
        gripper=np.clip(gripper, 0.0, 1.0),
    )
