"""Ties a child process to the life of the one that started it, however that one ends.

The parent holds the only writing end of a pipe and the child watches the other: when the parent is gone, killed or
not, the system closes the pipe and the child asks itself, with a SIGTERM, to leave at its next safe point. It is for
work that nobody would miss if its parent died; an engine that a screen started outlives that screen and is not tied.
"""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType
from typing import Self

_NAME = "STATION_TETHER"
"""Environment variable with the number of the inherited descriptor."""


class Tether:
    """The parent's end; hold it open as long as the child should live."""

    def __init__(self) -> None:
        """Makes the pipe."""
        self._watched, self._held = os.pipe()

    @property
    def inherited(self) -> tuple[int, ...]:
        """For `subprocess.Popen`'s pass_fds."""
        return (self._watched,)

    @property
    def environment(self) -> dict[str, str]:
        """To be added to the child's environment."""
        return {_NAME: str(self._watched)}

    def close(self) -> None:
        """Let go; a child that still runs is asked to leave."""
        for end in (self._watched, self._held):
            os.close(end)

    def __enter__(self) -> Self:
        """The tether itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See `close`."""
        self.close()


def leave_with_parent() -> None:
    """If this process was started on a tether: leave when its other end is let go."""
    watched = os.environ.pop(_NAME, None)
    if watched is not None:
        threading.Thread(target=_watch, args=(int(watched),), name="tether", daemon=True).start()


def _watch(descriptor: int) -> None:
    # a reading end of an empty pipe returns only when every writing end is closed
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
