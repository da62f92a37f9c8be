"""Robotiq 2F-85 on a serial port (USB-RS485 adapter), by Modbus RTU.

`hardware.grippers.robotiq` defines its registers; minimalmodbus implements the protocol and is imported when the port
is opened. A garbled answer is requested again; two in a row, or no answer, mean a lost link.
"""

from __future__ import annotations

import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from hardware.grippers import robotiq
from hardware.grippers.interface import Gripper, GripperError
from hardware.settings import ArmSettings

_ATTEMPTS = 2
_LASTING_NAMES = Path("/dev/serial/by-id")

_LINK_ERRORS = (OSError, ValueError, termios.error)
"""A missing answer raises an OSError; an unplugged adapter a termios.error, which is no OSError."""

Answer = TypeVar("Answer")


class RobotiqModbusSettings(robotiq.RobotiqSettings):
    """A Robotiq 2F-85 on a serial port."""

    driver: Literal["robotiq_modbus"] = "robotiq_modbus"
    """Driver name."""
    port: str = Field(min_length=1)
    """The adapter's serial port, preferably in /dev/serial/by-id."""
    address: int = Field(default=robotiq.SLAVE_ID, ge=1, le=247)
    """Its Modbus address."""
    baud_rate: int = Field(default=robotiq.BAUD_RATE, ge=9600, le=115_200)
    """Bits per second."""
    timeout: float = Field(default=0.2, ge=0.02, le=2.0)
    """No answer for this long, s, means a lost link."""

    @property
    def occupies(self) -> str:
        return f"serial port {Path(self.port).resolve()}"

    def build(self, arm: ArmSettings) -> Gripper:
        return RobotiqModbus(self)


class RobotiqModbus(robotiq.Robotiq):
    """One 2F-85 on a serial port."""

    def __init__(self, settings: RobotiqModbusSettings) -> None:
        super().__init__(settings)
        self._port = settings
        self._line: Any = None

    @property
    def where(self) -> str:
        return f"address {self._port.address} on {self._port.port}"

    def open_line(self) -> None:
        self.close()
        minimalmodbus, serial = _libraries(self.name)
        settings = self._port
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

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.serial.close()

    def write(self, content: bytes) -> None:
        words = [int.from_bytes(content[at : at + 2], "big") for at in range(0, len(content), 2)]
        self._ask(lambda line: line.write_registers(robotiq.OUTPUT_REGISTER, words))

    def read(self) -> bytes:
        words = self._ask(lambda line: line.read_registers(robotiq.INPUT_REGISTER, robotiq.REGISTERS))
        return b"".join(word.to_bytes(2, "big") for word in words)

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        """Send the request, and once more after a garbled answer. Raises GripperError when the link is lost."""
        if self._line is None:
            raise GripperError(f"{self.name}: it is not connected. Recover the gripper.")
        minimalmodbus, _ = _libraries(self.name)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return question(self._line)
            except minimalmodbus.SlaveReportedException as error:
                raise GripperError(
                    f"{self.name}: the device at address {self._port.address} refuses the request ({error}). "
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
            f"{self.name}: the link over {self._port.port} is lost ({error}). Check its 24 V supply, the cable and "
            "the adapter, then recover the gripper."
        )


def _libraries(name: str) -> tuple[Any, Any]:
    """The packages minimalmodbus and serial. Raises GripperError with the command that installs them."""
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
