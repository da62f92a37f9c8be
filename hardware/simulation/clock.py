"""Pacing of simulated time: absolute deadlines at 1x and 4x, no waiting on the virtual clock.

Simulated time advances only while a cell moves. During inference, or between calls, it stands still on every clock,
and the next movement starts a new series of deadlines.
"""

from __future__ import annotations

import time

from hardware.cell import ClockSpeed

_FACTOR = {ClockSpeed.REAL: 1.0, ClockSpeed.FAST: 4.0}
_PATIENCE = 0.05
"""A loop that is later than this, s of wall time, has paused: its deadlines restart."""


class Pacer:
    """Sleeps so that simulated time keeps its ratio to wall time."""

    def __init__(self, speed: ClockSpeed) -> None:
        self.speed = speed
        self._deadline = time.monotonic()
        self._last = self._deadline
        self._period = 0.0

    def start(self) -> None:
        """Start a movement: the time since the last one is not made up for."""
        self._deadline = max(self._deadline, time.monotonic())

    def spend(self, seconds: float) -> None:
        """Wait until `seconds` of simulated time have passed since the last deadline."""
        factor = _FACTOR.get(self.speed)
        if factor is None:
            return
        now = time.monotonic()
        if now - self._deadline > _PATIENCE:
            self._deadline = now
        self._deadline += seconds / factor
        if self._deadline > now:
            time.sleep(self._deadline - now)

    def beat(self) -> None:
        """Note the end of a control period."""
        now = time.monotonic()
        period, self._last = now - self._last, now
        self._period = period if self._period == 0.0 else 0.9 * self._period + 0.1 * period

    @property
    def rate(self) -> float:
        """Control periods per second of wall time, smoothed; 0 before the first."""
        return 1.0 / self._period if self._period > 0.0 else 0.0
