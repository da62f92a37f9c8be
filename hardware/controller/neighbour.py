"""The other arm of a cell in this one's base frame: the obstacle that the safety filter keeps clear of.

Reads the newest report of the other arm's controller; decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.mailbox import Mailbox
from hardware.plan import Vector
from hardware.safety.filter import Sphere
from hardware.settings import ArmSettings, Vector3
from hardware.wire import Mode, Report

_STANDING_AGE = 0.3
"""s after which the last report of an arm at rest is no longer trusted."""


@dataclass(frozen=True, kw_only=True)
class BaseChange:
    """From the base frame of one arm to that of another: x' = turn x + shift."""

    turn: tuple[Vector3, Vector3, Vector3]
    shift: Vector3

    @classmethod
    def between(cls, other: ArmSettings, own: ArmSettings) -> BaseChange:
        """From `other`'s frame to `own`'s."""
        # a controller's process receives only the numbers, and starts twice as fast without this library
        from scipy.spatial.transform import Rotation

        back = Rotation.from_rotvec(own.base_rotation).inv()
        turn = (back * Rotation.from_rotvec(other.base_rotation)).as_matrix()
        shift = back.apply(np.subtract(other.base_position, own.base_position))
        rows = [(float(a), float(b), float(c)) for a, b, c in turn]
        return cls(
            turn=(rows[0], rows[1], rows[2]), shift=(float(shift[0]), float(shift[1]), float(shift[2]))
        )


class Neighbour:
    """The other arm."""

    def __init__(self, reports: Mailbox, change: BaseChange, radius: float) -> None:
        """`reports` are those of the other arm's controller."""
        self._reports = reports
        self._turn, self._shift = np.array(change.turn), np.array(change.shift)
        self._radius = radius
        self._seen: tuple[float, Vector] | None = None

    def spheres(self, now: float) -> list[Sphere]:
        """As of `now`; none while the other arm's position is unknown."""
        found = self._reports.newest()
        if found is None:
            return []
        report = Report.decode(found[1])
        servo = report.mode in (Mode.SERVO, Mode.BRAKING, Mode.HOMING) and bool(
            np.isfinite(report.position).all()
        )
        position = report.position if servo else report.measured_position
        if not np.isfinite(position).all():
            return []
        velocity = report.velocity if servo else self._estimated(report)
        center, speed = self._turn @ position + self._shift, self._turn @ velocity
        return [
            Sphere(center=_plain(center), velocity=_plain(speed), radius=self._radius, age=_age(report, now))
        ]

    def _estimated(self, report: Report) -> Vector:
        """Velocity, m/s, of an arm without commands, from its last two reports."""
        before, self._seen = self._seen, (report.measured_time, report.measured_position)
        if before is None or report.measured_time <= before[0]:
            return np.zeros(3)
        velocity: Vector = (report.measured_position - before[1]) / (report.measured_time - before[0])
        return velocity


def _age(report: Report, now: float) -> float:
    """s in which the arm may have moved; one at rest reports less often, but always before it starts to move."""
    age = max(0.0, now - report.time)
    standing = report.mode in (Mode.PARKED, Mode.FAULT, Mode.OFFLINE) and age < _STANDING_AGE
    return 0.0 if standing else age


def _plain(vector: Vector) -> Vector3:
    return float(vector[0]), float(vector[1]), float(vector[2])
