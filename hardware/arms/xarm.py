"""UFACTORY xArm-6 and xArm-7, through the vendor's SDK: poses streamed in servo mode, homing planned by the arm.

Every pose's return code is looked at, and while the arm stands its error is asked for, as reports do not hold it. An
arm whose link is lost gets no new targets and stands still at the last one. Interpolation, limits and heartbeat are the
controller's; the limits that the arm itself keeps are in `xarm_limits`; the gripper has a connection of its own.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from hardware.arms import xarm_errors, xarm_limits, xarm_sdk
from hardware.arms.interface import Arm, ArmError, ArmIdentity, ArmLinkError, ArmState, LimitCheck
from hardware.arms.xarm_link import IDLE, MILLI, PATIENCE, PAUSED, STOPPED, LinkSettings, XArmLink, XArmReport
from hardware.cell import CellError
from hardware.plan import Command, Vector
from hardware.settings import numeric

_SERVO_MODE = 1
_ONLINE_JOINT_MODE = 6
_POSITION_MODE = 0
_ONLINE_SINCE = (1, 10, 0)

_ASK_EVERY = 0.2
"""s between two questions for the error of an arm that stands."""
_SETTLE = 0.5
"""s after which an arm that stands away from its goal has given up."""
_HOMING_REPLY = 0.1
_STOP_REPLY = 0.05
"""s to wait for one reply in calls that hold up the controller's loop; more, and the loop would be taken for hung."""
_NOT_READY_YET = "does not get ready to move; recover it, which enables its motors"

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

    @property
    def occupies(self) -> str:
        port = "" if self.control_port == xarm_sdk.CONTROL_PORT else f", port {self.control_port}"
        return f"xArm at {numeric(self.address)}{port}"

    @property
    def geometry(self) -> str:
        return f"xarm{self.joints}"

    def build(self) -> XArm:
        return XArm(self)


@dataclass(frozen=True, kw_only=True)
class _ModeChange:
    """A mode that was asked for; real arms take a moment."""

    mode: int
    asked: float

    def done(self, report: XArmReport) -> bool:
        return report.time > self.asked and report.mode == self.mode and report.robot_state < PAUSED


@dataclass(kw_only=True, eq=False)
class _Homing:
    """A way home: first the change of mode, then the goal is sent, then it is watched."""

    goal: Vector
    change: _ModeChange
    sent: bool = False
    idle_since: float | None = None


class XArm(Arm):
    """One xArm. All calls come from one thread."""

    def __init__(self, settings: XArmSettings) -> None:
        """Opens nothing."""
        self.name = settings.name
        self._settings = settings
        names = ("name", "address", "control_port", "joints", "reply_timeout", "report_timeout")
        self._link = XArmLink(LinkSettings(**{name: getattr(settings, name) for name in names}))
        self._servo_since = 0.0
        self._homing: _Homing | None = None
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
        try:
            self._link.open()
            identity = self._identify()
            self._link.ask_fault()
            if self._link.fault is None:
                self._prepare()
        except CellError:
            self._link.close()
            raise
        return identity

    def close(self) -> None:
        if self._link.is_open:
            self.stop()
            self._link.close()

    def _identify(self) -> ArmIdentity:
        api, settings = self._link.api, self._settings
        if api.axis != settings.joints:
            raise ArmError(
                f"{self.name}: the arm at {settings.address} has {api.axis} joints, the task file says "
                f"{settings.joints}. Correct joints, or the address."
            )
        firmware = ".".join(str(part) for part in api.version_number)
        return ArmIdentity(model=f"xArm{api.axis}", serial=str(api.sn), firmware=firmware, joints=api.axis)

    def _prepare(self) -> None:
        """Enable the motors where they stand, and set and read back the limits."""
        api = self._link.api
        with self._link.replies_within(PATIENCE):
            self._link.demand(api.motion_enable(True), "enabling its motors")
            self._switch_to(_POSITION_MODE)
            xarm_limits.apply(api, self._settings, self._link.demand)
            self._switch_to(_POSITION_MODE)
        try:
            self._limits = xarm_limits.read(self._settings.address, self._settings.control_port)
        except xarm_sdk.UnreachableError as error:
            raise ArmLinkError(f"{self.name}: {error}") from error

    def limits(self) -> list[LimitCheck]:
        """What the arm's own controller keeps, as read back when it was connected or recovered."""
        if self._limits is None:
            remedy = "Clear the arm's fault: recover it; the limits are set then."
            return [LimitCheck(name="limits", ok=False, detail="not set", remedy=remedy)]
        return xarm_limits.checks(self._settings, self._limits)

    def state(self) -> ArmState:
        report = self._link.fresh_report()
        # the quick reports carry no error: where no pose is answered with one, it is asked for
        unanswered = (
            report.robot_state >= STOPPED or report.mode != _SERVO_MODE or self._link.fault is not None
        )
        if unanswered and time.monotonic() - self._link.asked > _ASK_EVERY:
            self._link.ask_fault()
        return ArmState(
            time=report.time,
            position=report.position,
            quaternion=report.quaternion,
            joints=report.joints,
            fault=self._link.fault,
        )

    # -- streamed poses -------------------------------------------------------------------------------------------

    def begin_servo(self) -> None:
        self._homing = None
        with self._link.replies_within(PATIENCE):
            self._switch_to(_SERVO_MODE)
        self._servo_since = time.monotonic()

    def servo(self, command: Command) -> None:
        api = self._link.api
        pose = [*(command.position * MILLI), *Rotation.from_quat(command.quaternion).as_rotvec()]
        code = api.set_servo_cartesian_aa([float(value) for value in pose])
        if self._link.is_late(code):
            return
        self._link.demand(code, "a pose")
        if api.has_err_warn:
            self._link.refuse_fault()
        self._look_at_mode()

    def _look_at_mode(self) -> None:
        """Raise when somebody else took the arm out of servo mode, where poses are quietly ignored."""
        report = self._link.fresh_report()
        if report.mode != _SERVO_MODE and report.time > self._servo_since + _ASK_EVERY:
            raise ArmError(
                f"{self.name}: another program took it out of servo mode (mode {report.mode}). Close the vendor's "
                "app and other programs, then recover the arm."
            )

    # -- homing ---------------------------------------------------------------------------------------------------

    def begin_home(self, joints: Vector) -> None:
        if len(joints) != self._settings.joints:
            raise ArmError(f"{self.name}: home has {len(joints)} angles for {self._settings.joints} joints.")
        online = tuple(self._link.api.version_number) >= _ONLINE_SINCE
        with self._link.replies_within(_HOMING_REPLY):
            change = self._ask_for(_ONLINE_JOINT_MODE if online else _POSITION_MODE)
        self._homing = _Homing(goal=np.array(joints, np.float64), change=change)

    def home_reached(self) -> bool:
        homing = self._homing
        if homing is None:
            raise ArmError(f"{self.name}: it is not on its way home. Begin homing first.")
        state, report = self.state(), self._link.fresh_report()
        if state.fault is not None:
            raise xarm_errors.as_error(state.fault)
        if not homing.sent:
            self._send_home(homing, report)
            return False
        away = float(np.abs(report.joints - homing.goal).max())
        if report.robot_state == IDLE and away <= self._settings.home_tolerance:
            return True
        self._look_whether_it_gave_up(homing, report, away)
        return False

    def _send_home(self, homing: _Homing, report: XArmReport) -> None:
        """The goal, as soon as the arm has changed its mode: nothing waits for that."""
        if not homing.change.done(report):
            if report.time - homing.change.asked > PATIENCE:
                raise ArmError(f"{self.name}: it {_NOT_READY_YET} (waited {PATIENCE:g} s).")
            return
        with self._link.replies_within(_HOMING_REPLY):
            code = self._link.api.set_servo_angle(
                angle=[float(angle) for angle in homing.goal],
                speed=self._settings.home_speed,
                mvacc=self._settings.home_acceleration,
                wait=False,
            )
            self._link.demand(code, "the home angles")
        homing.sent = True

    def _look_whether_it_gave_up(self, homing: _Homing, report: XArmReport, away: float) -> None:
        if report.robot_state < IDLE:
            homing.idle_since = None
        elif homing.idle_since is None:
            homing.idle_since = report.time
        elif report.time - homing.idle_since > _SETTLE:
            raise ArmError(
                f"{self.name}: it stopped on its way home, {away:.3f} rad short. See what stopped it (a pause in the "
                "vendor's app, another program), then begin homing again."
            )

    # -- stop and recovery ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        self._homing = None
        if not self._link.is_open:
            return
        # It is sent whatever becomes of the reply.
        with self._link.replies_within(_STOP_REPLY):
            code = self._link.api.set_state(STOPPED)
        if code:
            _log.warning("%s: the stop was not confirmed (code %s)", self.name, code)

    def recover(self) -> None:
        """Clear the present fault because the operator said so, and set the limits anew; connects anew if need be."""
        self._homing = None
        if self._link.is_lost:
            self._link.close()
            self._link.open()
        with self._link.replies_within(PATIENCE):
            self._link.demand_link(self._link.api.clean_error())
            self._link.demand_link(self._link.api.clean_warn())
            self._link.refuse_fault()
            self._prepare()
        self._link.refuse_fault()

    def _switch_to(self, mode: int) -> None:
        """Into a mode, ready to move and standing. Raises ArmFaultError, ArmLinkError, ArmError."""
        change = self._ask_for(mode)
        self._link.wait_for(lambda: change.done(self._link.fresh_report()), _NOT_READY_YET)

    def _ask_for(self, mode: int) -> _ModeChange:
        self._link.refuse_fault()
        self._link.demand(self._link.api.set_mode(mode), "a change of mode")
        self._link.demand(self._link.api.set_state(0), "getting ready")
        return _ModeChange(mode=mode, asked=time.monotonic())
