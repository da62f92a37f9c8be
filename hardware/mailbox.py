"""Small records in shared memory: one process writes, others read, and none ever blocks another.

A record is written in full into the next slot before the counter points to it, and carries a checksum: if the writer
is killed or suspended halfway, the previous record stays readable, and a reader that is overtaken notices. The content
of a record is defined in `hardware.wire`.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib

import numpy as np

_FIRST_SLOT = 64
_HEAD = struct.Struct("<QII")  # number, length, checksum
_ATTEMPTS = 8


class Mailbox:
    """The last `slots` records of at most `size` bytes, numbered 1, 2, ..."""

    def __init__(self, *, size: int, slots: int = 4, descriptor: int | None = None) -> None:
        """Create new memory, or map the memory behind `descriptor`, which another process created the same way."""
        self._slots = slots
        self._stride = -(-(_HEAD.size + size) // 64) * 64
        self._size = size
        whole = _FIRST_SLOT + slots * self._stride
        self.descriptor = os.memfd_create("mailbox") if descriptor is None else descriptor
        """To be inherited by the process at the other end."""
        if descriptor is None:
            os.ftruncate(self.descriptor, whole)
        self._map = mmap.mmap(self.descriptor, whole)
        # one aligned eight-byte store, atomic for other processes
        self._counter = np.frombuffer(self._map, np.uint64, 1)

    @property
    def count(self) -> int:
        """Records posted so far; the number of the newest."""
        return int(self._counter[0])

    def post(self, data: bytes) -> int:
        """Publish a record and return its number. Raises ValueError when it is too long."""
        if len(data) > self._size:
            raise ValueError(f"a record of {len(data)} bytes does not fit into {self._size}")
        number = self.count + 1
        begin = _FIRST_SLOT + number % self._slots * self._stride
        self._map[begin + _HEAD.size : begin + _HEAD.size + len(data)] = data
        self._map[begin : begin + _HEAD.size] = _HEAD.pack(number, len(data), _checksum(number, data))
        self._counter[0] = number
        return number

    def newest(self) -> tuple[int, bytes] | None:
        """Number and content of the newest record; None while there is none."""
        for _ in range(_ATTEMPTS):
            number = self.count
            data = self.read(number)
            if data is not None:
                return number, data
        return None

    def beginning(self, length: int) -> bytes | None:
        """The first `length` bytes of the newest record, without reading all of it; None while there is none."""
        for _ in range(_ATTEMPTS):
            number = self.count
            begin = _FIRST_SLOT + number % self._slots * self._stride + _HEAD.size
            data = self._map[begin : begin + length]
            if self.count - number < self._slots - 1:  # the writer has not wrapped around to it
                return data if number else None
        return None

    def read(self, number: int) -> bytes | None:
        """A record by its number; None if not written yet, or already overwritten."""
        if not 0 < number <= self.count:
            return None
        begin = _FIRST_SLOT + number % self._slots * self._stride
        found, length, checksum = _HEAD.unpack_from(self._map, begin)
        if found != number or length > self._size:
            return None
        data = self._map[begin + _HEAD.size : begin + _HEAD.size + length]
        return data if _checksum(number, data) == checksum else None

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self.descriptor >= 0:
            del self._counter
            self._map.close()
            os.close(self.descriptor)
            self.descriptor = -1


class Heartbeat:
    """The time at which a loop last reported that it is alive."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Create new memory, or map memory that another process created."""
        self.descriptor = os.memfd_create("heartbeat") if descriptor is None else descriptor
        """To be inherited by the process at the other end."""
        if descriptor is None:
            os.ftruncate(self.descriptor, 8)
        self._map = mmap.mmap(self.descriptor, 8)
        self._time = np.frombuffer(self._map, np.float64, 1)

    def beat(self, now: float) -> None:
        """Report that the loop is alive; `now` is s, monotonic."""
        self._time[0] = now

    @property
    def last(self) -> float:
        """s, monotonic; 0 before the first."""
        return float(self._time[0])

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self.descriptor >= 0:
            del self._time
            self._map.close()
            os.close(self.descriptor)
            self.descriptor = -1


def _checksum(number: int, data: bytes) -> int:
    return zlib.crc32(data, number & 0xFFFFFFFF)
