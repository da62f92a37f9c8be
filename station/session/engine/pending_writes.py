"""Writes in order, and holds what a full disk refuses until there is room: nothing is reordered or dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from datasets.durable import DiskFullError

Write = Callable[[], object]


class PendingWrites:
    """A queue of writes, empty while the disk has room."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting: deque[Write] = deque()
        self.reason = ""
        """The disk's last error."""

    @property
    def full(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def write(self, action: Write) -> bool:
        """Write now, or queue behind pending writes; returns whether it is on disk."""
        self._waiting.append(action)
        return len(self._waiting) == 1 and self.retry()

    def retry(self) -> bool:
        """Retry in order; returns whether the queue is empty."""
        while self._waiting:
            try:
                self._waiting[0]()
            except DiskFullError as error:
                self.reason = str(error)
                return False
            self._waiting.popleft()
        return True
