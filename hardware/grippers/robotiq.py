"""The registers of a Robotiq 2F gripper, independent of the transport.

Six bytes go out (registers 1000-1002) and six come back (2000-2002). This module converts them to and from widths,
contacts and fault messages, and implements the gripper; each transport's driver only carries the bytes. Register map:
Robotiq, 2F-85 & 2F-140 instruction manual, section 4.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass

from pydantic import Field

from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.settings import ArmSettings, GripperSettings

SLAVE_ID = 9
BAUD_RATE = 115_200
OUTPUT_REGISTER = 0x03E8
INPUT_REGISTER = 0x07D0
REGISTERS = 3

RESET = bytes(6)
ACTIVATE = bytes([0x01, 0, 0, 0, 0, 0])
_GO_TO = 0x09
"""rACT and rGTO: stay activated, and go to the requested position."""

_ACTIVATION_TIMEOUT = 6.0  # s; the fingers open and close once
_ASK_EVERY = 0.05  # s
_SILENCE_FAULT = 0x09

_ACTIVATED = 3
_FULL_SCALE = 255
_MIN_SPEED, _MAX_SPEED = 0.020, 0.150
_MIN_FORCE, _MAX_FORCE = 20.0, 235.0

_FAULTS = {
    0x05: "action delayed until activation is complete. Wait, then recover the gripper",
    0x07: "not activated. Recover the gripper, which activates it",
    0x08: "too hot. Let it cool down, then recover the gripper",
    0x09: "no communication for a second. Check its cable, then recover the gripper",
    0x0A: "supply voltage too low. Check its 24 V supply, then recover the gripper",
    0x0B: "automatic release in progress. Wait until it is done, then recover the gripper",
    0x0C: "internal fault. Switch its power off and on; if it stays, ask the vendor",
    0x0D: "activation failed: something kept the fingers from moving. Free them, then recover the gripper",
    0x0E: "overcurrent. Look for a jam, then recover the gripper",
    0x0F: "automatic release completed. Recover the gripper, which reactivates it",
}


class RobotiqSettings(GripperSettings):
    """Settings of the 2F-85 on any transport."""

    max_width: float = Field(default=0.085, gt=0.0, le=0.15)
    """Opening between the fingertips when fully open, m; measure it for fingertips other than the vendor's."""
    open_count: int = Field(default=3, ge=0, le=100)
    """Position the gripper reports when fully open (0 is the theoretical end)."""
    closed_count: int = Field(default=228, ge=101, le=255)
    """Position the gripper reports when closed on nothing; depends on the fingertips."""
    speed: float = Field(default=_MAX_SPEED, ge=_MIN_SPEED, le=_MAX_SPEED)
    """Finger speed, m/s."""
    force: float = Field(default=60.0, ge=_MIN_FORCE, le=_MAX_FORCE)
    """Grip force, N; at the minimum the gripper does not re-grasp."""

    @abstractmethod
    def build(self, arm: ArmSettings) -> Gripper: ...

    def move_bytes(self, width: float) -> bytes:
        """The six output bytes that send the fingers to `width` m."""
        return bytes([_GO_TO, 0, 0, self.count(width), self._speed_byte, self._force_byte])

    def count(self, width: float) -> int:
        """The position request for `width` m, clipped to 0 .. max_width."""
        opening = min(max(width / self.max_width, 0.0), 1.0)
        return round(self.closed_count + opening * (self.open_count - self.closed_count))

    def width(self, count: int) -> float:
        """The width, m, of a reported position, clipped to 0 .. max_width."""
        opening = (count - self.closed_count) / (self.open_count - self.closed_count)
        return min(max(opening, 0.0), 1.0) * self.max_width

    @property
    def _speed_byte(self) -> int:
        return round((self.speed - _MIN_SPEED) / (_MAX_SPEED - _MIN_SPEED) * _FULL_SCALE)

    @property
    def _force_byte(self) -> int:
        return round((self.force - _MIN_FORCE) / (_MAX_FORCE - _MIN_FORCE) * _FULL_SCALE)


@dataclass(frozen=True, kw_only=True)
class RobotiqStatus:
    """The six input bytes, parsed."""

    activated: bool
    going: bool
    """Whether it follows position requests (gGTO)."""
    contact: int
    """gOBJ: 0 moving, 1 contact while opening, 2 contact while closing, 3 at the requested position."""
    fault: int
    requested: int
    position: int
    current: float
    """A"""

    @classmethod
    def parse(cls, content: bytes) -> RobotiqStatus:
        """Read registers 2000-2002, [6]. Raises ValueError when bytes are missing."""
        if len(content) < 2 * REGISTERS:
            raise ValueError(f"{len(content)} bytes where the status has {2 * REGISTERS}")
        status, _, fault, requested, position, current = content[:6]
        return cls(
            activated=bool(status & 0x01) and (status >> 4) & 0x03 == _ACTIVATED,
            going=bool(status & 0x08),
            contact=status >> 6,
            fault=fault & 0x0F,
            requested=requested,
            position=position,
            current=current * 0.010,
        )

    @property
    def grasp(self) -> Grasp:
        """The state of the grasp."""
        if self.contact in (1, 2):
            return Grasp.OBJECT
        return Grasp.MOVING if self.going and self.contact == 0 else Grasp.NOTHING

    @property
    def fault_text(self) -> str:
        """The vendor's code and meaning, and what to do; empty without a fault."""
        if self.fault == 0:
            return ""
        meaning = _FAULTS.get(self.fault, "unknown fault. Switch its power off and on")
        return f"Robotiq fault 0x{self.fault:02X}: {meaning}."

    def state(self, settings: RobotiqSettings, time: float) -> GripperState:
        """As a GripperState taken at `time` (s, monotonic)."""
        return GripperState(
            time=time, width=settings.width(self.position), grasp=self.grasp, fault=self.fault_text
        )


class Robotiq(Gripper):
    """A 2F-85 on any transport. All calls come from one thread."""

    def __init__(self, settings: RobotiqSettings) -> None:
        self.name = settings.name
        self.max_width = settings.max_width
        self._settings = settings

    @property
    @abstractmethod
    def where(self) -> str:
        """The connection, for people."""

    @abstractmethod
    def open_line(self) -> None:
        """Open the connection, or reopen it. Raises GripperError."""

    @abstractmethod
    def write(self, content: bytes) -> None:
        """Write registers 1000-1002, [6]. Raises GripperError."""

    @abstractmethod
    def read(self) -> bytes:
        """Read registers 2000-2002, [6]. Raises GripperError."""

    def connect(self) -> str:
        """Open the connection; an active gripper keeps its object, an inactive one activates, moving its fingers."""
        try:
            self.recover()
        except GripperError:
            self.close()
            raise
        return f"Robotiq 2F-85, {self.where}"

    def move(self, width: float) -> None:
        self.write(self._settings.move_bytes(width))

    def state(self) -> GripperState:
        return self._status().state(self._settings, time.monotonic())

    def recover(self) -> None:
        """Reopen the connection; in a fault, reactivate, which moves the fingers and releases any object."""
        self.open_line()
        status = self._status()
        if not status.activated or status.fault:
            self._activate()

    def _activate(self) -> None:
        self.write(RESET)
        self.write(ACTIVATE)
        until = time.monotonic() + _ACTIVATION_TIMEOUT
        while not (status := self._status()).activated:
            if time.monotonic() > until:
                reason = status.fault_text or "Free the fingers, then recover the gripper."
                raise GripperError(
                    f"{self.name}: it did not activate within {_ACTIVATION_TIMEOUT:g} s. {reason}"
                )
            time.sleep(_ASK_EVERY)
        if status.fault:
            raise GripperError(f"{self.name}: {status.fault_text}")

    def _status(self) -> RobotiqStatus:
        """The newest report; reads again after the one-second silence fault, which the first read clears."""
        status = RobotiqStatus.parse(self.read())
        return RobotiqStatus.parse(self.read()) if status.fault == _SILENCE_FAULT else status
