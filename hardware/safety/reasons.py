"""Why a command differs from the target: the words that are counted and shown."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One kind of intervention of the safety filter."""

    STALE = "stale"
    """There was no target: stale plan or heartbeat."""
    NOT_FINITE = "not_finite"
    """The target contained NaN or infinity, or a quaternion of length zero."""
    OUTSIDE = "outside"
    """The arm is outside its workspace: it may only move inward, slowly."""
    BOX = "box"
    """The arm could not have stopped within the workspace."""
    OTHER_ARM = "other_arm"
    """The arm could not certainly have stopped clear of the other one."""
    VELOCITY = "velocity"
    ACCELERATION = "acceleration"
    JERK = "jerk"
    ROTATION_RATE = "rotation_rate"
    ROTATION_ACCELERATION = "rotation_acceleration"
    GRIPPER_RATE = "gripper_rate"
