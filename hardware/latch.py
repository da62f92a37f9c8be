"""The stop latch: a byte in a shared file that every controller reads at each tick.

Any process may set it, whether or not the session engine is alive, busy or hung; only a deliberate act re-arms it.
It is a software stop and replaces no hardware emergency stop.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

from datasets.durable import full_disk_named
from datasets.own_files import open_descriptor

_FLAG = 0  # one byte, padded up to the next field
_FIRST = struct.Struct("<d16s")  # monotonic time at which it was set, and by whom
_FIRST_AT = 8
_NEWEST = struct.Struct("<d")  # monotonic time of the newest stop: the first, or one after it
_NEWEST_AT = _FIRST_AT + _FIRST.size
_OTHERS = 0o077
_SIZE = _NEWEST_AT + _NEWEST.size


class StopLatch:
    """Shared by path; setting it twice keeps the first time stamp.

    A latch whose file is no longer the one at its path counts as set: from then on, a stop sets a different file.
    """

    def __init__(self, path: Path, *, to_stop: bool = False) -> None:
        """Open the latch at `path`, creating it unlatched; its folder must exist.

        `to_stop`: the caller only sets the latch and does not obey it, so the file may belong to another user.

        Raises:
            DiskFullError: no room for the file. NotOursError: something else is at the path, or another user could
                clear a stop there. OSError: the folder is missing.
        """
        self.path = path
        """Where other processes find it."""
        self._place = path.absolute()
        self._missed: float | None = None
        self._map, self._identity = _opened(path, obeyed=not to_stop)

    @property
    def in_place(self) -> bool:
        """Whether its file is still the one at its path; costs a few microseconds."""
        try:
            found = os.stat(self._place)  # noqa: PTH116 - a third faster, at every tick
        except OSError:
            there = False
        else:
            there = (found.st_dev, found.st_ino) == self._identity
        if not there and self._missed is None:
            self._missed = time.monotonic()
        elif there:
            self._missed = None
        return there

    @property
    def latched(self) -> bool:
        """Whether motion is forbidden: it is set, or other processes could no longer find it."""
        return self._map[_FLAG] != 0 or not self.in_place

    @property
    def since(self) -> float | None:
        """time.monotonic() at which it was set, or first found missing at its path; None while armed."""
        if self._map[_FLAG]:
            since: float = _FIRST.unpack_from(self._map, _FIRST_AT)[0]
            return since
        return None if self.in_place else self._missed

    @property
    def by(self) -> str:
        """Who set it; empty where the caller gave no name."""
        name: bytes = _FIRST.unpack_from(self._map, _FIRST_AT)[1] if self._map[_FLAG] else b""
        return name.rstrip(b"\0").decode(errors="replace")

    def stop(self, by: str = "") -> None:
        """Forbid motion from now on; `by` names the caller, in at most 16 letters."""
        now = time.monotonic()
        _NEWEST.pack_into(self._map, _NEWEST_AT, now)
        if not self._map[_FLAG]:
            _FIRST.pack_into(self._map, _FIRST_AT, now, by.encode())
        self._map[_FLAG] = 1  # last: a reader that sees the flag finds the rest written

    def stopped_after(self, moment: float) -> bool:
        """Whether a stop is newer than `moment`, time.monotonic(): a request made at `moment` must not undo it."""
        newest: float = _NEWEST.unpack_from(self._map, _NEWEST_AT)[0]
        return moment < newest <= time.monotonic()  # a stop from before a reboot may be in the future

    def rearm(self) -> None:
        """Allow motion again."""
        self._map[_FLAG] = 0

    def renew(self) -> None:
        """Switch to the latch now at the path, set or not; one that had to be created is set.

        Only a deliberate act of the operator may lead here.

        Raises:
            OSError: no latch can be opened there, for instance because the folder is gone.
        """
        if self.in_place:
            return
        absent = not os.path.lexists(self._place)
        before, (self._map, self._identity) = self._map, _opened(self._place, obeyed=True)
        before.close()
        if absent:
            self.stop()

    def close(self) -> None:
        """Close the file; the latch keeps its state."""
        self._map.close()


def _opened(path: Path, *, obeyed: bool) -> tuple[mmap.mmap, tuple[int, int]]:
    """The latch's bytes and the file's identity.

    One that is `obeyed` is closed to other users first, where it is ours and the disk has permission bits. Whoever had
    it open before can still write it.
    """
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT, 0o600, shared=not obeyed)
    try:
        if obeyed and os.fstat(descriptor).st_mode & _OTHERS:
            # no effect on a disk without permission bits, or on the file of a user who is trusted by name
            with suppress(OSError):
                os.fchmod(descriptor, 0o600)
        with full_disk_named("the stop latch", path):
            # reserve its bytes now: otherwise a stop on a full disk would kill the process that sets it
            os.posix_fallocate(descriptor, 0, _SIZE)
        found = os.fstat(descriptor)
        return mmap.mmap(descriptor, _SIZE), (found.st_dev, found.st_ino)
    finally:
        os.close(descriptor)
