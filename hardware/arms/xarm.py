"""UFACTORY xArm-6 and xArm-7, through the vendor's SDK: poses and joint angles, streamed in servo mode.

Every command's return code is checked; while the arm is at rest its error code is polled, as reports do not include it.
An arm whose link is lost, or whose controller is gone, gets no new targets and stands still at the last one. The
controller does interpolation, limits and heartbeat; the limits that the arm itself enforces are in `xarm_limits`; the
gripper has its own connection.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from scipy.spatial.transform import Rotation

from hardware.arms import xarm_limits, xarm_sdk
from hardware.arms.interface import Arm, ArmError, ArmIdentity, ArmLinkError, ArmState, LimitCheck
from hardware.arms.xarm_link import MILLI, PATIENCE, PAUSED, STOPPED, LinkSettings, XArmLink, XArmReport
from hardware.cell import CellError
from hardware.plan import Command, JointCommand
from hardware.settings import JointEnds, Pace, numeric

_SERVO_MODE = 1
_POSITION_MODE = 0

_FULL_TURN = 6.283185
_JOINT_ENDS: dict[int, JointEnds] = {
    6: (
        (-_FULL_TURN, -2.059488, -3.92699, -_FULL_TURN, -1.692969, -_FULL_TURN),
        (_FULL_TURN, 2.094395, 0.191986, _FULL_TURN, 3.141592, _FULL_TURN),
    ),
    7: (
        (-_FULL_TURN, -2.059488, -_FULL_TURN, -0.191986, -_FULL_TURN, -1.692969, -_FULL_TURN),
        (_FULL_TURN, 2.094395, _FULL_TURN, 3.92699, _FULL_TURN, 3.141592, _FULL_TURN),
    ),
}
"""rad, lower and upper, from the vendor's manual."""
_JERK_TIME = 0.1
"""s in which the acceleration of homing builds up."""

_ASK_EVERY = 0.2
"""s between two polls of the error code of an arm at rest."""
_STOP_REPLY = 0.05
"""s to wait for the reply; with more, the controller's loop would count as hung."""
_NOT_READY_YET = "does not get ready to move; recover it, which enables its motors"

_log = logging.getLogger(__name__)


class XArmSettings(xarm_limits.XArmLimitSettings):
    """An xArm."""

    driver: Literal["xarm"] = "xarm"
    """Driver name."""
    joints: Literal[6, 7] = 6
    """Number of joints."""
    address: str = Field(min_length=1)
    """Address of the control box, e.g. 192.168.1.185."""
    control_port: int = Field(default=xarm_sdk.CONTROL_PORT, ge=1, le=65535)
    """Its command port; differs from the vendor's default only for an emulated arm."""
    reply_timeout: float = Field(default=0.05, ge=0.02, le=0.1)
    """s to wait for the reply to one pose; then the next is sent, after the arm has paused briefly."""
    report_timeout: float = Field(default=0.25, ge=0.05, le=2.0)
    """s without a report, or with late replies only, after which the link counts as lost."""
    home_speed: float = Field(default=0.35, gt=0.0, le=2.0)
    """Joint speed while homing, rad/s."""
    home_acceleration: float = Field(default=1.0, gt=0.0, le=10.0)
    """Joint acceleration while homing, rad/s2."""
    home_tolerance: float = Field(default=0.01, gt=0.0, le=0.1)
    """Tolerance of every joint about its home angle, rad."""

    @property
    def occupies(self) -> str:
        port = "" if self.control_port == xarm_sdk.CONTROL_PORT else f", port {self.control_port}"
        return f"xArm at {numeric(self.address)}{port}"

    @property
    def geometry(self) -> str:
        return f"xarm{self.joints}"

    @property
    def joint_ends(self) -> JointEnds:
        return _JOINT_ENDS[self.joints]

    @property
    def home_pace(self) -> Pace:
        rise = self.home_acceleration / _JERK_TIME
        return Pace(speed=self.home_speed, acceleration=self.home_acceleration, jerk=rise)

    @property
    def home_within(self) -> float:
        return self.home_tolerance

    def build(self) -> XArm:
        return XArm(self)


@dataclass(frozen=True, kw_only=True)
class _ModeChange:
    """A requested change of mode; real arms take a moment."""

    mode: int
    asked: float

    def done(self, report: XArmReport) -> bool:
        return report.time > self.asked and report.mode == self.mode and report.robot_state < PAUSED


class XArm(Arm):
    """One xArm. All calls come from one thread."""

    def __init__(self, settings: XArmSettings) -> None:
        """Opens nothing."""
        self.name = settings.name
        self._settings = settings
        names = ("name", "address", "control_port", "joints", "reply_timeout", "report_timeout")
        self._link = XArmLink(LinkSettings(**{name: getattr(settings, name) for name in names}))
        self._servo_since = 0.0
        self._servoing = False
        self._limits: xarm_limits.LimitReport | None = None

    # -- connection -----------------------------------------------------------------------------------------------

    def connect(self) -> ArmIdentity:
        """Open the connection, enable the motors and set the limits of the task file; moves nothing.

        An arm in fault is connected too: its `state` reports the fault, and `recover` sets the limits.

        Raises:
            ArmLinkError: no answer.
            ArmError: the package is missing, the model differs, or a limit was refused.
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
        """Enable the motors in place, and set and read back the limits."""
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
        """The limits in the arm's own controller, as read back on connect or recover."""
        if self._limits is None:
            remedy = "Clear the arm's fault: recover it; the limits are set then."
            return [LimitCheck(name="limits", ok=False, detail="not set", remedy=remedy)]
        return xarm_limits.checks(self._settings, self._limits)

    def state(self) -> ArmState:
        report = self._link.fresh_report()
        # the fast reports carry no error code: poll it while no replies to poses carry it
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
        with self._link.replies_within(PATIENCE):
            self._switch_to(_SERVO_MODE)
        self._servo_since, self._servoing = time.monotonic(), True

    def servo(self, command: Command) -> None:
        pose = [*(command.position * MILLI), *Rotation.from_quat(command.quaternion).as_rotvec()]
        self._look_after(self._link.api.set_servo_cartesian_aa([float(value) for value in pose]), "a pose")

    def begin_servo_joints(self) -> None:
        """The same mode follows poses and joint angles."""
        if not self._servoing:
            self.begin_servo()

    def servo_joints(self, command: JointCommand) -> None:
        angles = [float(angle) for angle in command.joints]
        self._look_after(self._link.api.set_servo_angle_j(angles), "a posture")

    def _look_after(self, code: int, what: str) -> None:
        """Check a command's return code. Raises ArmFaultError, ArmLinkError, ArmError."""
        if self._link.is_late(code):
            return
        self._link.demand(code, what)
        if self._link.api.has_err_warn:
            self._link.refuse_fault()
        self._look_at_mode()

    def _look_at_mode(self) -> None:
        """Raise if another program has ended servo mode: the arm then silently ignores poses."""
        report = self._link.fresh_report()
        if report.mode != _SERVO_MODE and report.time > self._servo_since + _ASK_EVERY:
            raise ArmError(
                f"{self.name}: another program took it out of servo mode (mode {report.mode}). Close the vendor's "
                "app and other programs, then recover the arm."
            )

    # -- stop and recovery ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        self._servoing = False
        if not self._link.is_open:
            return
        # It is sent whether or not a reply comes.
        with self._link.replies_within(_STOP_REPLY):
            code = self._link.api.set_state(STOPPED)
        if code:
            _log.warning("%s: the stop was not confirmed (code %s)", self.name, code)

    def recover(self) -> None:
        """Clear the current fault at the operator's request and set the limits again; reconnects if needed."""
        self._servoing = False
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
        """Switch to a mode, ready to move and at rest. Raises ArmFaultError, ArmLinkError, ArmError."""
        change = self._ask_for(mode)
        self._link.wait_for(lambda: change.done(self._link.fresh_report()), _NOT_READY_YET)

    def _ask_for(self, mode: int) -> _ModeChange:
        self._link.refuse_fault()
        self._link.demand(self._link.api.set_mode(mode), "a change of mode")
        self._link.demand(self._link.api.set_state(0), "getting ready")
        return _ModeChange(mode=mode, asked=time.monotonic())
