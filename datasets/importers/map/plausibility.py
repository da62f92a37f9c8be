"""Detection of physically implausible values: degrees read as radians, teleports, a wrong column.

Checks a recording that is otherwise valid; repairs nothing.
"""

from __future__ import annotations

import math

import numpy as np

from datasets.importers.convert.timeline import angles
from datasets.importers.defects import Defect, Note, RefusedError, warning
from datasets.importers.recording import ArmTrack, Array, Indices, Recording

LARGEST_ANGLE = 2.2 * math.pi
"""rad; a joint turns at most slightly more than one revolution each way."""
FASTEST = 2.0
"""Maximum tool speed, m/s."""
FASTEST_TURN = 2 * math.pi
"""Maximum angular speed of a tool or joint, rad/s."""
SPAN = 0.1
"""s over which speeds are measured, so that sparse commands or stuttering clocks do not count as teleports."""
STILL_JOINTS = 1e-6
"""rad; joint angles that change less than this over a whole recording count as still."""
FAR = 0.05
"""m; a tool cannot move this far while all joints are still."""


def require_angles(values: Array, what: str) -> None:
    """Refuse joint angles [T, n] that no joint reaches.

    Raises:
        RefusedError: they are most likely degrees.
    """
    largest = float(np.abs(values).max(initial=0.0))
    # non-finite values are another defect with its own message
    if np.isfinite(largest) and largest > LARGEST_ANGLE:
        raise RefusedError(
            Defect.OUT_OF_REACH,
            f"{what} reads up to {largest:.4g} rad, and no joint turns beyond {LARGEST_ANGLE:.2g}; if these are "
            "degrees, say --map angle=deg, else the column is another",
        )


def require_moving_joints(arm: ArmTrack, prefix: str) -> None:
    """Refuse joint angles that stay still while the tool moves.

    Raises:
        RefusedError: the column does not hold joint angles.
    """
    if not arm.joint_angles.shape[1] or np.ptp(arm.joint_angles, axis=0).max() > STILL_JOINTS:
        return
    distance = float(np.linalg.norm(np.ptp(arm.action_pose[:, :3], axis=0)))
    if distance > FAR:
        raise RefusedError(
            Defect.UNFIT,
            f"'{prefix}joint_angles' never change while the tool is commanded to move {distance:.2f} m; "
            "another column holds the joint angles, or none does",
        )


def jumps(recording: Recording, arm: ArmTrack, prefix: str) -> list[Note]:
    """A warning for each member that moves faster than any arm while the arm follows."""
    commanded, measured = recording.action_time, recording.observation_time
    notes = []
    for what, time, values in (
        ("the commanded position", commanded, arm.action_pose[:, :3]),
        ("the measured position", measured, arm.pose[:, :3]),
    ):
        first, last = _spans(time, recording)
        distance = np.linalg.norm(values[last] - values[first], axis=1)
        notes += _note(f"{prefix}{what}", distance, time[last] - time[first], first, (FASTEST, "m/s"))
    first, last = _spans(commanded, recording)
    turn = angles(arm.action_pose[first, 3:], arm.action_pose[last, 3:])
    passed = commanded[last] - commanded[first]
    notes += _note(f"{prefix}the commanded rotation", turn, passed, first, (FASTEST_TURN, "rad/s"))
    first, last = _spans(measured, recording)
    turn = np.abs(arm.joint_angles[last] - arm.joint_angles[first]).max(axis=1, initial=0.0)
    passed = measured[last] - measured[first]
    return [*notes, *_note(f"{prefix}a joint", turn, passed, first, (FASTEST_TURN, "rad/s"))]


def _spans(time: Array, recording: Recording) -> tuple[Indices, Indices]:
    """First and last tick of every interval of about SPAN in which the arm follows."""
    last = np.searchsorted(time, time + SPAN * (1 - 1e-3))
    first = np.flatnonzero(last < len(time))
    last = last[first]
    lost = np.concatenate([[0], np.cumsum(~recording.following)])
    whole = lost[last + 1] == lost[first]
    return first[whole], last[whole]


def _note(what: str, amount: Array, seconds: Array, first: Indices, limit: tuple[float, str]) -> list[Note]:
    rate, (most, unit) = amount / seconds, limit
    if not len(rate) or rate.max() <= most:
        return []
    tick = first[np.argmax(rate)]
    text = (
        f"{what} moves at {rate.max():.3g} {unit} after tick {tick}, as no arm does; are unit and rate right?"
    )
    return [warning(Defect.JUMP, text)]
