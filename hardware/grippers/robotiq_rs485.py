"""Robotiq 2F-85 in the tool plug of an xArm.

What its registers mean stands in `hardware.grippers.robotiq`, how they travel in `hardware.grippers.xarm_bus`.
"""

from __future__ import annotations

from typing import Literal

from hardware.grippers import robotiq
from hardware.grippers.xarm_bus import ToolBus
from hardware.settings import ArmSettings


class RobotiqRS485Settings(robotiq.RobotiqSettings):
    """A Robotiq 2F-85 in an xArm's tool plug."""

    driver: Literal["robotiq_rs485"] = "robotiq_rs485"
    """Which driver speaks with it."""

    def build(self, arm: ArmSettings) -> RobotiqRS485:
        return RobotiqRS485(self, arm)


class RobotiqRS485(robotiq.Robotiq):
    """One 2F-85 in the tool plug."""

    def __init__(self, settings: RobotiqRS485Settings, arm: ArmSettings) -> None:
        """Opens nothing. Raises GripperError when the arm is no xArm."""
        super().__init__(settings)
        self._bus = ToolBus(settings.name, arm, robotiq.BAUD_RATE)

    @property
    def where(self) -> str:
        return self._bus.where

    def open_line(self) -> None:
        self._bus.open()

    def close(self) -> None:
        self._bus.close()

    def write(self, content: bytes) -> None:
        self._bus.write(robotiq.SLAVE_ID, robotiq.OUTPUT_REGISTER, content)

    def read(self) -> bytes:
        return self._bus.read(robotiq.SLAVE_ID, robotiq.INPUT_REGISTER, robotiq.REGISTERS)
