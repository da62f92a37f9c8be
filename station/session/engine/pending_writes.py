"""Writes in order, and keeps what a full disk refuses until there is room: nothing overtakes, nothing is dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from datasets.durable import DiskFullError

Write = Callable[[], None]


class PendingWrites:
    """A queue of writes that is empty as long as the disk has room."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting: deque[Write] = deque()
        self.reason = ""
        """What the disk said last."""

    @property
    def full(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def write(self, action: Write) -> bool:
        """Do it now, or keep it behind what waits; whether it is on disk."""
        self._waiting.append(action)
        return len(self._waiting) == 1 and self.retry()

    def retry(self) -> bool:
        """Try again, in order; whether nothing waits any more."""
        while self._waiting:
            try:
                self._waiting[0]()
            except DiskFullError as error:
                self.reason = str(error)
                return False
            self._waiting.popleft()
        return True
