"""How one axis comes to rest within its acceleration and jerk limits, and the room it needs, in closed form.

Time is in controller ticks. An axis that moves at v metres per tick changes v each tick by c ("change", metres per
tick), and c itself by at most `jerk`:

    |c'| <= most,  |c' - c| <= jerk,  v' = v + c',  p' = p + v'

These are the finite differences of the positions that are sent, so the limits hold for what the arm receives and not
for an idealisation of it. Let Q(b) = b + (b - jerk) + (b - 2 jerk) + ... over its positive terms: the speed that a
braking of size b still removes while it fades. The braking rule is

    c' = the number nearest to -sign(v) min(most, Q^-1(|v|)) that lies within `jerk` of c:

brake as hard as allowed such that the braking has just faded when the axis stops. It ends exactly at rest, in minimum
time and, where it need not reverse, in minimum room. `Stop` holds the result, without any simulation.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Stop(NamedTuple):
    """The outcome of braking from the present state, m from the present position."""

    lowest: float
    """Never positive."""
    highest: float
    """Never negative."""
    end: float
    """Final position."""
    ticks: int
    """Duration."""


class Brake:
    """The braking rule for one axis with given limits; independent of position and workspace."""

    __slots__ = ("jerk", "most")

    def __init__(self, *, acceleration: float, jerk: float, dt: float) -> None:
        """m/s2, m/s3, s."""
        self.most = acceleration * dt * dt
        """Largest change of speed in one tick."""
        self.jerk = jerk * dt * dt * dt
        """Largest change of that change."""

    def fading(self, size: float) -> float:
        """Q: the speed that a braking of this size removes, itself included, while it fades."""
        if size <= 0.0:
            return 0.0
        steps = math.floor(size / self.jerk)
        return (steps + 1) * (size - 0.5 * self.jerk * steps)

    def strongest(self, speed: float) -> float:
        """Q^-1: the braking that removes exactly `speed` while it fades."""
        return strongest(speed, self.jerk)

    def change(self, speed: float, change: float) -> float:
        """The change of speed that the braking rule makes in the next tick."""
        wanted = min(self.most, self.strongest(abs(speed)))
        wanted = -wanted if speed > 0.0 else wanted
        return min(max(wanted, change - self.jerk), change + self.jerk)

    def coasting(self, speed: float, change: float) -> float:
        """The speed left when `change` has faded at the rate of `jerk`: the extreme on the way to rest."""
        if change >= 0.0:
            return speed + self.fading(change - self.jerk)
        return speed - self.fading(-change - self.jerk)

    def stop(self, speed: float, change: float) -> Stop:
        """The outcome of braking from here."""
        if speed == 0.0 and abs(change) <= self.jerk:
            return _STANDING
        if self.coasting(speed, change) >= 0.0:
            return self._forward(speed, change)
        lowest, highest, end, ticks = self._forward(-speed, -change)
        return Stop(-highest, -lowest, -end, ticks)

    def _forward(self, speed: float, change: float) -> Stop:
        """The same where the last stretch runs forward: fade to zero, brake ever harder, hold, fade."""
        jerk = self.jerk
        way = lowest = 0.0
        ticks = 0
        if change > 0.0:
            ticks = math.floor(change / jerk)
            if speed < 0.0:
                lowest = self._swing(speed, change, ticks)
            way = _way(speed, change, jerk, ticks)
            speed += ticks * (change - 0.5 * jerk * (ticks + 1))
            change -= ticks * jerk
        braking = -change
        room = braking * braking + jerk * (speed + braking - self.fading(braking))
        if room > 0.0:
            harder = math.floor((min(math.sqrt(room), self.most) - braking) / jerk)
            if harder > 0:
                way += _way(speed, change, jerk, harder)
                speed += harder * (change - 0.5 * jerk * (harder + 1))
                ticks += harder
        hold = math.floor((speed - self.fading(self.most)) / self.most) + 1
        if hold > 0:
            way += hold * (speed - 0.5 * self.most * (hold + 1))
            speed -= hold * self.most
            ticks += hold
        if speed > 0.0:
            size = self.strongest(speed)
            steps = math.floor(size / jerk)
            rest = size - steps * jerk
            way += steps * (steps + 1) * (0.5 * rest + jerk * (steps - 1) / 6.0)
            ticks += steps + 1
        return Stop(lowest, max(way, 0.0), way, ticks)

    def _swing(self, speed: float, change: float, ticks: int) -> float:
        """How far an axis still runs backwards before a fading `change` reverses it."""
        half = change - 0.5 * self.jerk
        root = (half - math.sqrt(max(half * half + 2.0 * self.jerk * speed, 0.0))) / self.jerk
        return min(_way(speed, change, self.jerk, min(max(math.ceil(root) - 1, 0), ticks)), 0.0)


def strongest(total: float, step: float) -> float:
    """The first of the positive numbers x, x - step, x - 2 step, ... whose sum is `total`."""
    if total <= 0.0:
        return 0.0
    steps = math.floor(0.5 * (math.sqrt(1.0 + 8.0 * total / step) - 1.0))
    return total / (steps + 1) + 0.5 * step * steps


def _way(speed: float, change: float, jerk: float, ticks: int) -> float:
    """The distance covered in `ticks` ticks while the change falls by `jerk` in each."""
    return ticks * (speed + 0.5 * (ticks + 1) * (change - jerk * (ticks + 2) / 3.0))


_STANDING = Stop(0.0, 0.0, 0.0, 0)
