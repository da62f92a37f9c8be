"""One writer at a time, across processes, for as long as the process lives."""

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

_LONGEST = 1024  # bytes of what a holder says of itself
_LOOK = 0.001  # s; longer than somebody who only looks holds a lock
_LOOKING = 2.0
"""s after which whoever shares a lock does not only look."""
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_LOCKS = Path("/proc/locks")
"""What the system itself says of every lock."""


class LockedError(StationError):
    """Another process holds the lock; the message names its pid and command."""

    exit_code = ExitCode.LOCKED

    def __init__(self, path: Path, pid: int | None, command: str = "") -> None:
        """`pid` and command of the holder, None when it has not written them yet."""
        self.pid = pid
        who = (
            f"process {pid}{_of_another(pid)}{f' ({command})' if command else ''}" if pid is not None else ""
        )
        self.who = who or "another process"
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
            said = _taker(descriptor)
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise LockedError(self.path, *said) from error
            raise OSError(
                error.errno,
                f"{error.strerror}: this disk locks no files, and two writers would spoil each other's work",
                str(self.path),
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n{_command()}\n".encode(errors="replace"))
        self._descriptor = descriptor

    def _open(self) -> int:
        for_all = bool(self._mode & 0o022)
        descriptor = open_descriptor(self.path, os.O_RDWR | os.O_CREAT, self._mode, shared=for_all)
        if for_all:
            # whatever the umask; another user may have made it
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
        return _taker(descriptor)[0]
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> None:
    """Lock for writing, waiting for those who only look (`holder`) and for nobody else.

    Raises:
        OSError: another writer has it, somebody shares it for long, or this disk has no locks.
    """
    until = time.monotonic() + _LOOKING
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # who may read the file may share its lock for ever
            if time.monotonic() > until:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                raise
            time.sleep(_LOOK)
        else:
            return


def _taker(descriptor: int) -> tuple[int | None, str]:
    """pid and command of whoever has the lock: by the system's word, and by the file's where it has none."""
    said, command = _written(descriptor)
    pids = _pids_of_the_system(descriptor)
    return (said, command) if not pids or said in pids else (pids[0], "")


def _of_another(pid: int) -> str:
    """Whose process it is, where it is not ours."""
    try:
        user = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return ""
    return "" if user == os.geteuid() else f" of user {user_name(user)}"


def _pids_of_the_system(descriptor: int) -> list[int]:
    """The processes that hold a lock on this file; none where the system does not tell."""
    found = os.fstat(descriptor)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        rows = [row.split() for row in _LOCKS.read_text().splitlines()]
    except OSError:
        return []
    # 1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF; one that waits has "->" behind its number
    return [
        int(row[_PID]) for row in rows if len(row) > _PLACE and row[_PLACE] == place and row[_PID].isdecimal()
    ]


_PID, _PLACE = 4, 5


def _written(descriptor: int) -> tuple[int | None, str]:
    """pid and command that the lock's file names; anybody may have written them who may write there."""
    pid, _, command = os.pread(descriptor, _LONGEST, 0).decode(errors="replace").partition("\n")
    return (int(pid), command.strip()) if re.fullmatch(r"[1-9][0-9]{0,6}", pid) else (None, "")


def _command() -> str:
    """What this process was started as, as far as it fits a sentence."""
    return shorten(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]), 120, placeholder=" ...")
