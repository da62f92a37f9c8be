"""Why a command is not the target: the words that are counted and shown."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One kind of intervention of the safety filter."""

    STALE = "stale"
    """There was no target: the plan, or who makes plans, is too old."""
    NOT_FINITE = "not_finite"
    """The target held NaN or infinity, or a quaternion of length zero."""
    OUTSIDE = "outside"
    """The arm is outside its workspace: it may only move inward, slowly."""
    BOX = "box"
    """Stopping would not have been possible within the workspace."""
    OTHER_ARM = "other_arm"
    """Stopping clear of the other arm would not have been certain."""
    VELOCITY = "velocity"
    ACCELERATION = "acceleration"
    JERK = "jerk"
    ROTATION_RATE = "rotation_rate"
    ROTATION_ACCELERATION = "rotation_acceleration"
    GRIPPER_RATE = "gripper_rate"
