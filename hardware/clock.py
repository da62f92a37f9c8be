"""Time spent in suspend, which time.monotonic() does not count.

Plans, frames and heartbeats carry monotonic time stamps, so after a laptop wakes up, the rest of an old plan or an old
frame would look fresh.
"""

from __future__ import annotations

import time


def slept() -> float:
    """s that the machine has been suspended since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
