"""A foot pedal without a kernel device: the bytes that a real one's event file gives, played through a pipe.

The bytes are struct input_event of 64-bit Linux; what reads them is evdev's own decoder.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from evdev.eventio import EventIO

if TYPE_CHECKING:
    from evdev.events import InputEvent

EVENT = struct.Struct("llHHi")
SYN, KEY, MISC = 0x00, 0x01, 0x04
UP, DOWN, REPEAT = 0, 1, 2
SCAN = 0x04


class Pedal(EventIO):
    """Both ends of it: the foot's, and the part of evdev.InputDevice that a program uses."""

    def __init__(self, name: str = "PCsensor FootSwitch") -> None:
        self.name = name
        self.grabbed = False
        self.held_by_another = False
        self.fd, self._foot = os.pipe()
        os.set_blocking(self.fd, False)

    # --- the program's end ---

    def grab(self) -> None:
        if self.held_by_another:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.grabbed = True

    def read(self) -> Iterator[InputEvent]:
        events = list(super().read())
        if not events:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return iter(events)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # --- the foot's end ---

    def press(self, code: int, *, repeats: int = 0, bounces: int = 0, up: bool = True) -> None:
        """One press as the kernel reports it: scan code, down, the repeats of a held key, up."""
        self._report((MISC, SCAN, 0x70000 + code), (KEY, code, DOWN))
        for _ in range(bounces):
            self._report((KEY, code, UP))
            self._report((KEY, code, DOWN))
        for _ in range(repeats):
            self._report((KEY, code, REPEAT))
        if up:
            self._report((MISC, SCAN, 0x70000 + code), (KEY, code, UP))

    def unplug(self) -> None:
        os.close(self._foot)

    def _report(self, *events: tuple[int, int, int]) -> None:
        seconds, micros = divmod(int(time.time() * 1e6), 1_000_000)
        for kind, code, value in (*events, (SYN, 0, 0)):
            os.write(self._foot, EVENT.pack(seconds, micros, kind, code, value))
