"""The bytes of the control port and of the report ports, as the vendor's SDK writes and reads them.

A request is a big-endian transaction number, protocol number and length, then one byte of register and a payload;
the reply adds one byte of status. Floats are little-endian, most whole numbers big-endian. Millimetres and radians.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HEADER = struct.Struct(">HHH")

STATUS_ERROR = 0x40
STATUS_WARNING = 0x20
STATUS_NOT_READY = 0x10
STATUS_INVALID = 0x08

REPORT_NORMAL = 30001
REPORT_RICH = 30002
REPORT_REAL = 30003
REPORT_PERIOD = {REPORT_NORMAL: 0.2, REPORT_RICH: 0.2, REPORT_REAL: 0.01}
"""s"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One command."""

    transaction: int
    protocol: int
    register: int
    payload: bytes

    def reply(self, status: int, payload: bytes = b"") -> bytes:
        """The answer to it."""
        head = HEADER.pack(self.transaction, self.protocol, len(payload) + 2)
        return head + bytes([self.register, status]) + payload

    def feedback(self, kind: int, code: int = 0) -> bytes:
        """The unasked message that says that a task has ended."""
        content = bytes([0xFF, 0, kind, 0, 0, 0, code])
        return HEADER.pack(self.transaction, self.protocol, len(content)) + content


def requests(buffer: bytearray) -> Iterator[Request]:
    """Take the whole requests out of `buffer`."""
    while len(buffer) >= HEADER.size + 1:
        transaction, protocol, length = HEADER.unpack_from(buffer)
        if len(buffer) < HEADER.size + length:
            return
        content = bytes(buffer[HEADER.size : HEADER.size + length])
        del buffer[: HEADER.size + length]
        yield Request(transaction=transaction, protocol=protocol, register=content[0], payload=content[1:])


def floats(payload: bytes, count: int, offset: int = 0) -> tuple[float, ...]:
    """`count` floats of a payload."""
    return struct.unpack_from(f"<{count}f", payload, offset)


def pack_floats(values: Iterable[float]) -> bytes:
    """Floats as they travel."""
    numbers = list(values)
    return struct.pack(f"<{len(numbers)}f", *numbers)


def padded(values: Iterable[float], count: int = 7) -> list[float]:
    """An arm with six joints reports a seventh that stays at zero."""
    numbers = list(values)
    return numbers + [0.0] * (count - len(numbers))
