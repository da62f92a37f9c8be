"""The newest pictures of one camera in memory that two processes share: one writes, others read, nobody waits.

A slot is written whole before the counter points to it, and carries a checksum over pixels and stamps; a reader that
catches a slot while it is being overwritten sees the checksum fail and takes the newest again. The writer may be
killed at any instant, and a new one goes on in the same memory. What is in the pictures is no business of this module.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from datasets.observation import Image

_STOP, _COUNT, _TEXT, _SLOTS = 0, 8, 64, 4096  # where each part begins, bytes
_TEXT_HEAD = struct.Struct("<II")  # checksum, length
_SLOT_HEAD = struct.Struct("<QdqQdQ")  # sequence, time, number, dropped, rate, checksum
_SUMMED = _SLOT_HEAD.size - 8  # the checksum itself is not summed
_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One slot."""

    image: Image
    """uint8 [height, width, 3], a copy."""
    time: float
    """s, monotonic, when it was taken."""
    number: int
    """The device's counter."""
    dropped: int
    """Pictures that the device made and that never arrived, up to this one."""
    rate: float
    """Pictures per second that arrived lately."""
    sequence: int
    """1, 2, ... over the whole life of the ring."""


class Ring:
    """`slots` pictures of [height, width, 3], a counter, a text, and a wish to stop."""

    def __init__(self, *, height: int, width: int, slots: int = 8, descriptor: int | None = None) -> None:
        """Make new memory, or map the memory behind `descriptor`, which another process has made."""
        self._shape = height, width, 3
        self._slots = slots
        self._used = _SLOT_HEAD.size + height * width * 3
        self._stride = -(-self._used // 64) * 64
        size = _SLOTS + slots * self._stride
        self.descriptor = os.memfd_create("camera") if descriptor is None else descriptor
        """To be inherited by the process that writes."""
        if descriptor is None:
            os.ftruncate(self.descriptor, size)
        self._map = mmap.mmap(self.descriptor, size)
        # one aligned store of eight bytes, which other processes see whole
        self._counter = np.frombuffer(self._map, np.uint64, 1, _COUNT)

    @property
    def count(self) -> int:
        """Pictures put so far."""
        return int(self._counter[0]) if self.descriptor >= 0 else 0

    @property
    def stopping(self) -> bool:
        """Whether the writer is asked to end."""
        return self._map[_STOP] != 0

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._map[_STOP] = int(value)

    def put(self, image: Image, *, time: float, number: int, dropped: int, rate: float) -> None:
        """Publish a picture, uint8 [height, width, 3]."""
        count = self.count
        begin = _SLOTS + count % self._slots * self._stride
        pixels = image.tobytes()
        head = _SLOT_HEAD.pack(count + 1, time, number, dropped, rate, 0)
        self._map[begin : begin + _SLOT_HEAD.size] = head[:_SUMMED] + struct.pack(
            "<Q", zlib.crc32(head[:_SUMMED], zlib.crc32(pixels))
        )
        self._map[begin + _SLOT_HEAD.size : begin + self._used] = pixels
        self._counter[0] = count + 1

    def newest(self) -> Picture | None:
        """A copy of the newest whole picture; None while there is none."""
        for _ in range(_ATTEMPTS):
            count = self.count
            if count == 0:
                return None
            begin = _SLOTS + (count - 1) % self._slots * self._stride
            with memoryview(self._map) as shared, shared[begin : begin + self._used] as slot:
                data = bytearray(slot)
            picture = self._parse(data)
            if picture is not None and picture.sequence == count:
                return picture
        return None

    def say(self, text: str) -> None:
        """Leave a text for the reader; it replaces the last one."""
        data = text.encode()[: _SLOTS - _TEXT - _TEXT_HEAD.size]
        self._map[_TEXT : _TEXT + _TEXT_HEAD.size] = _TEXT_HEAD.pack(zlib.crc32(data), len(data))
        self._map[_TEXT + _TEXT_HEAD.size : _TEXT + _TEXT_HEAD.size + len(data)] = data

    def heard(self) -> str:
        """The text that the writer left; empty while there is none or it is just being replaced."""
        begin = _TEXT + _TEXT_HEAD.size
        for _ in range(_ATTEMPTS if self.descriptor >= 0 else 0):
            checksum, length = _TEXT_HEAD.unpack(self._map[_TEXT:begin])
            data = self._map[begin : begin + length]
            if length and zlib.crc32(data) == checksum:
                return data.decode(errors="replace")
        return ""

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self.descriptor >= 0:
            del self._counter
            self._map.close()
            os.close(self.descriptor)
            self.descriptor = -1

    def _parse(self, data: bytearray) -> Picture | None:
        sequence, time, number, dropped, rate, checksum = _SLOT_HEAD.unpack_from(data)
        view = memoryview(data)
        if zlib.crc32(view[:_SUMMED], zlib.crc32(view[_SLOT_HEAD.size :])) != checksum:
            return None
        image = np.frombuffer(data, np.uint8, offset=_SLOT_HEAD.size).reshape(self._shape)
        return Picture(image=image, time=time, number=number, dropped=dropped, rate=rate, sequence=sequence)
