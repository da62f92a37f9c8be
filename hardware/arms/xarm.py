"""UFACTORY xArm-6 and xArm-7, through the vendor's SDK: poses streamed in servo mode, homing planned by the arm.

Reports come at 100 Hz over one connection and hold poses and state; errors they do not hold, so the code that every
command returns is looked at, and while the arm stands the error is asked for. The link counts as lost when replies
or reports stay away; the arm then gets no new targets and stands still at the last one. Limits, interpolation and
heartbeat are the controller's; the gripper has a connection of its own.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from hardware.arms import xarm_errors, xarm_limits, xarm_sdk
from hardware.arms.interface import Arm, ArmError, ArmFault, ArmIdentity, ArmLinkError, ArmState, LimitCheck
from hardware.cell import CellError
from hardware.plan import Command, Vector

_SERVO_MODE = 1
_ONLINE_JOINT_MODE = 6
_POSITION_MODE = 0
_ONLINE_SINCE = (1, 10, 0)
_IDLE, _PAUSED, _STOPPED = 2, 3, 4

_OK, _LATE, _NOT_READY = 0, 3, 9
_NO_LINK = (-1, 8)

_PATIENCE = 3.0
"""s for what really takes the arm time: enabling motors, changing modes."""
_ASK_EVERY = 0.2
"""s between two questions for the error of an arm that stands."""
_SETTLE = 0.5
"""s after which an arm that stands away from its goal has given up."""
_STOP_REPLY = 0.05
"""s to wait for the reply to a stop, and as long again for the state that it led to."""
_MILLI = 1000.0

_log = logging.getLogger(__name__)


class XArmSettings(xarm_limits.XArmLimitSettings):
    """An xArm."""

    driver: Literal["xarm"] = "xarm"
    """Which driver speaks with it."""
    joints: Literal[6, 7] = 6
    """How many joints it has."""
    address: str = Field(min_length=1)
    """Address of the control box, e.g. 192.168.1.185."""
    control_port: int = Field(default=xarm_sdk.CONTROL_PORT, ge=1, le=65535)
    """Its command port; other than the vendor's only for an emulated arm."""
    reply_timeout: float = Field(default=0.05, ge=0.02, le=0.1)
    """s to wait for the reply to one pose; the next is sent then, and the arm has stood for a moment."""
    report_timeout: float = Field(default=0.25, ge=0.05, le=2.0)
    """s without a report, or with late replies only, after which the link counts as lost."""
    home_speed: float = Field(default=0.35, gt=0.0, le=2.0)
    """Joint speed on the way home, rad/s."""
    home_acceleration: float = Field(default=1.0, gt=0.0, le=10.0)
    """Joint acceleration on the way home, rad/s2."""
    home_tolerance: float = Field(default=0.01, gt=0.0, le=0.1)
    """How close every joint must come to its home angle, rad."""

    def build(self) -> XArm:
        return XArm(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Report:
    """One report as it arrived; metres and radians."""

    time: float
    robot_state: int
    mode: int
    joints: Vector
    position: Vector
    quaternion: Vector


class XArm(Arm):
    """One xArm. All calls come from one thread."""

    def __init__(self, settings: XArmSettings) -> None:
        """Opens nothing."""
        self.name = settings.name
        self._settings = settings
        self._api: Any = None
        self._report: _Report | None = None
        self._fault: ArmFault | None = None
        self._asked = 0.0
        self._late = 0
        self._servo_since = 0.0
        self._goal: Vector | None = None
        self._homing_idle_since: float | None = None
        self._limits: xarm_limits.LimitReport | None = None

    # -- connection -----------------------------------------------------------------------------------------------

    def connect(self) -> ArmIdentity:
        """Open the connection, enable the motors and set the limits of the task file; moves nothing.

        An arm that is in fault is connected as well: its `state` says so, and the limits are set when it is recovered.

        Raises:
            ArmLinkError: nobody answers.
            ArmError: the package is missing, it is another model, or a limit was refused.
        """
        self.close()
        self._open()
        try:
            identity = self._identify()
            self._ask_fault()
            if self._fault is None:
                self._prepare()
        except CellError:
            self._disconnect()
            raise
        return identity

    def close(self) -> None:
        if self._api is None:
            return
        self.stop()
        self._disconnect()

    def _open(self) -> None:
        settings = self._settings
        try:
            self._api = xarm_sdk.open_api(settings.address, control_port=settings.control_port, report="real")
        except xarm_sdk.SdkMissingError as error:
            raise ArmError(f"{self.name}: {error}") from error
        except xarm_sdk.UnreachableError as error:
            raise ArmLinkError(f"{self.name}: {error}") from error
        self._api.set_timeout(settings.reply_timeout)
        self._report, self._late = None, 0
        self._api.register_report_callback(
            self._take_report, report_cartesian=False, report_joints=False, report_mtable=False,
            report_mtbrake=False,
        )  # fmt: skip
        self._wait_for(lambda: self._report is not None, "sends no reports")

    def _disconnect(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            api.disconnect()

    def _identify(self) -> ArmIdentity:
        api, settings = self._api, self._settings
        if api.axis != settings.joints:
            raise ArmError(
                f"{self.name}: the arm at {settings.address} has {api.axis} joints, the task file says "
                f"{settings.joints}. Correct joints, or the address."
            )
        firmware = ".".join(str(part) for part in api.version_number)
        return ArmIdentity(model=f"xArm{api.axis}", serial=str(api.sn), firmware=firmware, joints=api.axis)

    def _prepare(self) -> None:
        """Enable the motors where they stand, and set and read back the limits."""
        with self._patience():
            self._demand(self._api.motion_enable(True), "enabling its motors")
            self._switch_to(_POSITION_MODE)
            xarm_limits.apply(self._api, self._settings, self._demand)
            self._switch_to(_POSITION_MODE)
        self._limits = self._read_limits()

    def _read_limits(self) -> xarm_limits.LimitReport | None:
        try:
            return xarm_limits.read(self._settings.address, self._settings.control_port)
        except xarm_sdk.UnreachableError as error:
            raise ArmLinkError(f"{self.name}: {error}") from error

    def limits(self) -> list[LimitCheck]:
        """What the arm's own controller keeps, as read back when it was connected or recovered."""
        if self._limits is None:
            remedy = "Clear the arm's fault: recover it; the limits are set then."
            return [LimitCheck(name="limits", ok=False, detail="not set", remedy=remedy)]
        return xarm_limits.checks(self._settings, self._limits)

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> ArmState:
        report = self._fresh_report()
        standing = report.robot_state >= _STOPPED or self._fault is not None
        if standing and time.monotonic() - self._asked > _ASK_EVERY:
            self._ask_fault()
        return ArmState(
            time=report.time,
            position=report.position,
            quaternion=report.quaternion,
            joints=report.joints,
            fault=self._fault,
        )

    def _take_report(self, _: object) -> None:
        """Called by the SDK's thread for every report; its raw numbers, as the SDK holds poses back in some errors."""
        raw = self._api.report_data if self._api is not None else None
        if raw is None:
            return
        pose = np.array(raw.actual_tcp_pose)
        self._report = _Report(
            time=time.monotonic(),
            robot_state=raw.state,
            mode=raw.mode,
            joints=np.array(raw.actual_joint_angle[: self._settings.joints]),
            position=pose[:3] / _MILLI,
            quaternion=Rotation.from_euler("xyz", pose[3:]).as_quat(canonical=True),
        )

    def _fresh_report(self) -> _Report:
        """The newest report. Raises ArmLinkError when it is too old."""
        report = self._connected_report()
        if self._late * self._settings.reply_timeout >= self._settings.report_timeout:
            raise self._lost(f"left {self._late} commands in a row without a reply")
        age = time.monotonic() - report.time
        if age > self._settings.report_timeout:
            raise self._lost(f"has not reported for {age:.2f} s")
        return report

    def _connected_report(self) -> _Report:
        if self._api is None or self._report is None:
            raise ArmLinkError(f"{self.name}: not connected. Connect it first.")
        if not self._api.connected:
            raise self._lost("has closed the connection")
        return self._report

    def _ask_fault(self) -> None:
        """Ask for the present error; reports do not hold it."""
        self._asked = time.monotonic()
        code, numbers = self._api.get_err_warn_code()
        if code != _OK:
            self._count_late(code)
            return
        self._late = 0
        error, warning = numbers
        if error:
            self._fault = xarm_errors.error_fault(self.name, error)
        elif warning:
            self._fault = xarm_errors.warning_fault(self.name, warning)
        else:
            self._fault = None

    # -- motion ---------------------------------------------------------------------------------------------------

    def begin_servo(self) -> None:
        self._goal = None
        with self._patience():
            self._switch_to(_SERVO_MODE)
        self._servo_since = time.monotonic()

    def servo(self, command: Command) -> None:
        if self._api is None:
            raise ArmLinkError(f"{self.name}: not connected. Connect it first.")
        pose = [*(command.position * _MILLI), *Rotation.from_quat(command.quaternion).as_rotvec()]
        code = self._api.set_servo_cartesian_aa([float(value) for value in pose])
        if code == _LATE:
            self._count_late(code)
            return
        self._late = 0
        self._demand(code, "a pose")
        if self._api.has_err_warn:
            self._raise_fault()
        self._look_at_mode()

    def _look_at_mode(self) -> None:
        """Raise when somebody else took the arm out of servo mode, where poses are quietly ignored."""
        report = self._fresh_report()
        if report.mode != _SERVO_MODE and report.time > self._servo_since + _ASK_EVERY:
            raise ArmError(
                f"{self.name}: another program took it out of servo mode (mode {report.mode}). Close the vendor's "
                "app and other programs, then recover the arm."
            )

    def begin_home(self, joints: Vector) -> None:
        if len(joints) != self._settings.joints:
            raise ArmError(f"{self.name}: home has {len(joints)} angles for {self._settings.joints} joints.")
        online = tuple(self._api.version_number) >= _ONLINE_SINCE if self._api is not None else True
        with self._patience():
            self._switch_to(_ONLINE_JOINT_MODE if online else _POSITION_MODE)
        code = self._api.set_servo_angle(
            angle=[float(angle) for angle in joints],
            speed=self._settings.home_speed,
            mvacc=self._settings.home_acceleration,
            wait=False,
        )
        self._demand(code, "the home angles")
        self._goal, self._homing_idle_since = np.array(joints, np.float64), None

    def home_reached(self) -> bool:
        if self._goal is None:
            raise ArmError(f"{self.name}: it is not on its way home. Begin homing first.")
        state, report = self.state(), self._fresh_report()
        if state.fault is not None:
            raise xarm_errors.as_error(state.fault)
        away = float(np.abs(report.joints - self._goal).max())
        if report.robot_state == _IDLE and away <= self._settings.home_tolerance:
            return True
        self._look_whether_it_gave_up(report, away)
        return False

    def _look_whether_it_gave_up(self, report: _Report, away: float) -> None:
        if report.robot_state < _IDLE:
            self._homing_idle_since = None
        elif self._homing_idle_since is None:
            self._homing_idle_since = report.time
        elif report.time - self._homing_idle_since > _SETTLE:
            raise ArmError(
                f"{self.name}: it stopped on its way home, {away:.3f} rad short. See what stopped it (a pause in the "
                "vendor's app, another program), then begin homing again."
            )

    def stop(self) -> None:
        self._goal = None
        if self._api is None:
            return
        # It is sent whatever becomes of the reply, and whoever watches this loop must not take it for hung.
        self._api.set_timeout(_STOP_REPLY)
        code = self._api.set_state(_STOPPED)
        self._api.set_timeout(self._settings.reply_timeout)
        if code != _OK:
            _log.warning("%s: the stop was not confirmed (code %s)", self.name, code)

    def recover(self) -> None:
        """Clear the present fault because the operator said so, and set the limits anew; connects anew if need be."""
        self._goal = None
        if self._link_is_lost():
            self._disconnect()
            self._open()
        with self._patience():
            self._demand_link(self._api.clean_error())
            self._demand_link(self._api.clean_warn())
            self._raise_fault(only_if_any=True)
            self._prepare()
        self._raise_fault(only_if_any=True)

    # -- codes ----------------------------------------------------------------------------------------------------

    def _switch_to(self, mode: int) -> None:
        """Into a mode, ready to move and standing. Raises ArmFaultError, ArmLinkError, ArmError."""
        self._connected_report()
        self._raise_fault(only_if_any=True)
        self._demand(self._api.set_mode(mode), "a change of mode")
        self._demand(self._api.set_state(0), "getting ready")
        since = time.monotonic()
        self._wait_for(
            lambda: (
                (report := self._fresh_report()).time > since
                and report.mode == mode
                and report.robot_state < _PAUSED
            ),
            "does not get ready to move; recover it, which enables its motors",
        )

    def _wait_for(self, reached: Any, complaint: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not reached():
            if time.monotonic() > until:
                self._raise_fault(only_if_any=True)
                raise ArmError(f"{self.name}: it {complaint} (waited {_PATIENCE:g} s).")
            time.sleep(0.002)

    def _demand(self, result: Any, what: str) -> None:
        """Turn the SDK's return code into an exception, unless it is good."""
        code = result[0] if isinstance(result, list | tuple) else result
        if code == _OK:
            return
        self._demand_link(code)
        self._raise_fault(only_if_any=True)
        if code == _NOT_READY:
            raise ArmError(
                f"{self.name}: it was stopped by another program or by its enabling device. See why, then recover it."
            )
        raise ArmError(
            f"{self.name}: it refused {what} (code {code} of the vendor's SDK). Check the value in the task file, "
            "then recover the arm."
        )

    def _demand_link(self, code: int) -> None:
        if code in _NO_LINK:
            raise self._lost("has closed the connection")
        if code == _LATE:
            raise self._lost("does not reply")

    def _raise_fault(self, *, only_if_any: bool = False) -> None:
        self._ask_fault()
        if self._fault is not None:
            raise xarm_errors.as_error(self._fault)
        if not only_if_any:
            raise ArmError(f"{self.name}: it reported an error that is gone by now. Recover it to go on.")

    def _count_late(self, code: int) -> None:
        """A late reply may be the network's. Raises ArmLinkError when they go on being late, or reports stay away."""
        if code != _LATE:
            self._demand_link(code)
            return
        self._late += 1
        self._fresh_report()

    def _link_is_lost(self) -> bool:
        try:
            self._fresh_report()
        except ArmLinkError:
            return True
        return self._late > 0

    def _lost(self, how: str) -> ArmLinkError:
        return ArmLinkError(
            f"{self.name}: the arm at {self._settings.address} {how}. It gets no new targets and stands at the last "
            "one. Check the network cable and the control box's power, then recover it."
        )

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """Let the arm take its time for what is not motion."""
        api = self._api
        if api is None:
            raise ArmLinkError(f"{self.name}: not connected. Connect it first.")
        api.set_timeout(_PATIENCE)
        try:
            yield
        finally:
            api.set_timeout(self._settings.reply_timeout)
