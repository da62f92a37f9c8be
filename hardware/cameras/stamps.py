"""Maps time stamps of a camera's own clock to this machine's monotonic clock.

The two clocks differ by an unknown offset and drift by about 10 ppm. A frame can only arrive after its capture, so
the least difference between arrival and stamp over the last seconds is the offset plus the least latency. That latency
(read-out and transfer, some 5 to 20 ms over USB) stays in the stamps: they are late by it, but free of arrival jitter.
"""

from __future__ import annotations

from collections import deque

_BUCKET = 1.0  # s over which one least difference is kept
_BUCKETS = 10
_LONGEST_JUMP = 1.0  # s between expected and measured offset, beyond which the clock was set or restarted


class ClockMap:
    """Maps one camera's time stamps to monotonic time."""

    def __init__(self) -> None:
        self._least: deque[tuple[float, float]] = deque(
            maxlen=_BUCKETS
        )  # (begin of the bucket, least difference)
        self._last = float("-inf")

    def monotonic(self, stamp: float, arrival: float) -> float:
        """Capture time, s, monotonic, of the frame stamped `stamp` (s, camera's clock); `arrival` is s, monotonic."""
        difference = arrival - stamp
        if stamp < self._last or (self._least and abs(difference - self._offset) > _LONGEST_JUMP):
            self._least.clear()
        self._last = stamp
        if self._least and arrival - self._least[-1][0] < _BUCKET:
            begin, least = self._least[-1]
            self._least[-1] = begin, min(least, difference)
        else:
            self._least.append((arrival, difference))
        return stamp + self._offset

    @property
    def _offset(self) -> float:
        return min(least for _, least in self._least)


def plausible(taken: float, arrival: float, longest: float = 0.5) -> bool:
    """Whether a frame that arrived at `arrival` can have been captured at `taken`, both s on one clock."""
    return 0.0 <= arrival - taken <= longest
