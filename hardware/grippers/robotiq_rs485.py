"""Robotiq 2F-85 in the tool plug of an xArm.

What its registers mean stands in `hardware.grippers.robotiq`, how they travel in `hardware.grippers.xarm_bus`.
"""

from __future__ import annotations

import time
from typing import Literal

from hardware.grippers import robotiq
from hardware.grippers.interface import Gripper, GripperError, GripperState
from hardware.grippers.xarm_bus import ToolBus
from hardware.settings import ArmSettings

_ACTIVATION_TIMEOUT = 6.0
_ASK_EVERY = 0.05


class RobotiqRS485Settings(robotiq.RobotiqSettings):
    """A Robotiq 2F-85 in an xArm's tool plug."""

    driver: Literal["robotiq_rs485"] = "robotiq_rs485"
    """Which driver speaks with it."""

    def build(self, arm: ArmSettings) -> RobotiqRS485:
        return RobotiqRS485(self, arm)


class RobotiqRS485(Gripper):
    """One 2F-85. All calls come from one thread."""

    def __init__(self, settings: RobotiqRS485Settings, arm: ArmSettings) -> None:
        """Opens nothing. Raises GripperError when the arm is no xArm."""
        self.name = settings.name
        self.max_width = settings.max_width
        self._settings = settings
        self._bus = ToolBus(settings.name, arm, robotiq.BAUD_RATE)

    def connect(self) -> str:
        """Open the line; a gripper that is active already keeps what it holds, another sweeps its fingers."""
        self._bus.open()
        try:
            self._activate_if_need_be()
        except GripperError:
            self._bus.close()
            raise
        return f"Robotiq 2F-85, {self._bus.where}"

    def close(self) -> None:
        self._bus.close()

    def move(self, width: float) -> None:
        self._send(self._settings.move_bytes(width))

    def state(self) -> GripperState:
        return self._status().state(self._settings, time.monotonic())

    def recover(self) -> None:
        """Connect anew; in a fault, activate, which sweeps the fingers and lets go of what is held."""
        self._bus.open()
        self._activate_if_need_be()

    def _activate_if_need_be(self) -> None:
        status = self._status()
        if not status.activated or status.fault:
            self._activate()

    def _activate(self) -> None:
        self._send(robotiq.RESET)
        self._send(robotiq.ACTIVATE)
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

    def _send(self, content: bytes) -> None:
        self._bus.write(robotiq.SLAVE_ID, robotiq.OUTPUT_REGISTER, content)

    def _status(self) -> robotiq.RobotiqStatus:
        content = self._bus.read(robotiq.SLAVE_ID, robotiq.INPUT_REGISTER, robotiq.REGISTERS)
        return robotiq.RobotiqStatus.parse(content)
