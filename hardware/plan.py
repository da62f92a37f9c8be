"""What passes between the loop that makes plans and the controller of one arm: timed poses, and what became of them.

Base frame of the arm; positions m, quaternions xyzw (unit), gripper 0 closed .. 1 open, time s on the machine's
monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedPlan:
    """Poses with the instants at which they are due; replaces what is left of an older plan from its first instant."""

    time: Vector
    """[n] strictly increasing."""
    position: Vector
    """[n, 3]"""
    quaternion: Vector
    """[n, 4]"""
    gripper: Vector
    """[n]"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """Where an arm should be at one controller tick, before limits."""

    position: Vector
    """[3]"""
    quaternion: Vector
    """[4]"""
    velocity: Vector
    """[3] m/s"""
    angular_velocity: Vector
    """[3] rad/s, base frame."""
    gripper: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Command:
    """What the limits let through at one controller tick; this goes to the arm."""

    time: float
    position: Vector
    """[3]"""
    quaternion: Vector
    """[4]"""
    velocity: Vector
    """[3] m/s"""
    angular_velocity: Vector
    """[3] rad/s, base frame."""
    gripper: float


@dataclass(frozen=True, kw_only=True, eq=False)
class JointCommand:
    """The posture of one controller tick on the way home."""

    time: float
    joints: Vector
    """[n] rad"""
    rates: Vector
    """[n] rad/s"""
