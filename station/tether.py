"""Ties a child process to its parent's lifetime, however the parent ends.

The parent holds the only writing end of a pipe and the child watches the other: when the parent is gone, killed or
not, the system closes the pipe and the child sends itself a SIGTERM, to end at its next safe point. It is for
work that is useless without its parent; an engine outlives the screen that started it and is not tied.
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
        """Release; a child that still runs is asked to end."""
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
    """If this process was started on a tether, end when the other end is released."""
    watched = os.environ.pop(_NAME, None)
    if watched is not None:
        threading.Thread(target=_watch, args=(int(watched),), name="tether", daemon=True).start()


def _watch(descriptor: int) -> None:
    # a reading end of an empty pipe returns only when every writing end is closed
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
