"""An emulated Robotiq 2F-85 at the end of a serial line: a Modbus RTU server behind two pseudo-terminals.

Wire facts are of the vendor's manual (2F-85 & 2F-140, section 4). The line takes the time of its bits. Faults to
inject: a line that falls silent, a pulled adapter, garbled answers, an object between the fingers, fault codes.
"""

from __future__ import annotations

import asyncio
import os
import pty
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

_OUTPUTS, _INPUTS = 0x03E8, 0x07D0
_ACT, _GTO = 0x01, 0x08
_STROKE = 0.085  # m
_SLOWEST, _FASTEST = 0.020, 0.150  # m/s
_WORST_MINOR_FAULT = 0x09
_BITS_PER_BYTE = 10


@dataclass
class Hand:
    """The gripper itself: six bytes in, six bytes out, fingers that take their time."""

    activation: float = 0.2
    """s; the real one takes two and more."""
    closed_count: int = 228
    open_count: int = 3
    object_at: int | None = None
    """Position at which something is between the fingers."""
    fault: int = 0
    jammed: bool = False
    """Activation never ends."""
    activations: int = 0
    _outputs: bytes = bytes(6)
    _position: float = 3.0
    _moved: float = 0.0
    _activated_at: float | None = None

    def write(self, outputs: bytes) -> None:
        """Take rACT .. rFR."""
        self._advance()
        active, was_active = outputs[0] & _ACT, self._outputs[0] & _ACT
        if active and not was_active:
            self.activations += 1
            self._activated_at = time.monotonic()
            self.fault = 0
        if not active:
            self._activated_at = None
        self._outputs = outputs

    def read(self) -> bytes:
        """Status, 0, fault, requested position, position, current."""
        self._advance()
        ready = self._ready
        state = (3 if ready else 1) if self._activated_at is not None else 0
        going = self._outputs[0] & _GTO
        status = (self._outputs[0] & _ACT) | going | state << 4 | self._contact << 6
        moving = ready and going and self._contact == 0
        return bytes([status, 0, self.fault, self._outputs[3], round(self._position), 20 if moving else 0])

    @property
    def _ready(self) -> bool:
        return (
            self._activated_at is not None
            and not self.jammed
            and time.monotonic() > self._activated_at + self.activation
        )

    @property
    def _goal(self) -> float:
        return float(min(max(self._outputs[3], self.open_count), self.closed_count))

    @property
    def _contact(self) -> int:
        if not self._outputs[0] & _GTO or self._position == self._goal:
            return 3
        return 2 if self._blocked else 0

    @property
    def _blocked(self) -> bool:
        return self.object_at is not None and self._position >= self.object_at and self._goal > self._position

    def _advance(self) -> None:
        now = time.monotonic()
        passed, self._moved = now - self._moved, now
        if not (self._ready and self._outputs[0] & _GTO) or self.fault > _WORST_MINOR_FAULT:
            return
        speed = _SLOWEST + self._outputs[4] / 255 * (_FASTEST - _SLOWEST)
        reach = passed * speed / _STROKE * (self.closed_count - self.open_count)
        goal = self._goal
        if self.object_at is not None and self._position <= self.object_at:
            goal = min(goal, self.object_at)
        self._position += min(max(goal - self._position, -reach), reach)


class EmulatedRobotiq:
    """``with EmulatedRobotiq() as gripper``: open `gripper.port` as if it were the adapter."""

    def __init__(self, *, address: int = 9, baud_rate: int = 115_200) -> None:
        self.hand = Hand()
        self.silent = False
        """Nothing comes back any more."""
        self.garbled = 0
        """So many answers to come lose a bit."""
        self._address, self._byte_time = address, _BITS_PER_BYTE / baud_rate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.port = ""

    def __enter__(self) -> EmulatedRobotiq:
        for _ in range(2):
            master, slave = pty.openpty()
            tty.setraw(slave)
            self._masters.append(master)
            self._slaves.append(slave)
        self.port = os.ttyname(self._slaves[0])
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(os.ttyname(self._slaves[1])), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for descriptor in (*self._masters, *self._slaves):
            os.close(descriptor)

    def pull(self) -> None:
        """The adapter is pulled out of its USB port: the driver's end of the line is gone."""
        asyncio.run_coroutine_threadsafe(self._pull(), self._loop).result(10)

    async def _begin(self, port: str) -> None:
        registers = [SimData(_OUTPUTS, values=[0] * 3, datatype=DataType.REGISTERS)]
        registers.append(SimData(_INPUTS, values=[0] * 3, datatype=DataType.REGISTERS))
        device = SimDevice(self._address, registers, action=self._access)
        self._server = ModbusSerialServer(
            device, framer=FramerType.RTU, port=port, ignore_missing_devices=True
        )
        await self._server.serve_forever(background=True)
        driver, gripper = self._masters
        self._loop.add_reader(driver, self._pump, driver, lambda data: self._pass(gripper, self._mine(data)))
        self._loop.add_reader(
            gripper, self._pump, gripper, lambda data: self._pass(driver, self._spoil(data))
        )

    async def _end(self) -> None:
        for master in self._masters:
            self._loop.remove_reader(master)
        await self._server.shutdown()  # type: ignore[no-untyped-call]

    async def _pull(self) -> None:
        self._loop.remove_reader(self._masters[0])
        os.close(self._masters.pop(0))
        os.close(self._slaves.pop(0))

    def _pump(self, source: int, forward: Callable[[bytes], None]) -> None:
        data = os.read(source, 256)
        if data and not self.silent:
            # a line is as slow as its bits
            self._loop.call_later(len(data) * self._byte_time, forward, data)

    def _pass(self, target: int, data: bytes) -> None:
        if target in self._masters:
            os.write(target, data)

    def _mine(self, request: bytes) -> bytes:
        """What is for others on the line is left alone; pymodbus would refuse it aloud."""
        return request if request[0] == self._address else b""

    def _spoil(self, data: bytes) -> bytes:
        if self.garbled <= 0:
            return data
        self.garbled -= 1
        return bytes([*data[:-1], data[-1] ^ 0x10])

    async def _access(
        self,
        _code: int,
        start: int,
        address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus asks before each access: take what is written, show what is now."""
        if values is not None:
            if address != _OUTPUTS or len(values) != 3:
                return ExcCodes.ILLEGAL_ADDRESS
            self.hand.write(b"".join(int(value).to_bytes(2, "big") for value in values))
        shown = self.hand.read()
        for register in range(3):
            registers[_INPUTS - start + register] = int.from_bytes(
                shown[2 * register : 2 * register + 2], "big"
            )
        return None
