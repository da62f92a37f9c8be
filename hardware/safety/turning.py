"""The rotation of one arm under its limits: rate and angular acceleration, as vector lengths in the base frame.

No orientation is forbidden, so slowing down is always allowed and always ends: if the present rate is within its limit,
so is every later one. Independent of position; rates are the turns between the orientations that are sent, per second.
"""

from __future__ import annotations

import math

from hardware.quaternion import Quaternion, Vector3, turn_between, turned
from hardware.safety.braking import strongest
from hardware.safety.reasons import Reason

_ROUNDING = 1.0 + 1e-9
_STILL = 1e-11
"""rad/s, rounding error at rest."""

Turn = tuple[Quaternion, Vector3, Reason | None]
"""Orientation and rate, rad/s, after a tick, and why they are not the target's."""


class Turning:
    """The limits of one arm's rotation."""

    def __init__(self, *, rate: float, acceleration: float, dt: float) -> None:
        """rad/s, rad/s2, s."""
        self._rate = rate
        self._step = acceleration * dt
        self._dt = dt

    def braked(self, orientation: Quaternion, rate: Vector3) -> Turn:
        """One tick slower."""
        return self._turned(orientation, self._limited(rate, (0.0, 0.0, 0.0)), None)

    def follow(self, orientation: Quaternion, rate: Vector3, target: Quaternion, pace: Vector3) -> Turn:
        """One tick towards `target`, which itself turns at `pace`, rad/s; exact where the limits allow it."""
        x, y, z = turn_between(orientation, target)
        needed = x / self._dt, y / self._dt, z / self._dt
        speed = math.hypot(*needed)
        if speed <= self._rate * _ROUNDING + _STILL:
            if math.dist(needed, rate) <= self._step * _ROUNDING + _STILL:
                return target, needed, None
            reason = Reason.ROTATION_ACCELERATION
        else:
            reason = Reason.ROTATION_RATE
        wanted = _clipped(self._wanted(needed, _clipped(pace, self._rate)), self._rate)
        return self._turned(orientation, self._limited(rate, wanted), reason)

    def _wanted(self, needed: Vector3, pace: Vector3) -> Vector3:
        """The fastest rate from which slowing down to `pace` ends on the target."""
        x, y, z = needed[0] - pace[0], needed[1] - pace[1], needed[2] - pace[2]
        missing = math.hypot(x, y, z)
        if missing == 0.0:
            return pace
        share = strongest(missing, self._step) / missing
        return pace[0] + share * x, pace[1] + share * y, pace[2] + share * z

    def _limited(self, rate: Vector3, wanted: Vector3) -> Vector3:
        """`wanted`, or as near to it as one tick allows."""
        change = wanted[0] - rate[0], wanted[1] - rate[1], wanted[2] - rate[2]
        x, y, z = _clipped(change, self._step)
        return rate[0] + x, rate[1] + y, rate[2] + z

    def _turned(self, orientation: Quaternion, rate: Vector3, reason: Reason | None) -> Turn:
        dt = self._dt
        return turned((rate[0] * dt, rate[1] * dt, rate[2] * dt), orientation), rate, reason


def _clipped(vector: Vector3, longest: float) -> Vector3:
    length = math.hypot(*vector)
    if length <= longest:
        return vector
    share = longest / length
    return vector[0] * share, vector[1] * share, vector[2] * share
