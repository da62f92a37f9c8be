"""One writer at a time, across processes, for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class LockedError(Exception):
    """Another process holds the lock; the message names its pid."""

    def __init__(self, path: Path, pid: int | None) -> None:
        """`pid` of the holder, None when it has not written it yet."""
        self.pid = pid
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{path.parent} is being written by {holder}. Attach to it, or end it and try again; "
            "the lock goes with its process."
        )


class WriterLock:
    """A context manager around an advisory lock on a file; a killed holder frees it by dying."""

    def __init__(self, path: Path) -> None:
        """Names the lock; nothing is locked yet."""
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock at once.

        Raises:
            LockedError: somebody has it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise LockedError(self.path, holder(self.path)) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; safe to call twice. The file stays, so that nobody locks a deleted one."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> WriterLock:
        """Take the lock. Raises LockedError."""
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go."""
        self.release()


def holder(path: Path) -> int | None:
    """The pid of the process that holds the lock at `path`, None when it is free or has not said so."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        text = os.read(descriptor, 32).decode("ascii", "replace").strip()
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
