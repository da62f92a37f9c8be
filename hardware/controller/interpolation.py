"""A timed plan as a smooth motion: an arm's target at any time, across chunk boundaries.

Between two waypoints every coordinate is the quintic polynomial with the desired position, velocity and acceleration
at both ends (three numbers at each, so six coefficients); those of a waypoint come from the parabola through it and its
neighbours. So the motion passes through each waypoint on time, and position, velocity and acceleration are continuous,
both at waypoints and where a new plan replaces the tail of an old one.

Rotations are interpolated as rotation vectors about one orientation per plan, the one at which it takes over: a
smooth chart of all orientations within a full turn of it. The gripper is interpolated linearly.

Only the end of a motion is limited here; all other limits are applied afterwards, by `hardware.safety.filter`.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.errors import StationError
from hardware.plan import Target, TimedPlan, Vector
from hardware.quaternion import (
    IDENTITY,
    Quaternion,
    Vector3,
    angular_velocity,
    normalized,
    turn_between,
    turned,
)

_SHORTEST_LEAD = 0.5
"""A first waypoint due within this fraction of the plan's spacing is skipped: no arm could turn to it in time."""

_SHORTEST_STOP = 1e-3
"""s"""

_DIFFERENCE = 1e-4
"""s, step of the one numerical derivative."""

_FULL_TURN = 2.0 * math.pi

_QUINTIC = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.5, 0.0, 0.0, 0.0],
        [-10.0, -6.0, -1.5, 10.0, -4.0, 0.5],
        [15.0, 8.0, 1.5, -15.0, 7.0, -1.0],
        [-6.0, -3.0, -0.5, 6.0, -3.0, 0.5],
    ]
)
"""Coefficients over unit time of (position, velocity, acceleration) at both ends."""


class InterpolationError(StationError, ValueError):
    """An invalid plan."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Knot:
    """The motion at one instant: position m and rotation vector rad about `reference`, with their derivatives."""

    time: float
    reference: Quaternion
    value: Vector
    """[6]"""
    rate: Vector
    """[6]"""
    bend: Vector
    """[6]"""
    gripper: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Piece:
    """One polynomial in (t - start) / span."""

    start: float
    span: float
    reference: Quaternion
    coefficients: Vector
    """[6 powers, 6 coordinates]"""
    gripper: tuple[float, float]

    @property
    def end(self) -> float:
        return self.start + self.span

    def at(self, time: float) -> _Knot:
        u = min(max((time - self.start) / self.span, 0.0), 1.0)
        u2 = u * u
        u3 = u2 * u
        powers = np.array(
            (
                (1.0, u, u2, u3, u2 * u2, u2 * u3),
                (0.0, 1.0, 2.0 * u, 3.0 * u2, 4.0 * u3, 5.0 * u2 * u2),
                (0.0, 0.0, 2.0, 6.0 * u, 12.0 * u2, 20.0 * u3),
            )
        )
        value, rate, bend = powers @ self.coefficients
        return _Knot(
            time=self.start + u * self.span,
            reference=self.reference,
            value=value,
            rate=rate / self.span,
            bend=bend / (self.span * self.span),
            gripper=self.gripper[0] + u * (self.gripper[1] - self.gripper[0]),
        )


class Interpolator:
    """The motion of one arm: `reset`, then `post` plans and query the `target` at increasing times."""

    def __init__(
        self,
        *,
        acceleration: float,
        jerk: float,
        rotation_acceleration: float,
        velocity: float = math.inf,
        rotation_rate: float = math.inf,
    ) -> None:
        """Deceleration of a motion that no plan continues: about m/s2, m/s3 and rad/s2.

        Deceleration starts from at most `velocity` (m/s, per axis) and `rotation_rate` (rad/s): a plan that asks for
        more is not followed at its own speed, so the stopping distance counts from the speed the arm can have.
        """
        self._acceleration = acceleration
        self._jerk = jerk
        self._rotation_acceleration = rotation_acceleration
        self._velocity = velocity
        self._rotation_rate = rotation_rate
        nothing = np.zeros(6)
        self._rest = _Knot(
            time=-math.inf, reference=IDENTITY, value=nothing, rate=nothing, bend=nothing, gripper=1.0
        )
        self._pieces: list[_Piece] = []
        self._starts: list[float] = []
        self._end = -math.inf

    def reset(self, position: Vector, quaternion: Vector, gripper: float, now: float) -> None:
        """Stand still at a pose: m [3], xyzw [4], 0..1. Forgets every plan.

        Raises:
            InterpolationError: the pose is not finite, or its quaternion has length zero.
        """
        value = np.concatenate([np.asarray(position, np.float64), np.zeros(3)])
        if not np.isfinite(value).all():
            raise InterpolationError("The pose to start from is not finite; ask the arm for its state again.")
        nothing = np.zeros(6)
        self._rest = _Knot(
            time=now,
            reference=_unit(quaternion),
            value=value,
            rate=nothing,
            bend=nothing,
            gripper=float(gripper),
        )
        self._set([], -math.inf)

    def post(self, plan: TimedPlan, now: float) -> int:
        """Follow `plan`; until its first waypoint the older plan stays in force.

        Returns how many of its waypoints were late (due at `now` or before) and dropped. A plan that is entirely late
        changes nothing.

        Raises:
            InterpolationError: a number is not finite, a quaternion has length zero, or times do not increase; nothing
                has changed.
        """
        _check(plan)
        late = int(np.searchsorted(plan.time, now, side="right"))
        if late == len(plan.time):
            return late
        lead = _SHORTEST_LEAD * _spacing(plan)
        kept = self._kept(now, float(plan.time[late]) - lead)
        start = _recentred(kept[-1].at(kept[-1].end) if kept else self._at(now))
        first = late
        if first + 1 < len(plan.time) and plan.time[first] - start.time < lead:
            first += 1
        knots = _knots(start, plan, first)
        knots[-1] = self._slowed(knots[-1])
        pieces = [*kept, *(_piece(a, b) for a, b in itertools.pairwise(knots))]
        self._set([*pieces, *self._stop(knots[-1])], knots[-1].time)
        return late

    def hold(self, now: float) -> None:
        """Drop the plan and decelerate to rest."""
        here = self._slowed(_recentred(self._at(now)))
        self._set(self._stop(here), -math.inf)

    def target(self, now: float) -> Target:
        """Where the arm should be at `now`."""
        here = self._at(now)
        turn, rate = _vector3(here.value[3:]), _vector3(here.rate[3:])
        return Target(
            position=here.value[:3],
            quaternion=np.array(turned(turn, here.reference)),
            velocity=here.rate[:3],
            angular_velocity=np.array(angular_velocity(turn, rate)),
            gripper=here.gripper,
        )

    def done(self, now: float) -> bool:
        """Whether no waypoint is left: the arm decelerates or holds."""
        return now >= self._end

    def _set(self, pieces: list[_Piece], end: float) -> None:
        self._pieces, self._starts, self._end = pieces, [piece.start for piece in pieces], end

    def _at(self, now: float) -> _Knot:
        """The motion at `now`; at rest after its end."""
        if not self._pieces:
            return replace(self._rest, time=now)
        if now < self._pieces[-1].end:
            return self._pieces[max(bisect.bisect_right(self._starts, now) - 1, 0)].at(now)
        nothing = np.zeros(6)
        return replace(self._pieces[-1].at(now), time=now, rate=nothing, bend=nothing)

    def _kept(self, now: float, before: float) -> list[_Piece]:
        """Pieces of the current plan that end after `now` and by `before`; these are followed to their ends."""
        return [piece for piece in self._pieces if now < piece.end <= min(before, self._end)]

    def _slowed(self, knot: _Knot) -> _Knot:
        """The same pose with speed and acceleration clipped to the limits; unchanged within them.

        The arm was never commanded beyond them, whatever the plan asked for. What remains of an acceleration beyond
        them would otherwise carry the deceleration far past the plan.
        """
        speed, turning = float(np.abs(knot.rate[:3]).max()), float(np.linalg.norm(knot.rate[3:]))
        if speed > self._velocity or turning > self._rotation_rate:
            shares = _share(self._velocity, speed), _share(self._rotation_rate, turning)
            return replace(knot, rate=knot.rate * np.repeat(shares, 3), bend=np.zeros(6))
        slope, spin = float(np.linalg.norm(knot.bend[:3])), float(np.linalg.norm(knot.bend[3:]))
        if slope > self._acceleration or spin > self._rotation_acceleration:
            shares = _share(self._acceleration, slope), _share(self._rotation_acceleration, spin)
            return replace(knot, bend=knot.bend * np.repeat(shares, 3))
        return knot

    def _stop(self, start: _Knot) -> list[_Piece]:
        """From `start` to rest: the velocity follows a cubic with zero slope at its end.

        Position and rotation each take their own time, so the slower one does not make the other overrun.
        """
        moving = max(
            _SHORTEST_STOP,
            _stopping_time(start.rate[:3], start.bend[:3], self._acceleration, self._jerk),
        )
        turning = max(
            _SHORTEST_STOP, 1.5 * float(np.linalg.norm(start.rate[3:])) / self._rotation_acceleration
        )
        spans = np.repeat((moving, turning), 3)
        knots = [start, *(_slowing(start, spans, after) for after in sorted({moving, turning}))]
        return [_piece(a, b) for a, b in itertools.pairwise(knots)]


def _share(limit: float, value: float) -> float:
    return min(1.0, limit / max(value, 1e-12))


def _slowing(start: _Knot, spans: Vector, after: float) -> _Knot:
    """The motion `after` s of decelerating to rest, over `spans` [6] s: velocity r (1-u)2 (1+2u) + b T u (1-u)2."""
    u = np.minimum(after / spans, 1.0)
    rate, bend = start.rate, start.bend * spans
    return replace(
        start,
        time=start.time + after,
        value=start.value
        + spans * (rate * (u - u**3 + u**4 / 2.0) + bend * (u**2 / 2.0 - 2.0 * u**3 / 3.0 + u**4 / 4.0)),
        rate=(1.0 - u) ** 2 * (rate * (1.0 + 2.0 * u) + bend * u),
        bend=(1.0 - u) * (bend * (1.0 - 3.0 * u) - 6.0 * rate * u) / spans,
    )


def time_to_rest(speed: float, acceleration: float, jerk: float) -> float:
    """s from the end of a plan to rest for a motion at a steady `speed` that no other plan continues."""
    return _stopping_time(np.array([speed]), np.zeros(1), acceleration, jerk)


def _stopping_time(rate: Vector, bend: Vector, acceleration: float, jerk: float) -> float:
    """s: the cubic's steepest slope is 1.5 rate / span, its sharpest bend 6 rate / span2 + 4 slope / span."""
    speed, slope = float(np.linalg.norm(rate)), float(np.linalg.norm(bend))
    return max(
        1.5 * speed / acceleration, (2.0 * slope + math.sqrt(4.0 * slope**2 + 6.0 * speed * jerk)) / jerk
    )


def _piece(start: _Knot, end: _Knot) -> _Piece:
    span = end.time - start.time
    ends = np.stack(
        [
            start.value,
            start.rate * span,
            start.bend * span**2,
            end.value,
            end.rate * span,
            end.bend * span**2,
        ]
    )
    return _Piece(
        start=start.time,
        span=span,
        reference=start.reference,
        coefficients=_QUINTIC @ ends,
        gripper=(start.gripper, end.gripper),
    )


def _recentred(knot: _Knot) -> _Knot:
    """The same motion, with its rotation vector relative to the current orientation."""
    turn, rate = _vector3(knot.value[3:]), _vector3(knot.rate[3:])
    ahead, behind = (_vector3(knot.value[3:] + h * knot.rate[3:]) for h in (_DIFFERENCE, -_DIFFERENCE))
    drift = np.subtract(angular_velocity(ahead, rate), angular_velocity(behind, rate)) / (2.0 * _DIFFERENCE)
    bend = np.array(angular_velocity(turn, _vector3(knot.bend[3:]))) + drift
    return replace(
        knot,
        reference=turned(turn, knot.reference),
        value=np.concatenate([knot.value[:3], np.zeros(3)]),
        rate=np.concatenate([knot.rate[:3], angular_velocity(turn, rate)]),
        bend=np.concatenate([knot.bend[:3], bend]),
    )


def _knots(start: _Knot, plan: TimedPlan, first: int) -> list[_Knot]:
    """`start` and the waypoints from `first` on, with the desired derivatives."""
    times = np.concatenate([[start.time], plan.time[first:]])
    turns = _turns(start.reference, plan.quaternion[first:])
    values = np.vstack([start.value, np.hstack([plan.position[first:], turns])])
    knots = [start]
    for i in range(1, len(times)):
        rate, bend = _derivatives(times, values, i)
        gripper = float(plan.gripper[first + i - 1])
        knots.append(
            replace(start, time=float(times[i]), value=values[i], rate=rate, bend=bend, gripper=gripper)
        )
    return knots


def _derivatives(times: Vector, values: Vector, i: int) -> tuple[Vector, Vector]:
    """Derivatives of the parabola through three neighbours; the last waypoint takes the last segment's mean rate."""
    before = (values[i] - values[i - 1]) / (times[i] - times[i - 1])
    if i + 1 == len(times):
        return before, np.zeros(6)
    after = (values[i + 1] - values[i]) / (times[i + 1] - times[i])
    bend = 2.0 * (after - before) / (times[i + 1] - times[i - 1])
    return before + 0.5 * bend * (times[i] - times[i - 1]), bend


def _turns(reference: Quaternion, quaternions: Vector) -> Vector:
    """Rotation vectors [n, 3] from `reference`, each nearest to its predecessor, so without jumps at pi."""
    turns, last = [], np.zeros(3)
    for quaternion in quaternions:
        turn = np.array(turn_between(reference, _unit(quaternion)))
        angle = float(np.linalg.norm(turn))
        axis = turn / angle if angle > 0.0 else last / max(float(np.linalg.norm(last)), 1e-12)
        last = axis * (angle + _FULL_TURN * round((float(last @ axis) - angle) / _FULL_TURN))
        turns.append(last)
    return np.array(turns)


def _check(plan: TimedPlan) -> None:
    if not len(plan.time):
        raise InterpolationError("A plan needs at least one waypoint.")
    numbers: Sequence[Vector] = (plan.time, plan.position, plan.quaternion, plan.gripper)
    if not all(np.isfinite(part).all() for part in numbers):
        raise InterpolationError("The plan holds NaN or infinity; nothing of it is followed.")
    if (np.diff(plan.time) <= 0.0).any():
        raise InterpolationError("The plan's instants must grow from waypoint to waypoint.")
    if (np.linalg.norm(plan.quaternion, axis=-1) < 1e-9).any():
        raise InterpolationError("The plan holds a quaternion of length zero; it names no rotation.")


def _spacing(plan: TimedPlan) -> float:
    """s between waypoints; 0 for a plan of one."""
    return float(np.median(np.diff(plan.time))) if len(plan.time) > 1 else 0.0


def _unit(quaternion: Vector) -> Quaternion:
    x, y, z, w = (float(number) for number in quaternion)
    unit = normalized((x, y, z, w))
    if unit is None:
        raise InterpolationError("A quaternion of length zero names no rotation.")
    return unit


def _vector3(vector: Vector) -> Vector3:
    return float(vector[0]), float(vector[1]), float(vector[2])
