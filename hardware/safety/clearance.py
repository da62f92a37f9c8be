"""Staying clear of the other arm: spheres against all positions that both arms can still reach.

An arm is modelled as the sphere about its tool centre point. The other arm is not trusted to brake: until this one has
stopped, it may go wherever its velocity and its limits (the same ones, as vector lengths, in any direction) carry it. A
move is certain if the box of this arm's braking keeps its distance from the box that the other can reach. Braking from
a certain move is certain a tick later: this arm's box shrinks, and so does the time in which the other's grows. So two
arms that both follow the rule never touch, and one that follows it alone never runs into the other; it cannot prevent
the other from running into it once it stands.

Where no move is certain any more, a move is allowed if it ends no nearer to the other arm than braking would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardware.quaternion import Vector3
from hardware.safety.axis import Move

_NANOMETRE = 1e-9
_ANY_DIRECTION = math.sqrt(3.0)
"""The longest vector whose coordinates are at most one: the other arm's axes may be turned against these."""


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """A part of the other arm, in this arm's base frame, as it was commanded `age` ago."""

    center: Vector3
    """m"""
    velocity: Vector3
    """m/s"""
    radius: float
    """m"""
    age: float = 0.0
    """s; the longer the other arm has not reported, the further it may have moved."""


class Clearance:
    """The distance that one arm keeps from the other."""

    def __init__(self, *, radius: float, velocity: float, acceleration: float, dt: float) -> None:
        """Own radius m; the other arm's limits along each of its axes, m/s and m/s2; controller period s."""
        self._radius = radius
        self._fastest = _ANY_DIRECTION * velocity * dt
        self._change = _ANY_DIRECTION * acceleration * dt * dt
        self._dt = dt

    def certain(self, moves: Sequence[Move], others: Iterable[Sphere]) -> bool:
        """Whether this arm can stop clear of the spheres, wherever they move."""
        ticks = 1 + max(move.ticks for move in moves)
        return all(self._distance(moves, other, ticks) >= self._needed(other) for other in others)

    def allowed(self, moves: Sequence[Move], braked: Sequence[Move], others: Iterable[Sphere]) -> bool:
        """Whether every sphere is certainly avoided, or at least no nearer than by braking."""
        return all(self.certain(moves, (other,)) or self._no_nearer(moves, braked, other) for other in others)

    def _no_nearer(self, moves: Sequence[Move], braked: Sequence[Move], other: Sphere) -> bool:
        """Neither after the tick, nor anywhere on the way to rest."""
        here = math.dist([move.position for move in moves], other.center)
        return here >= math.dist([move.position for move in braked], other.center) and self._distance(
            moves, other, 0
        ) >= self._distance(braked, other, 0)

    def _needed(self, other: Sphere) -> float:
        return self._radius + other.radius - _NANOMETRE

    def _distance(self, moves: Sequence[Move], other: Sphere, ticks: int) -> float:
        """m, between the box of `moves` and the box that the sphere's centre can reach within `ticks` from now."""
        squared = 0.0
        ticks += math.ceil(other.age / self._dt) if other.age > 0.0 else 0
        for move, center, velocity in zip(moves, other.center, other.velocity, strict=True):
            speed = velocity * self._dt
            grown, most = 0.5 * self._change * (ticks + 1), max(self._fastest, abs(speed))
            ahead = max(0.0, ticks * min(speed + grown, most))
            behind = max(0.0, ticks * min(grown - speed, most))
            gap = max(center - behind - move.highest, move.lowest - center - ahead, 0.0)
            squared += gap * gap
        return math.sqrt(squared)
