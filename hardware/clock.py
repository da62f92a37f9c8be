"""What time.monotonic() does not tell: it stands still while the machine sleeps.

Plans, frames and heartbeats are dated by it, so that what is left of a plan, or a picture from before, would look as
good as new to a laptop that was opened again.
"""

from __future__ import annotations

import time


def slept() -> float:
    """s that the machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
