"""UFACTORY's own gripper on the tool connector of an xArm.

Registers as the vendor's SDK uses them; positions are motor counts, 0 closed and 850 open. Newer firmware reports
whether it holds an object; with older firmware, fingers at rest short of their goal count as holding one.
"""

from __future__ import annotations

import struct
import time
from typing import Literal

from pydantic import Field

from hardware.arms import xarm_sdk
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.grippers.xarm_bus import ToolBus
from hardware.settings import ArmSettings, GripperSettings

_SLAVE_ID = 8
_BAUD_RATE = 2_000_000
_STATUS, _ERROR, _ENABLE, _MODE, _CLEAR = 0x0000, 0x000F, 0x0100, 0x0101, 0x0109
_SPEED, _TARGET, _POSITION, _VERSION = 0x0303, 0x0700, 0x0702, 0x0801
_STATUS_SINCE = (3, 4, 3)
_MOVING, _HOLDING = 1, 2

_STILL_FOR = 0.3
"""s"""
_STILL = 2
"""Counts."""
_SHORT_OF_GOAL = 12
"""Counts by which fingers may miss their goal without an object."""


class UfactoryGripperSettings(GripperSettings):
    """The vendor's gripper on an xArm's tool connector."""

    driver: Literal["ufactory"] = "ufactory"
    """Driver name."""
    max_width: float = Field(default=0.084, gt=0.0, le=0.15)
    """Opening between the fingertips when fully open, m."""
    open_count: int = Field(default=850, ge=100, le=850)
    """Motor position when fully open."""
    closed_count: int = Field(default=0, ge=-10, le=99)
    """Motor position when closed; a little below 0 presses the fingers together."""
    speed: int = Field(default=3000, ge=350, le=5000)
    """Motor speed, revolutions per minute; 5000 closes in about a second."""

    def build(self, arm: ArmSettings) -> UfactoryGripper:
        return UfactoryGripper(self, arm)


class UfactoryGripper(Gripper):
    """One UFACTORY gripper. All calls come from one thread."""

    def __init__(self, settings: UfactoryGripperSettings, arm: ArmSettings) -> None:
        """Opens nothing. Raises GripperError if the arm is not an xArm."""
        self.name = settings.name
        self.max_width = settings.max_width
        self._settings = settings
        self._bus = ToolBus(settings.name, arm, _BAUD_RATE)
        self._knows_status = False
        self._goal: int | None = None
        self._last = (0, 0.0)
        """The last position to which the fingers moved, and when."""

    def connect(self) -> str:
        self._bus.open()
        try:
            version = tuple(self._word(_VERSION + index) for index in range(3))
            self._knows_status = version >= _STATUS_SINCE
            self._refuse_fault()
            self._enable()
        except GripperError:
            self._bus.close()
            raise
        return f"UFACTORY gripper, firmware {'.'.join(map(str, version))}, {self._bus.where}"

    def close(self) -> None:
        self._bus.close()

    def move(self, width: float) -> None:
        goal = self._count(width)
        self._bus.write(_SLAVE_ID, _TARGET, struct.pack(">i", goal))
        self._goal, self._last = goal, (self._last[0], time.monotonic())

    def state(self) -> GripperState:
        position = struct.unpack(">i", self._bus.read(_SLAVE_ID, _POSITION, 2))[0]
        now = time.monotonic()
        if abs(position - self._last[0]) > _STILL:
            self._last = (position, now)
        grasp = self._reported_grasp() if self._knows_status else self._inferred_grasp(position, now)
        return GripperState(time=now, width=self._width(position), grasp=grasp, fault=self._fault())

    def recover(self) -> None:
        self._bus.open()
        self._bus.write(_SLAVE_ID, _CLEAR, _words(1))
        self._refuse_fault()
        self._enable()

    def _enable(self) -> None:
        self._bus.write(_SLAVE_ID, _ENABLE, _words(1))
        self._bus.write(_SLAVE_ID, _MODE, _words(0))
        self._bus.write(_SLAVE_ID, _SPEED, _words(self._settings.speed))
        self._refuse_fault()

    def _reported_grasp(self) -> Grasp:
        status = self._word(_STATUS) & 0x03
        return {_MOVING: Grasp.MOVING, _HOLDING: Grasp.OBJECT}.get(status, Grasp.NOTHING)

    def _inferred_grasp(self, position: int, now: float) -> Grasp:
        if self._goal is None or abs(position - self._goal) <= _SHORT_OF_GOAL:
            return Grasp.NOTHING
        return Grasp.OBJECT if now - self._last[1] > _STILL_FOR else Grasp.MOVING

    def _fault(self) -> str:
        code = self._word(_ERROR)
        if code == 0:
            return ""
        title, _ = xarm_sdk.gripper_error_texts(code)
        return f"{title} (code G{code}). See what holds the fingers and free them, then recover the gripper."

    def _refuse_fault(self) -> None:
        fault = self._fault()
        if fault:
            raise GripperError(f"{self.name}: {fault}")

    def _word(self, address: int) -> int:
        return int.from_bytes(self._bus.read(_SLAVE_ID, address, 1), "big")

    def _count(self, width: float) -> int:
        opening = min(max(width / self.max_width, 0.0), 1.0)
        closed = self._settings.closed_count
        return round(closed + opening * (self._settings.open_count - closed))

    def _width(self, count: int) -> float:
        closed = self._settings.closed_count
        opening = (count - closed) / (self._settings.open_count - closed)
        return min(max(opening, 0.0), 1.0) * self.max_width


def _words(value: int) -> bytes:
    return value.to_bytes(2, "big")
