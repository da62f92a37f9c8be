"""What one arm's controller is told before it starts, besides its devices' settings; and what is built from that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardware.arms.interface import ArmError
from hardware.controller.interpolation import Interpolator
from hardware.plan import Vector
from hardware.safety.filter import SafetyError, SafetyFilter, SafetySettings

_GENTLE = 1.0  # m/s2, placeholder while none is set; nothing moves before one is


@dataclass(frozen=True, kw_only=True)
class ControllerSettings:
    """The settings of one controller, besides its devices'."""

    safety: SafetySettings
    hz: int
    park_after: float
    """An arm that is idle for longer, s, is parked."""
    suspended_after: float
    """A gap between two ticks longer than this, s, aborts the motion."""
    tracking_error: float
    """Maximum distance of the arm from its commanded position, m."""
    home: tuple[float, ...]
    """rad"""
    home_within: float
    """Tolerance of every joint about home, rad."""
    home_opening: float | None
    """Opening of the gripper while homing, 0..1; None leaves it unchanged."""

    def interpolator(self) -> Interpolator:
        """The interpolator of its plans."""
        return Interpolator(
            acceleration=self.safety.acceleration or _GENTLE,
            jerk=self.safety.jerk,
            rotation_acceleration=self.safety.rotation_acceleration,
            velocity=self.safety.velocity or math.inf,
            rotation_rate=self.safety.rotation_rate,
        )

    def limits(self, arm: str) -> SafetyFilter:
        """The safety filter of this arm. Raises ArmError while limits are not set."""
        try:
            return SafetyFilter(self.safety, 1.0 / self.hz, arm)
        except SafetyError as error:
            raise ArmError(f"{arm}: {error} It does not move before the limits are set.") from error

    def away_from_home(self, joints: Vector) -> float:
        """rad, of the joint farthest from home."""
        return float(np.abs(joints - self.home).max())
