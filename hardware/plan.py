"""What the planning loop and the controller of one arm exchange: timed poses, and the commands they become.

Base frame of the arm; positions m, quaternions xyzw (unit), gripper 0 closed .. 1 open, time s on the machine's
monotonic clock, which all its processes share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedPlan:
    """Poses with the times at which they are due; replaces the rest of an older plan from its first time on."""

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
    """The target after limits at one controller tick; this is sent to the arm."""

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
    """The joint configuration at one controller tick while homing."""

    time: float
    joints: Vector
    """[n] rad"""
    rates: Vector
    """[n] rad/s"""
