"""One translation axis under its limits: the move nearest to a target from which it can still stop in its bounds.

The invariant, per axis: if braking (`braking`) from the present state stays within the bounds and the limits on
velocity, acceleration and jerk, so does braking after the move returned. Proof: the candidate moves include the first
tick of that braking, and the path of the rest of it is part of the path that was within the bounds a tick before. A
target is reached exactly if the move to it keeps the invariant; every other move is between the two, where the
invariant also holds, since a stronger change can only carry an axis further.

An axis that starts beyond its bounds may only return: every position of the move and of braking after it is nearer to
them than the one before. Each axis is independent; units are metres and controller ticks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hardware.safety.braking import Brake
from hardware.safety.reasons import Reason

Interval = tuple[float, float]

_ROUNDING = 1e-7
"""Fraction of the jerk limit by which a target may exceed a limit, to allow for rounding."""
_RESOLUTION = 1e-15
"""m, the rounding of a position."""
_NANOMETRE = 1e-9
"""m, tolerance on where braking ends, from a target and beyond a bound; a target may be two beyond a bound."""
_SEARCH = 24
_HALVINGS = 8


class Move(NamedTuple):
    """What one axis does in the next tick, and the room it then needs to stop."""

    position: float
    """m, after the tick."""
    speed: float
    """m per tick, after the tick."""
    change: float
    """m per tick, per tick."""
    lowest: float
    """m, of the position after the tick and of all positions of braking from there."""
    highest: float
    ticks: int
    """Duration of that braking."""
    steady: bool
    """Whether that braking never reverses."""
    reason: Reason | None = None
    """Why the move is not the target."""


class _Room(NamedTuple):
    """Where an axis may be: within its bounds, or on its way back to them."""

    bounds: Interval
    braking: Interval
    """Lowest and highest position of braking from the present state."""

    def holds(self, move: Move) -> bool:
        """Whether stopping after `move` stays in this room: beyond a bound only where it does not reverse."""
        low, high = self.bounds[0] - _NANOMETRE, self.bounds[1] + _NANOMETRE
        if move.steady:
            low = min(low, max(self.braking[0], move.position))
            high = max(high, min(self.braking[1], move.position))
        return low <= move.lowest and move.highest <= high


class Axis:
    """The limits of one axis."""

    def __init__(self, *, velocity: float, acceleration: float, jerk: float, dt: float) -> None:
        """m/s, m/s2, m/s3, s."""
        self._brake = Brake(acceleration=acceleration, jerk=jerk, dt=dt)
        self._fastest = velocity * dt
        self._tolerance = _ROUNDING * self._brake.jerk + _RESOLUTION

    def braked(self, position: float, speed: float, change: float, reason: Reason | None = None) -> Move:
        """The first tick of braking."""
        return self._move(position, speed, self._brake.change(speed, change), reason)

    def room(self, position: float, speed: float, change: float) -> Interval:
        """Lowest and highest position of braking from here, m."""
        stop = self._brake.stop(speed, change)
        return position + stop.lowest, position + stop.highest

    def between(self, position: float, speed: float, braked: Move, move: Move, share: float) -> Move:
        """A move between braking (0) and `move` (1)."""
        change = braked.change + share * (move.change - braked.change)
        return self._move(position, speed, change, move.reason)

    def follow(
        self,
        position: float,
        speed: float,
        change: float,
        target: Interval,
        bounds: Interval,
        fastest: float | None = None,
    ) -> Move:
        """The move towards `target` (position m, speed m per tick), at most `fastest` m per tick."""
        fastest = self._fastest if fastest is None else min(fastest, self._fastest)
        needed = target[0] - position - speed
        least, most, reason = self._changes(speed, change, fastest, needed)
        exact = self._move(position, speed, needed, None) if reason is None else None
        if exact is not None and _within(exact, bounds, 2.0 * _NANOMETRE):
            return exact._replace(position=target[0])
        room = _Room(bounds, self.room(position, speed, change))
        if exact is not None and room.holds(exact):
            return exact._replace(position=target[0])
        aim = min(max(target[0], min(bounds[0], position)), max(bounds[1], position))
        if aim != target[0] or reason is None:
            reason = Reason.BOX
        pace = min(max(target[1], -fastest), fastest) if aim == target[0] else 0.0
        chosen = self._aim(position, speed, change, (aim, pace), (least, most))
        return self._bounded(position, speed, change, chosen, room, reason)

    def _changes(
        self, speed: float, change: float, fastest: float, needed: float
    ) -> tuple[float, float, Reason | None]:
        """Least and greatest change that velocity, acceleration and jerk allow, and which one forbids `needed`."""
        brake = self._brake
        up, down = brake.strongest(fastest - speed), -brake.strongest(fastest + speed)
        most = min(change + brake.jerk, brake.most, up)
        least = max(change - brake.jerk, -brake.most, down)
        if least > most:  # at top speed, exceeded by rounding: only braking remains
            least = most = brake.change(speed, change)
        if least - self._tolerance <= needed <= most + self._tolerance:
            return least, most, None
        bound, limit = (most, up) if needed > most else (least, down)
        if bound == limit:
            return least, most, Reason.VELOCITY
        return least, most, Reason.ACCELERATION if abs(bound) == brake.most else Reason.JERK

    def _aim(
        self, position: float, speed: float, change: float, target: Interval, allowed: Interval
    ) -> float:
        """The change after which braking relative to the target's own motion would end on the target."""
        brake, (goal, pace), (least, most) = self._brake, target, allowed

        def miss(candidate: float) -> float:
            after = speed + candidate
            return position + after - goal + brake.stop(after - pace, candidate).end

        first = min(max(brake.change(speed - pace, change), least), most)
        missed = miss(first)
        if abs(missed) <= _NANOMETRE:
            return first
        other = least if missed > 0.0 else most
        other_missed = miss(other)
        if (other_missed > 0.0) == (missed > 0.0):
            return other
        return _crossing(miss, (first, missed), (other, other_missed))

    def _bounded(
        self, position: float, speed: float, change: float, chosen: float, room: _Room, reason: Reason
    ) -> Move:
        """The move with the `chosen` change, or as much of it as leaves room to stop."""
        move = self._move(position, speed, chosen, reason)
        if room.holds(move):
            return move
        best = self.braked(position, speed, change, Reason.BOX)
        safe, unsafe = best.change, chosen
        for _ in range(_HALVINGS):
            middle = 0.5 * (safe + unsafe)
            move = self._move(position, speed, middle, Reason.BOX)
            if room.holds(move):
                best, safe = move, middle
            else:
                unsafe = middle
        return best

    def _move(self, position: float, speed: float, change: float, reason: Reason | None) -> Move:
        speed += change
        position += speed
        stop = self._brake.stop(speed, change)
        steady = abs(stop.end) >= stop.highest - stop.lowest
        lowest, highest = position + stop.lowest, position + stop.highest
        return Move(position, speed, change, lowest, highest, stop.ticks, steady, reason)


def _within(move: Move, bounds: Interval, slack: float) -> bool:
    return bounds[0] - slack <= move.lowest and move.highest <= bounds[1] + slack


def _crossing(miss: Callable[[float], float], a: tuple[float, float], b: tuple[float, float]) -> float:
    """The root of an increasing function, bracketed by two points: regula falsi, Illinois variant."""
    (x0, y0), (x1, y1) = a, b
    for _ in range(_SEARCH):
        x = x1 - y1 * (x1 - x0) / (y1 - y0)
        y = miss(x)
        if abs(y) <= _NANOMETRE:
            return x
        if (y > 0.0) != (y1 > 0.0):
            x0, y0 = x1, y1
        else:
            y0 *= 0.5
        x1, y1 = x, y
    return x1
