"""Homing, tick by tick: progress along the path, and the commands to send.

The position on a path segment is one axis (`hardware.safety.axis`) whose limits are the segment's pace: it comes to
rest at the segment's end, and from every tick it can brake within the pace, on the path that was checked before. Where
it could not certainly stop clear of the other arm it slows down, waits, and continues when it can. It moves gently, at
the arm's own pace; it brakes as firmly as [safety] allows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardware.controller.way import Stretch
from hardware.plan import Command, JointCommand, Vector
from hardware.quaternion import Quaternion, turn_between, turned
from hardware.safety.axis import Axis, Move
from hardware.safety.clearance import Clearance, Sphere
from hardware.safety.filter import SafetySettings
from hardware.safety.reasons import Reason

_STILL = 1e-9
"""rad per tick, and rad from the end."""
_HALVINGS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """The tool's pose at a point of a segment, and its derivatives along the segment."""

    position: Vector
    """[3] m"""
    quaternion: Vector
    """[4]"""
    slope: Vector
    """[3] m per rad"""
    turn: Vector
    """[3] rad per rad"""


class Homeward:
    """One arm while homing."""

    def __init__(self, way: Sequence[Stretch], safety: SafetySettings, dt: float) -> None:
        """Starts at rest at the beginning of the path; `dt` is the controller's period, s."""
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
        """Whether the arm is commanded to stay at rest."""
        return abs(self._speed) <= _STILL

    @property
    def arrived(self) -> bool:
        """Whether the last joint configuration has been commanded, at rest."""
        return not self._ahead and self._ended

    def step(
        self, others: Sequence[Sphere], *, brake: bool, gripper: float, now: float
    ) -> tuple[JointCommand, Command, tuple[Reason, ...]]:
        """The joint command of this tick, the tool's pose for it, and why it was slowed down."""
        if self._ended and self._ahead and not brake:
            self._begin(self._ahead.pop(0))
        braked = self._firm.braked(self._s, self._speed, self._change)
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
        self._stretch = stretch
        self._axis, self._firm = (
            Axis(velocity=each.speed, acceleration=each.acceleration, jerk=each.jerk, dt=self._dt)
            for each in (stretch.pace, stretch.braking)
        )
        self._knots: list[float] = stretch.knots.tolist()
        self._places: list[list[float]] = stretch.position.tolist()
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
        """The pose between two knots of the current segment."""
        stretch = self._stretch
        i, share = self._between(s)
        gap = self._knots[i + 1] - self._knots[i]
        here, there = stretch.position[i], stretch.position[i + 1]
        start = _quaternion(stretch.quaternion[i])
        x, y, z = turn_between(start, _quaternion(stretch.quaternion[i + 1]))
        return Pose(
            position=here + share * (there - here),
            quaternion=np.array(turned((share * x, share * y, share * z), start)),
            slope=(there - here) / gap,
            turn=np.array((x, y, z)) / gap,
        )

    def _between(self, s: float) -> tuple[int, float]:
        """The knot before s, and the fraction of the distance to the next."""
        knots = self._knots
        i = min(max(bisect_right(knots, s) - 1, 0), len(knots) - 2)
        return i, (s - knots[i]) / (knots[i + 1] - knots[i])

    def _place(self, s: float) -> list[float]:
        i, share = self._between(s)
        return [a + share * (b - a) for a, b in zip(self._places[i], self._places[i + 1], strict=True)]

    # --- the other arm --------------------------------------------------------------------------------------------

    def _kept_clear(
        self, move: Move, braked: Move, others: Sequence[Sphere]
    ) -> tuple[Move, tuple[Reason, ...]]:
        """The move, scaled back as far as needed to keep clear of the other arm; braking at worst."""
        if not others or self._clearance.certain(self._swept(move, braked, 1.0), others):
            return move, ()
        worst = self._swept(move, braked, 0.0)
        if self._clearance.allowed(self._swept(move, braked, 1.0), worst, others):
            return move, ()
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            share = 0.5 * (low + high)
            if self._clearance.allowed(self._swept(move, braked, share), worst, others):
                low = share
            else:
                high = share
        return self._firm.between(self._s, self._speed, braked, move, low), (Reason.OTHER_ARM,)

    def _swept(self, move: Move, braked: Move, share: float) -> list[Move]:
        """The tool's motion for a move between braking (0) and `move` (1): per axis, with the room to stop in."""
        along = self._firm.between(self._s, self._speed, braked, move, share)
        ends = max(along.lowest, 0.0), min(along.highest, self._stretch.length)
        first, last = (bisect_right(self._knots, end) for end in ends)
        here = self._place(along.position)
        places = [here, *(self._place(end) for end in ends), *self._places[first:last]]
        return [
            Move(x, 0.0, 0.0, min(each), max(each), along.ticks, along.steady)
            for x, each in zip(here, zip(*places, strict=True), strict=True)
        ]


def _quaternion(numbers: Vector) -> Quaternion:
    x, y, z, w = (float(number) for number in numbers)
    return x, y, z, w
