"""What hangs on the tool's RS485 bus: a Robotiq 2F-85 or the vendor's own gripper, by their Modbus registers.

Frames carry no checksum here; the controller adds and strips it. A device that is unplugged, or spoken to at the
wrong baud rate, does not answer.
"""

from __future__ import annotations

import struct
import time
from abc import ABC, abstractmethod

BAUD_RATES = (
    4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 1500000, 2000000, 2500000
)  # fmt: skip

_READ = (0x03, 0x04)
_WRITE = 0x10


class ModbusDevice(ABC):
    """A slave with 16-bit registers."""

    slave: int
    baud_rate: int
    turnaround: float
    """s from the last byte of a request to the last byte of its answer."""

    def answer(self, frame: bytes) -> bytes | None:
        """The answer to a request; None: it was for somebody else."""
        if len(frame) < 6 or frame[0] != self.slave:
            return None
        function = frame[1]
        address, count = struct.unpack_from(">HH", frame, 2)
        self.settle()
        if function in _READ:
            words = [self.read(address + index) for index in range(count)]
            return bytes([self.slave, function, 2 * count]) + struct.pack(f">{count}H", *words)
        if function == _WRITE:
            self.write(address, list(struct.unpack_from(f">{count}H", frame, 7)))
            return frame[:6]
        return bytes([self.slave, function | 0x80, 1])

    @abstractmethod
    def settle(self) -> None:
        """Bring the fingers to where they are now."""

    @abstractmethod
    def read(self, address: int) -> int:
        """One register."""

    @abstractmethod
    def write(self, address: int, words: list[int]) -> None:
        """Registers from `address` on."""


class Fingers:
    """A position that runs to a target at a speed, and stops at an obstacle."""

    def __init__(self, position: float, speed: float) -> None:
        self.position = position
        self.target = position
        self.speed = speed
        """Counts/s."""
        self.obstacle: float | None = None
        """Where something is between the fingers; felt when closing on it."""
        self.contact = False
        self._time = time.monotonic()

    def settle(self, closing: int) -> None:
        """Run until now; `closing` is the sign of the direction that closes."""
        now = time.monotonic()
        reach, self._time = self.speed * (now - self._time), now
        step = min(max(self.target - self.position, -reach), reach)
        end = self.position + step
        self.contact = False
        if self.obstacle is not None and step * closing > 0 and (end - self.obstacle) * closing >= 0:
            end, self.contact = self.obstacle, True
        self.position = end

    @property
    def arrived(self) -> bool:
        return abs(self.target - self.position) < 0.5

    def go(self, target: float) -> None:
        self.target = target
        self._time = time.monotonic()


class Robotiq(ModbusDevice):
    """2F-85: 0 open, 255 closed; fingers really reach 3 .. 228."""

    slave = 9
    baud_rate = 115_200
    turnaround = 0.006

    def __init__(self) -> None:
        self.fingers = Fingers(3.0, 400.0)
        self.fault = 0
        self.activations = 0
        self._action = 0
        self._requested = 0
        self._activated_at: float | None = None

    @property
    def _activated(self) -> bool:
        return self._activated_at is not None and time.monotonic() >= self._activated_at

    def settle(self) -> None:
        if self._activated and self._action & 0x08 and not self.fault:
            self.fingers.settle(closing=1)
        else:
            self.fingers.go(self.fingers.target)

    def read(self, address: int) -> int:
        words = (
            self._status() << 8,
            self.fault << 8 | self._requested,
            round(self.fingers.position) << 8 | 7,
        )
        return words[address - 0x07D0] if 0 <= address - 0x07D0 < 3 else 0

    def _status(self) -> int:
        stage = 3 if self._activated else 1 if self._activated_at is not None else 0
        going = self._action & 0x08
        contact = 0
        if going and self._activated:
            contact = 2 if self.fingers.contact else 3 if self.fingers.arrived else 0
        return self._action & 0x01 | going | stage << 4 | contact << 6

    def write(self, address: int, words: list[int]) -> None:
        if address != 0x03E8 or len(words) < 3:
            return
        action = words[0] >> 8
        if not action & 0x01:
            self._activated_at, self.fault = None, 0
        elif self._activated_at is None:
            self._activated_at = time.monotonic() + 0.4
            self.activations += 1
        if action & 0x08 and not self._activated:
            self.fault = 0x07 if self._activated_at is None else 0x05
        self._action, self._requested = action, words[1] & 0xFF
        if action & 0x08:
            self.fingers.speed = 80.0 + (words[2] >> 8) * 1.9
            self.fingers.go(min(max(float(self._requested), 3.0), 228.0))


class UfactoryGripper(ModbusDevice):
    """The vendor's gripper: 850 open, 0 closed."""

    slave = 8
    baud_rate = 2_000_000
    turnaround = 0.004

    def __init__(self) -> None:
        self.fingers = Fingers(850.0, 1000.0)
        self.fault = 0
        self._registers: dict[int, int] = {0x0801: 3, 0x0802: 4, 0x0803: 3}

    def settle(self) -> None:
        if self._registers.get(0x0100) and not self.fault:
            self.fingers.settle(closing=-1)
        else:
            self.fingers.go(self.fingers.target)

    def read(self, address: int) -> int:
        position = round(self.fingers.position) & 0xFFFFFFFF
        live = {
            0x0000: 2 if self.fingers.contact else 0 if self.fingers.arrived else 1,
            0x000F: self.fault,
            0x0702: position >> 16,
            0x0703: position & 0xFFFF,
        }
        return live.get(address, self._registers.get(address, 0))

    def write(self, address: int, words: list[int]) -> None:
        for index, word in enumerate(words):
            self._registers[address + index] = word
        if address == 0x0109:
            self.fault = 0
        elif address == 0x0303:
            self.fingers.speed = words[0] / 5.0
        elif address == 0x0700 and len(words) >= 2:
            value = words[0] << 16 | words[1]
            target = value - (1 << 32) if value >= 1 << 31 else value
            self.fingers.go(min(max(float(target), -10.0), 850.0))


TOOLS: dict[str, type[Robotiq] | type[UfactoryGripper] | None] = {
    "robotiq": Robotiq,
    "ufactory": UfactoryGripper,
    "none": None,
}
