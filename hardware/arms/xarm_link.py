"""One connection to an xArm: the newest report, and the vendor SDK's return codes as exceptions.

Reports arrive at 100 Hz with poses and state but without errors, so those are polled. The link counts as lost when
replies or reports are missing for too long. The driver decides what to command, and when.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hardware.arms import xarm_errors, xarm_sdk
from hardware.arms.interface import ArmError, ArmFault, ArmLinkError
from hardware.plan import Vector

PAUSED, STOPPED = 3, 4
"""Controller states; below PAUSED: ready to move."""
MILLI = 1000.0
PATIENCE = 3.0
"""s for slow operations: enabling motors, changing modes."""

_OK, _LATE, _NOT_READY = 0, 3, 9
_NO_LINK = (-1, 8)


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """The arm's address and time-outs."""

    name: str
    """The arm's name in the task file; starts every message."""
    address: str
    control_port: int
    joints: int
    reply_timeout: float
    """s"""
    report_timeout: float
    """s"""


@dataclass(frozen=True, kw_only=True, eq=False)
class XArmReport:
    """One report as it arrived; metres and radians."""

    time: float
    """s, monotonic."""
    robot_state: int
    mode: int
    joints: Vector
    """[nq]"""
    position: Vector
    """[3], of the tool centre point in the base frame."""
    quaternion: Vector
    """[4] xyzw"""


class XArmLink:
    """A connection, open or closed. All calls come from one thread; reports arrive on the SDK's."""

    def __init__(self, settings: LinkSettings) -> None:
        """Opens nothing."""
        self.fault: ArmFault | None = None
        """The arm's error or warning at the last poll."""
        self.asked = 0.0
        """Time of the last poll, s, monotonic."""
        self._settings = settings
        self._api: Any = None
        self._report: XArmReport | None = None
        self._late = 0

    @property
    def api(self) -> Any:
        """The SDK's connection. Raises ArmLinkError while there is none."""
        if self._api is None:
            raise ArmLinkError(f"{self._settings.name}: not connected. Connect it first.")
        return self._api

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed; it may still be lost."""
        return self._api is not None

    @property
    def is_lost(self) -> bool:
        """Whether reports have stopped, or replies are currently late."""
        try:
            self.fresh_report()
        except ArmLinkError:
            return True
        return self._late > 0

    def open(self) -> None:
        """Connect and wait for the first report. Raises ArmLinkError; ArmError when the package is missing."""
        settings = self._settings
        try:
            self._api = xarm_sdk.open_api(settings.address, control_port=settings.control_port, report="real")
        except xarm_sdk.SdkMissingError as error:
            raise ArmError(f"{settings.name}: {error}") from error
        except xarm_sdk.UnreachableError as error:
            raise ArmLinkError(f"{settings.name}: {error}") from error
        self._api.set_timeout(settings.reply_timeout)
        self._report, self._late = None, 0
        self._api.register_report_callback(self._take_report, report_cartesian=False, report_joints=False)
        self.wait_for(lambda: self._report is not None, "sends no reports")

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        api, self._api = self._api, None
        if api is not None:
            api.disconnect()

    # -- what the arm says ----------------------------------------------------------------------------------------

    def _take_report(self, _: object) -> None:
        """Called by the SDK for every report; uses the raw numbers, as the SDK withholds poses in some errors."""
        raw = self._api.report_data if self._api is not None else None
        if raw is None:
            return
        pose = np.array(raw.actual_tcp_pose)
        self._report = XArmReport(
            time=time.monotonic(),
            robot_state=raw.state,
            mode=raw.mode,
            joints=np.array(raw.actual_joint_angle[: self._settings.joints]),
            position=pose[:3] / MILLI,
            quaternion=Rotation.from_euler("xyz", pose[3:]).as_quat(canonical=True),
        )

    def fresh_report(self) -> XArmReport:
        """The newest report. Raises ArmLinkError when it is too old."""
        settings = self._settings
        if not self.api.connected:
            raise self._lost("has closed the connection")
        if self._late * settings.reply_timeout >= settings.report_timeout:
            raise self._lost(f"did not reply to {self._late} commands in a row")
        age = time.monotonic() - self._report.time if self._report is not None else float("inf")
        if self._report is None or age > settings.report_timeout:
            raise self._lost(f"has not reported for {age:.2f} s")
        return self._report

    def ask_fault(self) -> None:
        """Query the current error or warning. Raises ArmLinkError."""
        self.asked = time.monotonic()
        code, numbers = self.api.get_err_warn_code()
        if self.is_late(code):
            return
        self.demand_link(code)
        error, warning = numbers
        if error:
            self.fault = xarm_errors.error_fault(self._settings.name, error)
        elif warning:
            self.fault = xarm_errors.warning_fault(self._settings.name, warning)
        else:
            self.fault = None

    def refuse_fault(self) -> None:
        """Query the error code, and raise its ArmFaultError if there is one."""
        self.ask_fault()
        if self.fault is not None:
            raise xarm_errors.as_error(self.fault)

    # -- return codes ---------------------------------------------------------------------------------------------

    def is_late(self, code: int) -> bool:
        """Whether the reply timed out: once may be the network; for too long raises ArmLinkError."""
        if code != _LATE:
            self._late = 0
            return False
        self._late += 1
        self.fresh_report()
        return True

    def demand(self, result: Any, what: str) -> None:
        """Raise unless the SDK's return code is good. Raises ArmFaultError, ArmLinkError, ArmError."""
        code = result[0] if isinstance(result, list | tuple) else result
        if code == _OK:
            return
        self.demand_link(code)
        self.refuse_fault()
        name = self._settings.name
        if code == _NOT_READY:
            raise ArmError(
                f"{name}: it was stopped by another program or by its enabling device. See why, then recover it."
            )
        raise ArmError(
            f"{name}: it refused {what} (code {code} of the vendor's SDK). Check the value in the task file, then "
            "recover the arm."
        )

    def demand_link(self, code: int) -> None:
        """Raise ArmLinkError when a return code means that nothing got through."""
        if code in _NO_LINK:
            raise self._lost("has closed the connection")
        if code == _LATE:
            raise self._lost("does not reply")

    def wait_for(self, reached: Callable[[], bool], complaint: str) -> None:
        """Poll until `reached`. Raises ArmFaultError, ArmLinkError, and ArmError with the complaint."""
        until = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > until:
                self.refuse_fault()
                raise ArmError(f"{self._settings.name}: it {complaint} (waited {PATIENCE:g} s).")
            time.sleep(0.002)

    @contextlib.contextmanager
    def replies_within(self, seconds: float) -> Iterator[None]:
        """Change the reply time-out within the context."""
        api = self.api
        api.set_timeout(seconds)
        try:
            yield
        finally:
            api.set_timeout(self._settings.reply_timeout)

    def _lost(self, how: str) -> ArmLinkError:
        return ArmLinkError(
            f"{self._settings.name}: the arm at {self._settings.address} {how}. It gets no new targets and stands at "
            "the last one. Check the network cable and the control box's power, then recover it."
        )
