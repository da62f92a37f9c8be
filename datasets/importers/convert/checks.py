"""Validity checks of recordings: all reasons to refuse one because of its numbers.

Small defects are repaired and reported (an extra tail of two ticks, a slightly unnormalised quaternion); larger ones
refuse the recording. Nothing is guessed: no quaternion order, no channel order, no label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from datasets.importers.defects import Defect, Note, RefusedError, repaired, warning
from datasets.importers.map.plausibility import jumps, require_angles, require_moving_joints
from datasets.importers.map.questions import joint_count
from datasets.importers.recording import ArmTrack, Array, CutFrames, Indices, Recording
from datasets.spec import DataSpec

TAIL_TICKS = 2
"""Maximum difference in length between members; longer ones are truncated."""
NORM_TOLERANCE = 1e-2
"""Quaternions whose norm is off by less are normalised."""
GRIPPER_TOLERANCE = 0.1
"""A gripper may read this far outside 0..1, as compliant ones do; commands there are clipped."""
REACH = 2.0
"""Maximum reach of any known arm from its base, m; positions beyond suggest a wrong frame."""
LARGEST = 1e6
"""Values (rad or m) larger than any arm measures."""

_GRIPPERS = ("gripper", "action_gripper")
_ARM = ("joint_angles", "pose", "action_pose", *_GRIPPERS)
_TICKS = ("observation_time", "action_time", "following", "finished")


def usable(recording: Recording, spec: DataSpec) -> tuple[Recording, list[Note]]:
    """The recording with small defects repaired, and a note on each.

    Raises:
        RefusedError: it cannot be used for this task.
    """
    _require_fit(recording, spec)
    recording, notes = _cut_tail(recording)
    _require_finite(recording)
    recording = _each_instant_once(recording, notes)
    _require_order(recording)
    _require_gripper_range(recording)
    arms = tuple(_mended(arm, name, notes) for name, arm in _named(recording))
    recording = replace(recording, arms=arms)
    for name, arm in _named(recording):
        require_angles(arm.joint_angles, f"'{name}joint_angles'")
        require_moving_joints(arm, name)
        notes += jumps(recording, arm, name)
    return recording, notes


def _named(recording: Recording) -> Iterator[tuple[str, ArmTrack]]:
    """Arms, each with the prefix of its members' names in messages."""
    for number, arm in enumerate(recording.arms, start=1):
        yield ("" if len(recording.arms) == 1 else f"arm {number}: "), arm


def _require_fit(recording: Recording, spec: DataSpec) -> None:
    for camera in spec.cameras:
        if camera.name not in recording.frames:
            found = ", ".join(recording.frames) or "none"
            raise RefusedError(Defect.UNFIT, f"no camera '{camera.name}'; the recording has: {found}")
    if len(recording.arms) != spec.action.arms:
        raise RefusedError(
            Defect.UNFIT, f"the task moves {spec.action.arms} arms, the recording has {len(recording.arms)}"
        )
    if spec.observes_pose and any(not arm.pose.shape[1] for arm in recording.arms):
        raise RefusedError(
            Defect.UNFIT,
            "the task observes the tool's pose; the recording holds joint angles and no measured pose",
        )
    if joint_count(spec) and not any(arm.joint_angles.shape[1] for arm in recording.arms):
        raise RefusedError(
            Defect.UNFIT,
            f"no joint angles, of which the task observes {joint_count(spec)}; "
            'make a session of a task with [cell] proprioception = "pose"',
        )
    if spec.observes_pose:
        return
    found_joints = sum(arm.joint_angles.shape[1] for arm in recording.arms)
    if found_joints != joint_count(spec):
        raise RefusedError(Defect.UNFIT, f"{found_joints} joints instead of the task's {joint_count(spec)}")


def _lengths(recording: Recording) -> Iterator[tuple[str, int]]:
    for name in _TICKS:
        yield name, len(getattr(recording, name))
    for prefix, arm in _named(recording):
        for name in _ARM:
            yield f"{prefix}{name}", len(getattr(arm, name))
    for camera, frames in recording.frames.items():
        yield f"images/{camera}", frames.count
        yield f"image_time/{camera}", len(recording.image_time[camera])


def _cut_tail(recording: Recording) -> tuple[Recording, list[Note]]:
    lengths = dict(_lengths(recording))
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    ticks, excess = lengths[shortest], lengths[longest] - lengths[shortest]
    if ticks == 0:
        raise RefusedError(Defect.UNEQUAL_LENGTHS, f"'{shortest}' is empty")
    if excess > TAIL_TICKS:
        raise RefusedError(
            Defect.UNEQUAL_LENGTHS,
            f"unequal lengths: '{longest}' has {lengths[longest]} ticks, '{shortest}' has {ticks}",
        )
    if not excess:
        return recording, []
    note = repaired(Defect.UNEQUAL_LENGTHS, f"cut {excess} ticks of tail that '{shortest}' lacks")
    return _only(recording, np.arange(ticks)), [note]


def _only(recording: Recording, kept: Indices) -> Recording:
    """The recording reduced to the ticks in `kept`, ascending."""
    return replace(
        recording,
        frames={name: CutFrames(frames, kept=kept) for name, frames in recording.frames.items()},
        image_time={name: times[kept] for name, times in recording.image_time.items()},
        arms=tuple(
            replace(arm, **{name: getattr(arm, name)[kept] for name in _ARM}) for arm in recording.arms
        ),
        **{name: getattr(recording, name)[kept] for name in _TICKS},
    )


def _numbers(recording: Recording) -> Iterator[tuple[str, Array]]:
    for prefix, arm in _named(recording):
        for name in _ARM:
            yield f"{prefix}{name}", getattr(arm, name)
    yield "observation_time", recording.observation_time
    yield "action_time", recording.action_time


def _require_finite(recording: Recording) -> None:
    for name, values in _numbers(recording):
        rows = values.reshape(len(values), -1)
        for sound, what in (
            (np.isfinite(rows), "NaN or infinity"),
            # a machine's clock may well say more: it counts since it was started, or since 1970
            (np.abs(rows) < (np.inf if name in _TICKS else LARGEST), f"a number beyond {LARGEST:g}"),
        ):
            if not sound.all():
                tick = int(np.argmin(sound.all(1)))
                raise RefusedError(Defect.NOT_FINITE, f"'{name}' holds {what} at tick {tick}")


def _each_instant_once(recording: Recording, notes: list[Note]) -> Recording:
    """The recording without ticks that repeat the previous time stamp."""
    stuck = np.diff(recording.observation_time) == 0
    stuck |= np.diff(recording.action_time) == 0
    if not stuck.any():
        return recording
    kept = np.concatenate([[0], 1 + np.flatnonzero(~stuck)])
    notes.append(
        repaired(
            Defect.TIME_ORDER, f"dropped {int(stuck.sum())} ticks that repeat the time of the one before"
        )
    )
    return _only(recording, kept)


def _require_order(recording: Recording) -> None:
    times: dict[str, tuple[Array, bool]] = {
        "observation_time": (recording.observation_time, True),
        "action_time": (recording.action_time, True),
    }
    # a camera may be slower than the recorder, which then stores an image and its time again
    times.update({f"image_time/{name}": (stamps, False) for name, stamps in recording.image_time.items()})
    for name, (stamps, strictly) in times.items():
        # also false for NaN, which image times may contain
        rising = np.diff(stamps) > 0 if strictly else np.diff(stamps) >= 0
        if not rising.all():
            raise RefusedError(
                Defect.TIME_ORDER, f"'{name}' does not increase at tick {int(np.argmin(rising)) + 1}"
            )
        if not np.isfinite(stamps).all():
            raise RefusedError(Defect.NOT_FINITE, f"'{name}' holds NaN or infinity")


def _require_gripper_range(recording: Recording) -> None:
    for prefix, arm in _named(recording):
        for name in _GRIPPERS:
            values = getattr(arm, name)
            low, high = float(values.min()), float(values.max())
            if low < -GRIPPER_TOLERANCE or high > 1 + GRIPPER_TOLERANCE:
                raise RefusedError(
                    Defect.GRIPPER_RANGE,
                    f"'{prefix}{name}' runs from {low:.3g} to {high:.3g}, not from 0 (closed) to 1 (open)",
                )


def _mended(arm: ArmTrack, prefix: str, notes: list[Note]) -> ArmTrack:
    name = f"{prefix}action_pose"
    poses = _continuous(name, _unit_quaternions(name, arm.action_pose, notes), notes)
    furthest = float(np.linalg.norm(poses[:, :3], axis=1).max())
    if furthest > REACH:
        text = f"{prefix}the commanded position is up to {furthest:.1f} m from the base; is the frame right?"
        notes.append(warning(Defect.OUT_OF_REACH, text))
    if arm.pose.shape[1]:
        seen = f"{prefix}pose"
        arm = replace(arm, pose=_continuous(seen, _unit_quaternions(seen, arm.pose, notes), notes))
    return replace(arm, action_pose=poses, action_gripper=_clipped(arm.action_gripper, notes))


def _unit_quaternions(name: str, poses: Array, notes: list[Note]) -> Array:
    norms = np.linalg.norm(poses[:, 3:], axis=1)
    worst = int(np.argmax(np.abs(norms - 1)))
    off = abs(norms[worst] - 1)
    if off >= NORM_TOLERANCE:
        kind = "a zero quaternion" if norms[worst] < NORM_TOLERANCE else "no unit quaternion"
        raise RefusedError(
            Defect.QUATERNION_NORM, f"'{name}' holds {kind} at tick {worst} (length {norms[worst]:.3g})"
        )
    if off > 1e-4:
        text = f"normalised the quaternions of '{name}' (off by up to {off:.1g})"
        notes.append(repaired(Defect.QUATERNION_NORM, text))
    return np.concatenate([poses[:, :3], poses[:, 3:] / norms[:, None]], axis=1)


def _continuous(name: str, poses: Array, notes: list[Note]) -> Array:
    """Choose the signs of quaternions (q and -q are the same rotation) so neighbours are close."""
    flips = (poses[1:, 3:] * poses[:-1, 3:]).sum(1) < 0
    if not flips.any():
        return poses
    sign = np.concatenate([[1.0], np.cumprod(np.where(flips, -1.0, 1.0))])
    text = f"made the quaternions of '{name}' continuous across {int(flips.sum())} changes of sign"
    notes.append(repaired(Defect.QUATERNION_SIGN, text))
    return np.concatenate([poses[:, :3], poses[:, 3:] * sign[:, None]], axis=1)


def _clipped(command: NDArray[np.float64], notes: list[Note]) -> NDArray[np.float64]:
    if command.min() < 0 or command.max() > 1:
        notes.append(repaired(Defect.GRIPPER_RANGE, "clipped 'action_gripper' to 0..1"))
    return np.clip(command, 0, 1)
