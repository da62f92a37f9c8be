"""On the way home, tick by tick: how far along, and what to send.

The place on a stretch is one axis (`hardware.axis`) with the stretch's pace for limits: it comes to rest at the
stretch's end, and from every tick it can brake within the pace, on the path that was checked before. Where it could not
certainly stop clear of the other arm it slows down, waits, and goes on when it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardware.axis import Axis, Move
from hardware.clearance import Clearance, Sphere
from hardware.plan import Command, JointCommand, Vector
from hardware.quaternion import Quaternion, turn_between, turned
from hardware.reasons import Reason
from hardware.safety import SafetySettings
from hardware.way import Stretch

_STILL = 1e-9
"""rad per tick, and rad from the end."""
_HALVINGS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """The tool somewhere on a stretch."""

    position: Vector
    """[3] m"""
    quaternion: Vector
    """[4]"""
    slope: Vector
    """[3] m per rad"""
    turn: Vector
    """[3] rad per rad"""


class Homeward:
    """One arm on its way."""

    def __init__(self, way: Sequence[Stretch], safety: SafetySettings, dt: float) -> None:
        """At rest at its beginning; `dt` is the controller's period, s."""
        self._ahead = list(way)
        self._dt = dt
        self._s = self._speed = self._change = 0.0
        self._clearance = Clearance(
            radius=safety.radius or 0.0,
            velocity=safety.velocity or 0.0,
            acceleration=safety.acceleration or 0.0,
            dt=dt,
        )
        self._begin(self._ahead.pop(0))

    @property
    def standing(self) -> bool:
        """Whether nothing is commanded to move."""
        return abs(self._speed) <= _STILL

    @property
    def arrived(self) -> bool:
        """Whether the last posture has been commanded, at rest."""
        return not self._ahead and self._ended

    def step(
        self, others: Sequence[Sphere], *, brake: bool, gripper: float, now: float
    ) -> tuple[JointCommand, Command, tuple[Reason, ...]]:
        """What to send at this tick, where the tool is then, and why it is held up."""
        if self._ended and self._ahead and not brake:
            self._begin(self._ahead.pop(0))
        braked = self._axis.braked(self._s, self._speed, self._change)
        move, reasons = braked, tuple[Reason, ...]()
        if not brake:
            stretch = self._stretch
            move = self._axis.follow(
                self._s, self._speed, self._change, (stretch.length, 0.0), (0.0, stretch.length)
            )
            move, reasons = self._kept_clear(move, braked, others)
        self._s, self._speed, self._change = move.position, move.speed, move.change
        return *self._commands(gripper, now), reasons

    def _begin(self, stretch: Stretch) -> None:
        pace = stretch.pace
        self._stretch = stretch
        self._axis = Axis(velocity=pace.speed, acceleration=pace.acceleration, jerk=pace.jerk, dt=self._dt)
        self._s = self._speed = self._change = 0.0

    @property
    def _ended(self) -> bool:
        return self.standing and abs(self._s - self._stretch.length) <= _STILL

    def _commands(self, gripper: float, now: float) -> tuple[JointCommand, Command]:
        rate = self._speed / self._dt
        pose = self._pose(self._s)
        joints = JointCommand(
            time=now, joints=self._stretch.joints(self._s), rates=rate * self._stretch.direction
        )
        command = Command(
            time=now,
            position=pose.position,
            quaternion=pose.quaternion,
            velocity=rate * pose.slope,
            angular_velocity=rate * pose.turn,
            gripper=gripper,
        )
        return joints, command

    def _pose(self, s: float) -> Pose:
        """Between two knots of the present stretch."""
        stretch = self._stretch
        knots = stretch.knots
        i = min(max(int(np.searchsorted(knots, s, side="right")) - 1, 0), len(knots) - 2)
        gap = float(knots[i + 1] - knots[i])
        share = (s - float(knots[i])) / gap
        here, there = stretch.position[i], stretch.position[i + 1]
        start = _quaternion(stretch.quaternion[i])
        x, y, z = turn_between(start, _quaternion(stretch.quaternion[i + 1]))
        return Pose(
            position=here + share * (there - here),
            quaternion=np.array(turned((share * x, share * y, share * z), start)),
            slope=(there - here) / gap,
            turn=np.array((x, y, z)) / gap,
        )

    # --- the other arm --------------------------------------------------------------------------------------------

    def _kept_clear(
        self, move: Move, braked: Move, others: Sequence[Sphere]
    ) -> tuple[Move, tuple[Reason, ...]]:
        """The move, or as much of it as keeps clear of the other arm; braking at worst."""
        if not others or self._clearance.certain(self._swept(move), others):
            return move, ()
        worst = self._swept(braked)
        if self._clearance.allowed(self._swept(move), worst, others):
            return move, ()
        best, low, high = braked, 0.0, 1.0
        for _ in range(_HALVINGS):
            share = 0.5 * (low + high)
            tried = self._axis.between(self._s, self._speed, braked, move, share)
            if self._clearance.allowed(self._swept(tried), worst, others):
                best, low = tried, share
            else:
                high = share
        return best, (Reason.OTHER_ARM,)

    def _swept(self, move: Move) -> list[Move]:
        """The same move as the tool makes it: along each axis, with the room in which it can stop."""
        stretch = self._stretch
        ends = (max(move.lowest, 0.0), min(move.highest, stretch.length))
        first, last = np.searchsorted(stretch.knots, ends)
        here = self._pose(move.position)
        places = np.vstack(
            [here.position, *(self._pose(end).position for end in ends), stretch.position[first:last]]
        )
        rows = zip(here.position, here.slope, places.min(axis=0), places.max(axis=0), strict=True)
        return [
            Move(float(x), float(slope) * move.speed, 0.0, float(low), float(high), move.ticks, move.steady)
            for x, slope, low, high in rows
        ]


def _quaternion(numbers: Vector) -> Quaternion:
    x, y, z, w = (float(number) for number in numbers)
    return x, y, z, w
