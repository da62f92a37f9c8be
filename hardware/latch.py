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

_FLAG = 0  # one byte, and room up to what follows
_FIRST = struct.Struct("<d16s")  # monotonic time at which it was set, by whom
_FIRST_AT = 8
_NEWEST = struct.Struct("<d")  # monotonic time of the newest stop: the first, or one after it
_NEWEST_AT = _FIRST_AT + _FIRST.size
_OTHERS = 0o077
_SIZE = _NEWEST_AT + _NEWEST.size


class StopLatch:
    """Shared by path; setting it twice keeps the first time stamp.

    A latch whose file is no longer the one at its path counts as set: whoever presses stop from now on sets another.
    """

    def __init__(self, path: Path, *, to_stop: bool = False) -> None:
        """Open the latch at `path`, creating it unlatched; its folder is there, or nobody would look for it.

        `to_stop`: it is opened to be set and not to be obeyed, and so may be another user's.

        Raises:
            DiskFullError: there is no room for it. NotOursError: something else lies in its place, or another user
                could take a stop back there. OSError: no folder.
        """
        self.path = path
        """Where others find it."""
        self._place = path.absolute()
        self._missed: float | None = None
        self._map, self._identity = _opened(path, obeyed=not to_stop)

    @property
    def in_place(self) -> bool:
        """Whether its file still is the one at its path; costs a few microseconds."""
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
        """Whether motion is forbidden: it is set, or nobody else would find it any more."""
        return self._map[_FLAG] != 0 or not self.in_place

    @property
    def since(self) -> float | None:
        """time.monotonic() at which it was set, or missed at its path; None while armed."""
        if self._map[_FLAG]:
            since: float = _FIRST.unpack_from(self._map, _FIRST_AT)[0]
            return since
        return None if self.in_place else self._missed

    @property
    def by(self) -> str:
        """Who set it, empty where that was not said."""
        name: bytes = _FIRST.unpack_from(self._map, _FIRST_AT)[1] if self._map[_FLAG] else b""
        return name.rstrip(b"\0").decode(errors="replace")

    def stop(self, by: str = "") -> None:
        """Forbid motion from this instant on; `by` says who does, in at most 16 letters."""
        now = time.monotonic()
        _NEWEST.pack_into(self._map, _NEWEST_AT, now)
        if not self._map[_FLAG]:
            _FIRST.pack_into(self._map, _FIRST_AT, now, by.encode())
        self._map[_FLAG] = 1  # last, so that who reads it finds the rest written

    def stopped_after(self, moment: float) -> bool:
        """Whether a stop is newer than `moment`, time.monotonic(): what was asked for then must not undo it."""
        newest: float = _NEWEST.unpack_from(self._map, _NEWEST_AT)[0]
        return moment < newest <= time.monotonic()  # one from before a restart of the machine lies ahead

    def rearm(self) -> None:
        """Allow motion again."""
        self._map[_FLAG] = 0

    def renew(self) -> None:
        """Use the latch that lies at the path now, whatever it says; one that had to be made is set.

        Only a deliberate act of the operator may come to this.

        Raises:
            OSError: none can be had there; the folder is gone, for instance.
        """
        if self.in_place:
            return
        absent = not os.path.lexists(self._place)
        before, (self._map, self._identity) = self._map, _opened(self._place, obeyed=True)
        before.close()
        if absent:
            self.stop()

    def close(self) -> None:
        """Let go of the file; the latch keeps its state."""
        self._map.close()


def _opened(path: Path, *, obeyed: bool) -> tuple[mmap.mmap, tuple[int, int]]:
    """The latch's bytes, and which file they are; one that is `obeyed` can be written by nobody else."""
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT, 0o600, shared=not obeyed)
    try:
        if obeyed and os.fstat(descriptor).st_mode & _OTHERS:
            # a disk without permission bits keeps them; on all others nobody else opens it from now on
            with suppress(OSError):
                os.fchmod(descriptor, 0o600)
        with full_disk_named("the stop latch", path):
            # its bytes have their room from now on: without, a stop on a full disk would end who sets it
            os.posix_fallocate(descriptor, 0, _SIZE)
        found = os.fstat(descriptor)
        return mmap.mmap(descriptor, _SIZE), (found.st_dev, found.st_ino)
    finally:
        os.close(descriptor)
