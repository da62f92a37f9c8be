"""Robotiq 2F-85 on a serial port (USB-RS485 adapter), by Modbus RTU.

What its registers mean stands in `hardware.grippers.robotiq`; minimalmodbus speaks the protocol and is imported when
the port is opened. One garbled answer is asked for again; two in a row, or none at all, are a lost link.
"""

from __future__ import annotations

import os
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from hardware.grippers import robotiq
from hardware.grippers.interface import Gripper, GripperError, GripperState
from hardware.settings import ArmSettings

_ATTEMPTS = 2
_ACTIVATION_TIMEOUT = 6.0  # s; the fingers sweep once
_ASK_EVERY = 0.05  # s
_SILENCE_FAULT = 0x09  # nobody spoke with it for a second; it is over with the question that finds it
_LASTING_NAMES = Path("/dev/serial/by-id")

_LINK_ERRORS = (OSError, ValueError, termios.error)
"""No answer is an OSError too; a pulled adapter is a termios.error, which pyserial lets through and which is none."""

Answer = TypeVar("Answer")


class RobotiqModbusSettings(robotiq.RobotiqSettings):
    """A Robotiq 2F-85 on a serial port."""

    driver: Literal["robotiq_modbus"] = "robotiq_modbus"
    """Which driver speaks with it."""
    port: str = Field(min_length=1)
    """The adapter's serial port, best one in /dev/serial/by-id."""
    address: int = Field(default=robotiq.SLAVE_ID, ge=1, le=247)
    """Its Modbus address."""
    baud_rate: int = Field(default=robotiq.BAUD_RATE, ge=9600, le=115_200)
    """Bits per second."""
    timeout: float = Field(default=0.2, ge=0.02, le=2.0)
    """No answer for so long, s, is a lost link."""

    def build(self, arm: ArmSettings) -> Gripper:
        return RobotiqModbus(self)


class RobotiqModbus(Gripper):
    """One 2F-85. All calls come from one thread."""

    def __init__(self, settings: RobotiqModbusSettings) -> None:
        self.name = settings.name
        self.max_width = settings.max_width
        self._settings = settings
        self._line: Any = None

    def connect(self) -> str:
        """Open the line; a gripper that is active already keeps what it holds, another sweeps its fingers."""
        self._open()
        try:
            status = self._status()
            if not status.activated or status.fault:
                self._activate()
        except GripperError:
            self.close()
            raise
        return f"Robotiq 2F-85, address {self._settings.address} on {self._settings.port}"

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.serial.close()

    def move(self, width: float) -> None:
        self._send(self._settings.move_bytes(width))

    def state(self) -> GripperState:
        status = self._status()
        if status.fault == _SILENCE_FAULT:
            status = self._status()
        return status.state(self._settings, time.monotonic())

    def recover(self) -> None:
        """Open the line anew and activate, which sweeps the fingers and lets go of what is held."""
        self._open()
        self._activate()

    def _open(self) -> None:
        self.close()
        minimalmodbus, serial = _libraries(self.name)
        settings = self._settings
        try:
            port = serial.Serial(
                settings.port,
                settings.baud_rate,
                timeout=settings.timeout,
                write_timeout=settings.timeout,
                exclusive=True,
            )
        except _LINK_ERRORS as error:
            raise GripperError(f"{self.name}: {_why_closed(settings.port, error)}") from error
        self._line = minimalmodbus.Instrument(port, settings.address)

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
        words = [int.from_bytes(content[at : at + 2], "big") for at in range(0, len(content), 2)]
        self._ask(lambda line: line.write_registers(robotiq.OUTPUT_REGISTER, words))

    def _status(self) -> robotiq.RobotiqStatus:
        words = self._ask(lambda line: line.read_registers(robotiq.INPUT_REGISTER, robotiq.REGISTERS))
        return robotiq.RobotiqStatus.parse(b"".join(word.to_bytes(2, "big") for word in words))

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        """Ask, and once more when the answer was garbled. Raises GripperError when the link is lost."""
        if self._line is None:
            raise GripperError(f"{self.name}: it is not connected. Recover the gripper.")
        minimalmodbus, _ = _libraries(self.name)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return question(self._line)
            except minimalmodbus.SlaveReportedException as error:
                raise GripperError(
                    f"{self.name}: what answers at address {self._settings.address} refuses the request ({error}). "
                    "Is it a Robotiq 2F?"
                ) from error
            except minimalmodbus.InvalidResponseError as error:
                if attempt == _ATTEMPTS:
                    raise self._lost(error) from error
            except _LINK_ERRORS as error:
                raise self._lost(error) from error
        raise AssertionError("the last attempt returned or raised")

    def _lost(self, error: Exception) -> GripperError:
        return GripperError(
            f"{self.name}: the link over {self._settings.port} is lost ({error}). Check its 24 V supply, the cable and "
            "the adapter, then recover the gripper."
        )


def _libraries(name: str) -> tuple[Any, Any]:
    """The packages minimalmodbus and serial. Raises GripperError with the line that installs them."""
    try:
        import minimalmodbus
        import serial
    except ImportError as error:
        raise GripperError(
            f"{name}: a Robotiq on a serial port needs the package minimalmodbus. Run: pip install 'station[robotiq]'"
        ) from error
    return minimalmodbus, serial


def _why_closed(port: str, error: Exception) -> str:
    """Why a serial port does not open, and what to do."""
    path = Path(port)
    if not path.exists():
        there = ", ".join(sorted(str(entry) for entry in _LASTING_NAMES.glob("*"))) or "none"
        return f"there is no {port}. Serial adapters here: {there}. Plug it in, or correct port in the task file."
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{port} may not be opened. Run: sudo usermod -aG dialout $USER, then log in again."
    return f"{port} does not open ({error}). Close other programs that use it."
