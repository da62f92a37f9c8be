"""The RS485 bus on an xArm's tool connector: Modbus registers of the attached device.

It uses a connection separate from the arm's, because every call of the vendor's SDK blocks its connection until
answered, and a gripper takes milliseconds. The grippers interpret the registers.
"""

from __future__ import annotations

import struct
from typing import Any

from hardware.arms import xarm_sdk
from hardware.arms.xarm import XArmSettings
from hardware.cell import CellError
from hardware.grippers.interface import GripperError
from hardware.settings import ArmSettings

_READ, _WRITE = 0x03, 0x10
_OK, _LATE, _BUS_ERROR, _SHORT = 0, 3, 1, 23
_NO_LINK = (-1, 8)
_REPLY_TIMEOUT = 0.5
_SETTING_UP = 3.0


class ToolBus:
    """The tool bus of one arm. All calls come from one thread."""

    def __init__(self, name: str, arm: ArmSettings, baud_rate: int) -> None:
        """Opens nothing. `name` is the gripper's and starts every message. Raises GripperError for other arms."""
        if not isinstance(arm, XArmSettings):
            raise GripperError(
                f"{name}: its driver needs an xArm, but '{arm.name}' is driven by '{arm.driver}'."
            )
        self.where = f"the tool plug of the xArm at {arm.address}"
        self._name = name
        self._arm = arm
        self._baud_rate = baud_rate
        self._api: Any = None

    def open(self) -> None:
        """Connect, and set the bus's baud rate; changing it restarts the tool's electronics and takes two seconds.

        Raises GripperError.
        """
        self.close()
        try:
            self._api = xarm_sdk.open_api(self._arm.address, control_port=self._arm.control_port)
        except CellError as error:
            raise GripperError(
                f"{self._name}: its line runs through the arm, but {error} Then recover the gripper."
            ) from error
        self._api.set_timeout(_SETTING_UP)
        code, present = self._api.get_rs485_baudrate()
        if code == _OK and present != self._baud_rate:
            code = self._api.set_rs485_baudrate(self._baud_rate)
        # While the arm's error for a lost gripper is pending, the rate is unknown; a wrong one shows at the first read.
        if code not in (_OK, _BUS_ERROR):
            self.close()
            raise self._lost(code)
        self._api.set_timeout(_REPLY_TIMEOUT)

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        api, self._api = self._api, None
        if api is not None:
            api.disconnect()

    def read(self, slave: int, address: int, count: int) -> bytes:
        """Read `count` registers from `address` on, [2 * count] bytes. Raises GripperError."""
        frame = struct.pack(">BBHH", slave, _READ, address, count)
        answer = self._exchange(frame, 3 + 2 * count)
        if answer[:3] != bytes([slave, _READ, 2 * count]):
            raise GripperError(f"{self._name}: it refused a read of register {address:#06x}. {_CHECK_MODEL}")
        return answer[3 : 3 + 2 * count]

    def write(self, slave: int, address: int, content: bytes) -> None:
        """Write registers from `address` on. Raises GripperError."""
        count = len(content) // 2
        frame = struct.pack(">BBHHB", slave, _WRITE, address, count, len(content)) + content
        answer = self._exchange(frame, 6)
        if answer[:2] != bytes([slave, _WRITE]):
            raise GripperError(f"{self._name}: it refused a write to register {address:#06x}. {_CHECK_MODEL}")

    def _exchange(self, frame: bytes, length: int) -> bytes:
        """Send and receive; reopens a broken connection once, as the devices on the bus do not notice."""
        code, answer = self._send(frame, length)
        if code == _LATE or code in _NO_LINK:
            self.open()
            code, answer = self._send(frame, length)
        # A pending error of the arm also appears as the return code of a successful exchange.
        if code == _OK or (code == _BUS_ERROR and len(answer) >= length):
            return bytes(answer)
        raise self._lost(code)

    def _send(self, frame: bytes, length: int) -> tuple[int, list[int]]:
        if self._api is None:
            raise GripperError(f"{self._name}: not connected. Connect it first.")
        code, answer = self._api.set_rs485_data(list(frame), min_res_len=length, ignore_log=True)
        return code, answer

    def _lost(self, code: int) -> GripperError:
        if code in _NO_LINK or code == _LATE:
            how = f"the arm at {self._arm.address} does not pass its messages on"
            remedy = "Check the network cable and the control box's power, then recover the gripper."
        elif code in (_BUS_ERROR, _SHORT):
            how = f"it does not answer at {self.where}"
            remedy = (
                f"Check its plug. {_CHECK_MODEL} The arm stops for this: recover the arm and the gripper."
            )
        else:
            how = f"{self.where} refused (code {code} of the vendor's SDK)"
            remedy = _CHECK_MODEL
        return GripperError(f"{self._name}: {how}. {remedy}")


_CHECK_MODEL = "Check that the task file names the gripper that is mounted."
