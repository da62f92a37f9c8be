"""Re-import of episodes that this station exported, for a task with another rate, rotation or camera size.

For the same task nothing is converted: see `datasets.importers.convert.conversion.restore`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from datasets.episode import Outcome
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.interface import OwnEpisode, RawEpisode
from datasets.importers.recording import ArmTrack, Array, Recording
from datasets.rotation import action_to_pose
from datasets.spec import DataSpec


def spec_from(data: Any) -> DataSpec | None:
    """The spec in an export; None if missing or not understood by this version."""
    try:
        return DataSpec.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def outcome_named(name: Any) -> Outcome | None:
    """An outcome by name; None for "pending" and anything unknown."""
    known = {outcome.value for outcome in Outcome}
    return Outcome(name) if isinstance(name, str) and name in known else None


def as_recording(own: OwnEpisode, raw: RawEpisode) -> Recording:
    """The episode as a recording, one tick per observation; the last repeats the command that led to it.

    Raises:
        RefusedError: its members are inconsistent.
    """
    ticks = len(own.proprioception)
    if len(own.action) != ticks - 1 or not len(own.action) or own.action.shape[1] != own.spec.da:
        raise RefusedError(Defect.UNEQUAL_LENGTHS, f"{len(own.action)} actions for {ticks} observations")
    if not (np.isfinite(own.action).all() and own.proprioception.shape[1] == own.spec.proprioception_dim):
        raise RefusedError(Defect.NOT_FINITE, "'action' holds NaN or infinity")
    numbers, grippers = _split(own.proprioception, own.spec)
    size, arms = own.spec.action.arm_size, []
    per_arm = np.array_split(np.arange(numbers.shape[1]), own.spec.action.arms)
    for number, chosen in enumerate(per_arm):
        action = own.action[:, number * size : (number + 1) * size]
        position, quaternion, gripper = action_to_pose(action, own.spec.action)
        opening = grippers[:, number] if number < grippers.shape[1] else np.ones(ticks)
        arms.append(
            ArmTrack(
                joint_angles=numbers[:, chosen[:0] if own.spec.observes_pose else chosen],
                pose=_pose(numbers[:, chosen], own.spec),
                gripper=opening,
                action_pose=_held(np.concatenate([position, quaternion], axis=1)),
                action_gripper=_held(gripper),
            )
        )
    time = own.observation_time
    return Recording(
        frames=raw.frames,
        image_time=dict.fromkeys(raw.frames, time),
        arms=tuple(arms),
        observation_time=time,
        action_time=time,
        following=np.ones(ticks, np.bool_),
        finished=np.zeros(ticks, np.bool_),
        success=raw.success,
        attributes=raw.attributes,
    )


def _split(proprioception: Array, spec: DataSpec) -> tuple[Array, Array]:
    """Per-arm joint angles or poses, and gripper openings."""
    is_gripper = np.array(["gripper" in name for name in spec.proprioception], np.bool_)
    return proprioception[:, ~is_gripper], proprioception[:, is_gripper]


def _pose(numbers: Array, spec: DataSpec) -> Array:
    """[T, 7] of one arm; [T, 0] if joint angles were observed."""
    if not spec.observes_pose:
        return numbers[:, :0]
    if numbers.shape[1] != 3 + spec.action.rotation.size or not np.isfinite(numbers).all():
        raise RefusedError(Defect.NOT_FINITE, "'proprioception' does not hold poses")
    position, quaternion, _ = action_to_pose(numbers, replace(spec.action, gripper=False))
    return np.concatenate([position, quaternion], axis=1)


def _held(values: Array) -> Array:
    return np.concatenate([values, values[-1:]])
