"""Logs the progress of loading past episodes, and parses it back from the log.

A headless run has no other view of its engine. A short load is not logged.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

EVERY = 2.0
"""s between progress lines."""
_TOLD = re.compile(r"Loading past episodes, (\d+) of (\d+)\.$")

_log = logging.getLogger(__name__)


class ReadingLog:
    """Gets the number of past episodes left, and logs it now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts s."""
        self._clock = clock
        self._total = 0
        self._told_at = 0.0
        self._told = False

    def left(self, count: int) -> None:
        """`count` episodes are still to be loaded; 0 ends the load."""
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
    """(loaded, total) from a line of the log; None for any other line."""
    found = _TOLD.search(line.rstrip())
    return (int(found[1]), int(found[2])) if found else None
