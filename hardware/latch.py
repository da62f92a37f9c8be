"""The stop latch: a byte in a shared file that every controller reads at each tick.

Any process may set it, whether or not the session engine is alive, busy or hung; only a deliberate act re-arms it.
It is a software stop and replaces no hardware emergency stop.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from datasets.durable import full_disk_named

_LAYOUT = struct.Struct("<Bxxxxxxxd16s")  # latched, monotonic time at which it was set, by whom
_NEWEST = struct.Struct("<d")  # behind that: monotonic time of the newest stop, the first or one after it
_SIZE = _LAYOUT.size + _NEWEST.size


class StopLatch:
    """Shared by path; setting it twice keeps the first time stamp."""

    def __init__(self, path: Path) -> None:
        """Open the latch at `path`, creating it unlatched. Raises DiskFullError when there is no room for it."""
        self.path = path
        """Where others find it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with full_disk_named("the stop latch", path):
                # its bytes have their room from now on: without, a stop on a full disk would end who sets it
                os.posix_fallocate(descriptor, 0, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    @property
    def latched(self) -> bool:
        """Whether motion is forbidden."""
        return self._map[0] != 0

    @property
    def since(self) -> float | None:
        """time.monotonic() at which it was set, None while armed."""
        latched, since, _ = _LAYOUT.unpack_from(self._map)
        return since if latched else None

    @property
    def by(self) -> str:
        """Who set it, empty where that was not said."""
        name: bytes = _LAYOUT.unpack_from(self._map)[2]
        return name.rstrip(b"\0").decode(errors="replace")

    def stop(self, by: str = "") -> None:
        """Forbid motion from this instant on; `by` says who does, in at most 16 letters."""
        now = time.monotonic()
        _NEWEST.pack_into(self._map, _LAYOUT.size, now)
        if not self.latched:
            _LAYOUT.pack_into(self._map, 0, 1, now, by.encode())

    def stopped_after(self, moment: float) -> bool:
        """Whether a stop is newer than `moment`, time.monotonic(): what was asked for then must not undo it."""
        newest: float = _NEWEST.unpack_from(self._map, _LAYOUT.size)[0]
        return moment < newest <= time.monotonic()  # one from before a restart of the machine lies ahead

    def rearm(self) -> None:
        """Allow motion again."""
        _LAYOUT.pack_into(self._map, 0, 0, 0.0, b"")

    def close(self) -> None:
        """Let go of the file; the latch keeps its state."""
        self._map.close()
