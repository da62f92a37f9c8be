"""Robotiq 2F-85 on the tool connector of an xArm.

`hardware.grippers.robotiq` defines its registers, `hardware.grippers.xarm_bus` transports them.
"""

from __future__ import annotations

from typing import Literal

from hardware.grippers import robotiq
from hardware.grippers.xarm_bus import ToolBus
from hardware.settings import ArmSettings


class RobotiqRS485Settings(robotiq.RobotiqSettings):
    """A Robotiq 2F-85 on an xArm's tool connector."""

    driver: Literal["robotiq_rs485"] = "robotiq_rs485"
    """Driver name."""

    def build(self, arm: ArmSettings) -> RobotiqRS485:
        return RobotiqRS485(self, arm)


class RobotiqRS485(robotiq.Robotiq):
    """One 2F-85 on the tool connector."""

    def __init__(self, settings: RobotiqRS485Settings, arm: ArmSettings) -> None:
        """Opens nothing. Raises GripperError if the arm is not an xArm."""
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
