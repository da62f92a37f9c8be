"""From a recorder's ticks to control steps: trim the idle start, cut clutch-off intervals, close time, resample.

Ticks are the recorder's samples, steps the task's. Poses are interpolated, images never: each step gets the existing
image nearest in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from datasets.importers.defects import Defect, Note, RefusedError, repaired
from datasets.importers.recording import Recording

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

IDLE_DISTANCE = 3e-3
"""m; a commanded position closer than this to the first one counts as idle."""
IDLE_ANGLE = 0.02
"""rad"""
IDLE_GRIPPER = 0.05
LONGEST_GAP = 1.0
"""Maximum s without a tick while the clutch is closed; longer gaps refuse the recording."""
LARGEST_JUMP = 0.05
"""Maximum m between the commanded positions before and after a clutch-off interval; more refuses the recording."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The ticks in use, and their times with clutch-off intervals removed."""

    kept: Indices
    """[n] ticks in use, ascending."""
    recorded: Array
    """[n] s, recorded time of each."""
    closed: Array
    """[n] s since the first, with every clutch-off interval closed to one tick."""
    idle: int
    """Ticks trimmed from the start."""
    clutch_off: int
    """Ticks dropped later because the arm did not follow the hand."""
    step_time: Array
    """[T+1] s, closed time of every control step; the last is the last tick, when the task was finished."""
    notes: tuple[Note, ...] = ()

    @property
    def steps(self) -> int:
        """T."""
        return len(self.step_time) - 1

    @property
    def ranges(self) -> list[list[int]]:
        """`kept` as [first, last + 1] pairs."""
        pieces = np.split(self.kept, np.flatnonzero(np.diff(self.kept) > 1) + 1)
        return [[int(piece[0]), int(piece[-1]) + 1] for piece in pieces]

    def close(self, stamps: Array) -> Array:
        """Convert recorded time stamps [n], s, to closed time."""
        inside = np.interp(stamps, self.recorded, self.closed)
        before = np.minimum(stamps - self.recorded[0], 0)
        after = np.maximum(stamps - self.recorded[-1], 0)
        return np.asarray(inside + before + after, np.float64)


def timeline(recording: Recording, control_hz: float, shortest: int) -> Timeline:
    """Choose the ticks and close the time.

    Raises:
        RefusedError: nothing moves, fewer than `shortest` steps remain, or a gap is too large to close.
    """
    following = np.flatnonzero(recording.following)
    period = tick(recording.observation_time)
    still = first_motion(recording, following)
    # steps are counted back from the end, so one control period of stillness makes sure that no motion is cut
    # (a clock that counts since 1970 tells a period to some 1e-5 only, which must not take a tick more)
    start = max(0, still - math.ceil(1 / (control_hz * period) - 1e-3)) if period else still
    kept = following[following >= start]
    closed, notes = _close_gaps(recording, kept, period)
    # the small surplus keeps a recording whose rate is a multiple of the task's from losing a step
    steps = int((closed[-1] + 1e-6) * control_hz)
    if steps < shortest:
        raise RefusedError(
            Defect.TOO_SHORT, f"too short: {steps} control steps of motion, at least {shortest} are needed"
        )
    return Timeline(
        kept=kept,
        recorded=recording.observation_time[kept],
        closed=closed,
        idle=int(kept[0]),
        clutch_off=len(recording.following) - int(kept[0]) - len(kept),
        step_time=closed[-1] - np.arange(steps, -1, -1, dtype=np.float64) / control_hz,
        notes=notes,
    )


def tick(stamps: Array) -> float:
    """The recorder's typical period, s, from its time stamps [T]; 0 for a single one."""
    return float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0


def first_motion(recording: Recording, following: Indices) -> int:
    """The last still tick before the hand moves, the gripper moves or a button is pressed, clutch closed.

    Raises:
        RefusedError: that never happens.
    """
    if not len(following):
        raise RefusedError(
            Defect.NO_MOTION, "the clutch was never closed, so the arm never followed the hand"
        )
    moved = recording.finished[following]
    for arm in recording.arms:
        pose, gripper = arm.action_pose[following], arm.action_gripper[following]
        moved = moved | (np.linalg.norm(pose[:, :3] - pose[0, :3], axis=1) > IDLE_DISTANCE)
        moved |= angles(pose[:1, 3:], pose[:, 3:]) > IDLE_ANGLE
        moved |= np.abs(gripper - gripper[0]) > IDLE_GRIPPER
    if not moved.any():
        raise RefusedError(Defect.NO_MOTION, "nothing moves from beginning to end")
    return int(following[max(0, int(np.argmax(moved)) - 1)])


def angles(one: Array, other: Array) -> Array:
    """Angles [...] in rad between unit quaternions [..., 4], regardless of sign."""
    return np.asarray(2 * np.arccos(np.clip(np.abs((one * other).sum(-1)), 0, 1)), np.float64)


def poses_at(poses: Array, stamps: Array, time: Array) -> Array:
    """Interpolate poses [T, 7] from `stamps` to `time`, [len(time), 7]; held constant beyond both ends.

    Positions linearly, rotations along the shortest arc.
    """
    time = np.clip(time, stamps[0], stamps[-1])
    if len(stamps) == 1:
        return np.repeat(poses, len(time), axis=0)
    position = numbers_at(poses[:, :3], stamps, time)
    rotation = Slerp(stamps, Rotation.from_quat(poses[:, 3:]))(time).as_quat()
    return np.concatenate([position, rotation], axis=1)


def numbers_at(values: Array, stamps: Array, time: Array) -> Array:
    """Interpolate numbers [T, n] linearly from `stamps` to `time`, [len(time), n]; held constant beyond both ends."""
    return np.stack([np.interp(time, stamps, column) for column in values.T], axis=1)


def nearest(stamps: Array, time: Array) -> Indices:
    """Index of the stamp nearest to each time, [len(time)]."""
    right = np.clip(np.searchsorted(stamps, time), 1, max(1, len(stamps) - 1))
    left = right - 1
    right = np.minimum(right, len(stamps) - 1)
    return np.where(time - stamps[left] <= stamps[right] - time, left, right).astype(np.int64)


def _close_gaps(recording: Recording, kept: Indices, period: float) -> tuple[Array, tuple[Note, ...]]:
    """[len(kept)] s since the first kept tick, with clutch-off intervals closed to one period; and notes."""
    time = recording.observation_time
    passed = np.diff(time[kept])
    reopened = np.diff(kept) > 1
    _require_no_jump(recording, kept, reopened)
    lost = passed[~reopened]
    if (lost > LONGEST_GAP).any():
        raise RefusedError(Defect.GAP, f"the recorder lost {lost.max():.2f} s in the middle of the motion")
    gaps = int((lost > 1.5 * period).sum())
    notes = (repaired(Defect.GAP, f"bridged {gaps} gaps of up to {lost.max():.2f} s"),) if gaps else ()
    return np.concatenate([[0.0], np.cumsum(np.where(reopened, period, passed))]), notes


def _require_no_jump(recording: Recording, kept: Indices, reopened: NDArray[np.bool_]) -> None:
    for arm in recording.arms:
        jumps = np.linalg.norm(np.diff(arm.action_pose[kept, :3], axis=0), axis=1)[reopened]
        if (jumps > LARGEST_JUMP).any():
            raise RefusedError(
                Defect.JUMP,
                f"the commanded position jumps {100 * jumps.max():.0f} cm across a clutch-off stretch",
            )
