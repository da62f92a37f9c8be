"""One camera's newest frames and status text, in shared memory.

`hardware.mailbox` shares records without blocking and keeps them intact when the writer is killed; this module defines
their content.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from datasets.observation import Image
from hardware.mailbox import Mailbox

_HEAD = struct.Struct("<dqQd")  # time, number, dropped, rate
_LONGEST_TEXT = 4096  # bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedFrame:
    """One frame as published."""

    image: Image
    """uint8 [height, width, 3], a copy."""
    time: float
    """s, monotonic, when it was captured."""
    number: int
    """The device's frame counter."""
    dropped: int
    """Frames captured by the device that never arrived, up to this one."""
    rate: float
    """Recent rate of arriving frames, Hz."""


class Ring:
    """The last `slots` frames of [height, width, 3], and a text."""

    def __init__(
        self, *, height: int, width: int, slots: int = 8, descriptors: tuple[int, int] | None = None
    ) -> None:
        """Create new memory, or map the memory behind `descriptors`, which another process created."""
        frames, texts = descriptors or (None, None)
        self._shape = height, width, 3
        self._frames = Mailbox(size=_HEAD.size + 3 * height * width, slots=slots, descriptor=frames)
        self._texts = Mailbox(size=_LONGEST_TEXT, descriptor=texts)
        self._closed = False

    @property
    def descriptors(self) -> tuple[int, int]:
        """To be inherited by the writing process."""
        return self._frames.descriptor, self._texts.descriptor

    @property
    def count(self) -> int:
        """Frames published so far, by any process."""
        return 0 if self._closed else self._frames.count

    def put(self, frame: PublishedFrame) -> None:
        """Publish a frame."""
        head = _HEAD.pack(frame.time, frame.number, frame.dropped, frame.rate)
        self._frames.post(head + frame.image.tobytes())

    def newest(self) -> PublishedFrame | None:
        """A copy of the newest frame; None while there is none."""
        record = None if self._closed else self._frames.newest()
        if record is None:
            return None
        data = bytearray(record[1])
        time, number, dropped, rate = _HEAD.unpack_from(data)
        image = np.frombuffer(data, np.uint8, offset=_HEAD.size).reshape(self._shape)
        return PublishedFrame(image=image, time=time, number=number, dropped=dropped, rate=rate)

    def taken(self) -> float | None:
        """When the newest frame was captured, s, monotonic; None while there is none. Copies no image."""
        head = None if self._closed else self._frames.beginning(_HEAD.size)
        return None if head is None else float(_HEAD.unpack(head)[0])

    def say(self, text: str) -> None:
        """Publish a text for the reader; replaces the last one."""
        self._texts.post(text.encode())

    def heard(self) -> str:
        """The writer's text; empty while there is none."""
        record = None if self._closed else self._texts.newest()
        return record[1].decode() if record is not None else ""

    def close(self) -> None:
        """Release the memory; safe to call twice."""
        self._closed = True
        self._frames.close()
        self._texts.close()
