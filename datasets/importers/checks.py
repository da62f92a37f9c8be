"""Which VR recordings can be used: every reason for refusing one stands here.

Small defects are mended and said (a tail of two ticks, a quaternion a little off its length); larger ones refuse the
file. Nothing is guessed: no order of quaternion numbers, no colour order, no label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError, VrRecording

TAIL_TICKS = 2
"""Members may differ in length by this much; the longer ones lose their end."""
NORM_TOLERANCE = 1e-2
"""A quaternion whose length is off by less is normalised."""
GRIPPER_TOLERANCE = 0.1
"""A gripper may read this far outside 0..1, as springy ones do; a command there is clipped."""

_PER_TICK = (
    "joint_angles",
    "end_effector_pose",
    "gripper",
    "observation_time",
    "action_pose",
    "action_gripper",
    "action_time",
    "clutch",
    "success_button",
    "failure_button",
)
_NUMBERS = _PER_TICK[:7]
_POSES = ("end_effector_pose", "action_pose")
_GRIPPERS = ("gripper", "action_gripper")
_TIMES = ("observation_time", "action_time")


def usable(recording: VrRecording, spec: DataSpec) -> tuple[VrRecording, list[str]]:
    """The recording with small defects mended, and a sentence about each.

    Raises:
        RecordingError: it cannot serve this task.
    """
    _require_fit(recording, spec)
    recording, notes = _cut_tail(_wanted_cameras(recording, spec))
    _require_finite(recording)
    _require_increasing(recording)
    _require_gripper_range(recording)
    changed: dict[str, Any] = {}
    for name in _POSES:
        changed[name] = _unit_quaternions(name, getattr(recording, name), notes)
    changed["action_gripper"] = _clipped(recording.action_gripper, notes)
    return replace(recording, **changed), notes


def _require_fit(recording: VrRecording, spec: DataSpec) -> None:
    for camera in spec.cameras:
        if camera.name not in recording.images:
            found = ", ".join(recording.images) or "none"
            raise RecordingError(f"no camera '{camera.name}'; the recording has: {found}")
    if spec.action.arms != 1:
        raise RecordingError(f"the task moves {spec.action.arms} arms, the recording has one")
    joints = spec.dq - spec.proprioception.count("gripper")
    if recording.joint_angles.shape[1] != joints:
        raise RecordingError(f"{recording.joint_angles.shape[1]} joints instead of the task's {joints}")


def _wanted_cameras(recording: VrRecording, spec: DataSpec) -> VrRecording:
    names = [camera.name for camera in spec.cameras]
    return replace(
        recording,
        images={name: recording.images[name] for name in names},
        image_time={name: recording.image_time[name] for name in names},
    )


def _lengths(recording: VrRecording) -> Iterator[tuple[str, int]]:
    for name in _PER_TICK:
        yield name, len(getattr(recording, name))
    for camera, frames in recording.images.items():
        yield f"images/{camera}", len(frames)
        yield f"image_time/{camera}", len(recording.image_time[camera])


def _cut_tail(recording: VrRecording) -> tuple[VrRecording, list[str]]:
    lengths = dict(_lengths(recording))
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    ticks, excess = lengths[shortest], lengths[longest] - lengths[shortest]
    if ticks == 0:
        raise RecordingError(f"'{shortest}' is empty")
    if excess > TAIL_TICKS:
        raise RecordingError(
            f"unequal lengths: '{longest}' has {lengths[longest]} ticks, '{shortest}' has {ticks}"
        )
    cut = replace(
        recording,
        images={name: frames[:ticks] for name, frames in recording.images.items()},
        image_time={name: times[:ticks] for name, times in recording.image_time.items()},
        **{name: getattr(recording, name)[:ticks] for name in _PER_TICK},
    )
    return cut, [f"cut {excess} ticks of tail that '{shortest}' lacks"] if excess else []


def _require_finite(recording: VrRecording) -> None:
    for name in _NUMBERS:
        if not np.isfinite(getattr(recording, name)).all():
            raise RecordingError(f"'{name}' holds NaN or infinity")


def _require_increasing(recording: VrRecording) -> None:
    times = {name: getattr(recording, name) for name in _TIMES}
    times.update({f"image_time/{camera}": stamps for camera, stamps in recording.image_time.items()})
    for name, stamps in times.items():
        # also false for NaN, which image times may hold
        rising = np.diff(stamps) > 0
        if not rising.all():
            raise RecordingError(f"'{name}' does not increase at tick {int(np.argmin(rising)) + 1}")


def _unit_quaternions(name: str, poses: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    norms = np.linalg.norm(poses[:, 3:], axis=1)
    worst = int(np.argmax(np.abs(norms - 1)))
    off = abs(norms[worst] - 1)
    if off >= NORM_TOLERANCE:
        kind = "a zero quaternion" if norms[worst] < NORM_TOLERANCE else "no unit quaternion"
        raise RecordingError(f"'{name}' holds {kind} at tick {worst} (length {norms[worst]:.3g})")
    if off > 1e-4:
        notes.append(f"normalised the quaternions of '{name}' (off by up to {off:.1g})")
    return np.concatenate([poses[:, :3], poses[:, 3:] / norms[:, None]], axis=1)


def _require_gripper_range(recording: VrRecording) -> None:
    for name in _GRIPPERS:
        values = getattr(recording, name)
        low, high = float(values.min()), float(values.max())
        if low < -GRIPPER_TOLERANCE or high > 1 + GRIPPER_TOLERANCE:
            raise RecordingError(
                f"'{name}' runs from {low:.3g} to {high:.3g}, not from 0 (closed) to 1 (open)"
            )


def _clipped(command: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    if command.min() < 0 or command.max() > 1:
        notes.append("clipped 'action_gripper' to 0..1")
    return np.clip(command, 0, 1)
