"""A single-writer lock across processes, held for at most the lifetime of its process."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from types import TracebackType

from datasets.errors import ExitCode, StationError
from datasets.own_files import open_descriptor, user_name

_LONGEST = 1024  # bytes of a holder's description in the lock file
_LOOK = 0.001  # s; longer than `holder` keeps a shared lock
_LOOKING = 2.0
"""s after which a shared lock cannot come from a brief check by `holder`."""
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_LOCKS = Path("/proc/locks")
"""The kernel's list of all locks."""


class LockedError(StationError):
    """Another process holds the lock; the message names its pid and command."""

    exit_code = ExitCode.LOCKED

    def __init__(self, path: Path, pid: int | None, command: str = "") -> None:
        """`pid` and `command` of the holder; None and empty if it has not written them yet."""
        self.pid = pid
        who = (
            f"process {pid}{_of_another(pid)}{f' ({command})' if command else ''}" if pid is not None else ""
        )
        self.who = who or "another process"
        """Description of the holder."""
        super().__init__(
            f"{path.parent} is being written by {self.who}. Attach to it, or end it and try again; the lock goes with "
            "its process."
        )


class WriterLock:
    """A context manager around an advisory file lock; the lock is released when its holder dies."""

    def __init__(self, path: Path, *, mode: int = 0o644) -> None:
        """Create an unlocked lock object. `mode` 0o666 lets other users take the lock."""
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        """The open file while held; a process that inherits it also holds the lock until it ends."""
        assert self._descriptor is not None, "nothing is held"
        return self._descriptor

    def acquire(self) -> None:
        """Take the lock without waiting.

        Raises:
            LockedError: it is already held. NotOursError: its path holds something else.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open()
        try:
            _lock(descriptor)
        except OSError as error:
            said = _taker(descriptor)
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise LockedError(self.path, *said) from error
            raise OSError(
                error.errno,
                f"{error.strerror}: this disk does not support file locks, and two writers would corrupt the data",
                str(self.path),
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n{_command()}\n".encode(errors="replace"))
        self._descriptor = descriptor

    def _open(self) -> int:
        for_all = bool(self._mode & 0o022)
        descriptor = open_descriptor(self.path, os.O_RDWR | os.O_CREAT, self._mode, shared=for_all)
        if for_all:
            # regardless of the umask; another user may own the file
            with suppress(PermissionError):
                os.fchmod(descriptor, self._mode)
        return descriptor

    def release(self) -> None:
        """Release the lock; safe to call twice. The file stays, so no process can lock a deleted one."""
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
        """Release the lock."""
        self.release()


def holder(path: Path) -> int | None:
    """The pid of the process that holds the lock at `path`; None if it is free or the holder has not written its pid.

    Raises:
        NotOursError: its path holds something else.
    """
    try:
        descriptor = open_descriptor(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _taker(descriptor)[0]
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> None:
    """Take an exclusive lock; waits only for brief checks by `holder`.

    Raises:
        OSError: another writer holds it, a shared lock persists, or this file system has no locks.
    """
    until = time.monotonic() + _LOOKING
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # any process that can read the file could hold a shared lock for ever
            if time.monotonic() > until:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                raise
            time.sleep(_LOOK)
        else:
            return


def _taker(descriptor: int) -> tuple[int | None, str]:
    """pid and command of the lock's holder, from the kernel or, failing that, from the lock file."""
    said, command = _written(descriptor)
    pids = _pids_of_the_system(descriptor)
    return (said, command) if not pids or said in pids else (pids[0], "")


def _of_another(pid: int) -> str:
    """The user a process belongs to, if it is not ours."""
    try:
        user = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return ""
    return "" if user == os.geteuid() else f" of user {user_name(user)}"


def _pids_of_the_system(descriptor: int) -> list[int]:
    """pids of the processes that lock this file; empty if the system does not report them."""
    found = os.fstat(descriptor)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        rows = [row.split() for row in _LOCKS.read_text().splitlines()]
    except OSError:
        return []
    # 1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF; a waiting process has "->" after the number
    return [
        int(row[_PID]) for row in rows if len(row) > _PLACE and row[_PLACE] == place and row[_PID].isdecimal()
    ]


_PID, _PLACE = 4, 5


def _written(descriptor: int) -> tuple[int | None, str]:
    """pid and command named in the lock file; untrusted, since any user with write access can change them."""
    pid, _, command = os.pread(descriptor, _LONGEST, 0).decode(errors="replace").partition("\n")
    return (int(pid), command.strip()) if re.fullmatch(r"[1-9][0-9]{0,6}", pid) else (None, "")


def _command() -> str:
    """This process's command line, shortened to fit a sentence."""
    return shorten(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]), 120, placeholder=" ...")
