"""One writer at a time, across processes, for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from types import TracebackType

from datasets.own_files import open_descriptor

_LONGEST = 1024  # bytes of what a holder says of itself
_LOOK = 0.001  # s; longer than somebody who only looks holds a lock


class LockedError(Exception):
    """Another process holds the lock; the message names its pid and command."""

    def __init__(self, path: Path, pid: int | None, command: str = "") -> None:
        """`pid` and command of the holder, None when it has not written them yet."""
        self.pid = pid
        who = f"process {pid} ({command})" if pid is not None and command else f"process {pid}"
        self.who = "another process" if pid is None else who
        """The holder, in words."""
        super().__init__(
            f"{path.parent} is being written by {self.who}. Attach to it, or end it and try again; the lock goes with "
            "its process."
        )


class WriterLock:
    """A context manager around an advisory lock on a file; a killed holder frees it by dying."""

    def __init__(self, path: Path, *, mode: int = 0o644) -> None:
        """Names the lock; nothing is locked yet. `mode` 0o666 lets other users lock it."""
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        """The open file, while it is held: a process that inherits it holds the lock as well, until it ends."""
        assert self._descriptor is not None, "nothing is held"
        return self._descriptor

    def acquire(self) -> None:
        """Take the lock at once.

        Raises:
            LockedError: somebody has it. NotOursError: something else lies in its place.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open()
        try:
            _lock(descriptor)
        except OSError as error:
            said = _written(descriptor)
            os.close(descriptor)
            raise LockedError(self.path, *said) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n{_command()}\n".encode(errors="replace"))
        self._descriptor = descriptor

    def _open(self) -> int:
        try:
            # asking to create another user's file is refused in a folder such as /tmp, though it is there
            return open_descriptor(self.path, os.O_RDWR)
        except FileNotFoundError:
            descriptor = open_descriptor(self.path, os.O_RDWR | os.O_CREAT, self._mode)
            if self._mode & 0o022:
                # whatever the umask; another user may have made it just now
                with suppress(PermissionError):
                    os.fchmod(descriptor, self._mode)
            return descriptor

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
    """The pid of the process that holds the lock at `path`, None when it is free or has not said so.

    Raises:
        NotOursError: something else lies in its place.
    """
    try:
        descriptor = open_descriptor(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written(descriptor)[0]
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> None:
    """Lock for writing. Raises OSError when another writer has it; who only looks (`holder`) is waited for."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            time.sleep(_LOOK)
        else:
            return


def _written(descriptor: int) -> tuple[int | None, str]:
    """pid and command that the lock's file names."""
    pid, _, command = os.pread(descriptor, _LONGEST, 0).decode(errors="replace").partition("\n")
    return (int(pid), command.strip()) if pid.isdigit() else (None, "")


def _command() -> str:
    """What this process was started as, as far as it fits a sentence."""
    return shorten(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]), 120, placeholder=" ...")
