"""Tells the log how far a long reading of past episodes is, and finds in the log what was told.

A run without a screen has no other window into its engine. A short reading is not told at all.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

EVERY = 2.0
"""s of reading after which it is told for the first time, and again."""
_TOLD = re.compile(r"Loading past episodes, (\d+) of (\d+)\.$")

_log = logging.getLogger(__name__)


class ReadingLog:
    """Hears how many past episodes are left, and tells it now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts s."""
        self._clock = clock
        self._total = 0
        self._told_at = 0.0
        self._told = False

    def left(self, count: int) -> None:
        """`count` episodes are still to be read; 0 ends the reading."""
        now = self._clock()
        if not self._total:
            self._told_at, self._told = now, False
        self._total = max(self._total, count)
        if now - self._told_at >= EVERY if count else self._told:
            self._told_at, self._told = now, True
            _log.info("Loading past episodes, %d of %d.", self._total - count, self._total)
        if not count:
            self._total = 0


def told(line: str) -> tuple[int, int] | None:
    """How many of how many a line of the log says were read; None when it says something else."""
    found = _TOLD.search(line.rstrip())
    return (int(found[1]), int(found[2])) if found else None
