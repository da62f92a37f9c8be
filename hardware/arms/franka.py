"""Franka FR3 and Panda through franky: a 1 kHz impedance controller tracks poses, and joint angles while homing.

franky's own thread runs the 1 kHz loop; `servo` only passes it a pose and a twist. The control law is compliant: under
load or contact the arm stays off its target by force / stiffness. Workspace and speed limits are applied before
`servo`; this file sets those of the control box: collision thresholds, torque steps, the clipping of the tracking
error, and torques that push away from the joint limits.

The law would hold its last target for ever. So each motion carries a reaction that ends it after `stale_stop`, and
`servo` hands over to a fresh motion a few times in that span: if the caller hangs, the arm stops by itself, without a
helper thread. If the whole process stops (its 1 kHz thread included), the firmware decides.

The hand is a separate device, in `hardware.grippers.franka_hand`.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from hardware.arms.franka_impedance import posture_motion, stop_motion, tracking_motion
from hardware.arms.franka_link import (
    Scheduling,
    connected,
    failures,
    fault_in,
    installed_version,
    load_franky,
    motion_error,
    realtime_check,
)
from hardware.arms.franka_settings import FrankaParameters
from hardware.arms.interface import (
    Arm,
    ArmError,
    ArmFault,
    ArmFaultError,
    ArmIdentity,
    ArmLinkError,
    ArmState,
    LimitCheck,
)
from hardware.plan import Command, JointCommand

_LOG = logging.getLogger(__name__)

Law = Callable[[ModuleType, FrankaParameters, Any], Any]
"""Builds a motion that follows a reference."""

_RENEWALS = 4
"""Fresh motions per stale_stop; a caller that is late by 1 - 1 / _RENEWALS of it always finds the arm stopped."""
_SETTLE = 3.0
"""s, longest wait for a motion to end before another kind of motion starts."""
_START = 1.0
"""s, longest wait for the control box to start a motion."""
_AT_REST = 0.02
"""rad/s"""
_LOAD_TOLERANCE = 1e-3
"""kg"""


class FrankaSettings(FrankaParameters):
    """A Franka arm on its control box."""

    def build(self) -> FrankaArm:
        return FrankaArm(self)


class FrankaArm(Arm):
    """One Franka; connect before any other call."""

    schedules_itself = True

    def __init__(self, settings: FrankaSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._franky: ModuleType | None = None
        self._robot: Any = None
        self._motion: Any = None
        self._renewed = -math.inf
        self._commanded = -math.inf
        self._started = -math.inf
        self._fault: ArmFault | None = None
        self._lost: ArmLinkError | None = None
        self._report = (-1, -math.inf)

    # --- connection ---

    def connect(self) -> ArmIdentity:
        """Open the connection."""
        self.close()
        self._franky = load_franky(self.name)
        self._open()
        return ArmIdentity(
            model=self._model(),
            serial=f"not reported by FCI ({self._settings.address})",
            firmware=f"FCI, franky {installed_version()}",
            joints=7,
        )

    def _model(self) -> str:
        """Model name from the robot's own description; robots before server version 9 have none."""
        description = re.search(r'<robot[^>]*name="([^"]+)"', getattr(self._robot, "model_urdf", ""))
        return description.group(1) if description else self._settings.model

    def _open(self) -> None:
        franky, settings = self._vendor(), self._settings
        ignore, enforce = franky.RealtimeConfig.Ignore, franky.RealtimeConfig.Enforce

        def connect() -> Any:
            robot = franky.Robot(
                settings.address,
                default_torque_threshold=settings.torque_threshold,
                default_force_threshold=settings.force_threshold,
                realtime_config=enforce if settings.realtime == "enforce" else ignore,
            )
            robot.set_load(settings.load_mass, list(settings.load_center), [0.0] * 9)
            return robot, Scheduling.of_this_thread()

        self._robot, urgent = connected(franky, self.name, settings.address, connect)
        # libfranka raises the connecting thread's priority; its 1 kHz loop inherits from the thread that starts motions
        urgent.adopt()
        self._motion, self._fault, self._lost = None, None, None
        self._report = (-1, -math.inf)

    def close(self) -> None:
        if self._robot is None:
            return
        self.stop()
        try:
            self._settle()
        except ArmError as error:
            _LOG.warning("%s", error)
        self._drop()

    def _drop(self) -> None:
        """Disconnect: the control box accepts one client at a time, and another would wait for ever."""
        self._robot = None

    def limits(self) -> list[LimitCheck]:
        settings = self._settings
        pull = settings.translational_stiffness * settings.translational_error_clip
        load = self._raw().m_load
        return [
            LimitCheck(
                name="collision thresholds",
                ok=True,
                detail=f"{settings.torque_threshold:g} Nm at a joint, {settings.force_threshold:g} N at the hand",
            ),
            LimitCheck(name="pull", ok=True, detail=f"at most {pull:.0f} N towards the target"),
            LimitCheck(
                name="load",
                ok=abs(load - settings.load_mass) < _LOAD_TOLERANCE,
                detail=f"{load:.2f} kg beyond the end effector of Desk",
                remedy=f"The task says {settings.load_mass:.2f} kg; reconnect.",
            ),
            realtime_check(enforced=settings.realtime == "enforce"),
        ]

    # --- state ---

    def state(self) -> ArmState:
        raw = self._raw()
        pose = raw.O_T_EE
        return ArmState(
            time=self._arrival(raw.time.to_msec()),
            position=np.array(pose.translation, dtype=np.float64),
            quaternion=np.array(pose.quaternion, dtype=np.float64),
            joints=np.array(raw.q, dtype=np.float64),
            fault=fault_in(self.name, raw) or self._fault,
        )

    def _raw(self) -> Any:
        robot = self._connected()
        try:
            return robot.state
        except failures(self._vendor()) as error:
            raise self._noted(error) from error

    def _arrival(self, robot_ms: int) -> float:
        """When the report with this robot time stamp arrived. Raises ArmLinkError when that is too long ago."""
        now = time.monotonic()
        if robot_ms != self._report[0]:
            self._report = (robot_ms, now)
        age = now - self._report[1]
        # the robot reports nothing between the request for control and the first control cycle
        starting = now - self._started < _START
        if age > self._settings.report_age and not starting:
            raise ArmLinkError(
                f"{self.name}: the control box has not reported for {age:.2f} s. Check its power and the cable, then "
                "recover."
            )
        return self._report[1]

    # --- servo ---

    def begin_servo(self) -> None:
        self._refuse_fault()
        self.stop()
        self._settle()
        self._start(tracking_motion, self._vendor().CartesianReference(self._raw().O_T_EE))

    def begin_servo_joints(self) -> None:
        """Switch without a stop if the arm is following poses: both control laws command torques."""
        self._refuse_fault()
        if self._motion is None or not self._connected().is_in_control:
            self.stop()
            self._settle()
        self._start(posture_motion, self._vendor().JointReference(self._raw().q))

    def _start(self, law: Law, reference: Any) -> None:
        self._hand_over(law, reference)
        self._await_start()
        if not self._robot.is_in_control:
            raise self._ended()

    def _await_start(self) -> None:
        """Wait until the control box has started the motion, or it has already ended."""
        robot, franky = self._connected(), self._vendor()
        until = time.monotonic() + _START
        while robot.is_in_control and self._raw().robot_mode != franky.RobotMode.Move:
            if time.monotonic() > until:
                self.stop()
                raise ArmLinkError(
                    f"{self.name}: the control box did not start within {_START:g} s. Recover."
                )
            time.sleep(0.002)
        self._started = -math.inf
        self._commanded = time.monotonic()
        self._report = (-1, self._commanded)

    def servo(self, command: Command) -> None:
        franky = self._vendor()
        pose = franky.Affine(command.position, command.quaternion)
        twist = franky.Twist(command.velocity, command.angular_velocity)
        self._follow(tracking_motion, franky.CartesianReference(pose, twist))

    def servo_joints(self, command: JointCommand) -> None:
        self._follow(posture_motion, self._vendor().JointReference(command.joints, command.rates))

    def _follow(self, law: Law, reference: Any) -> None:
        if self._motion is None:
            raise self._not_servoing()
        now = time.monotonic()
        if now - self._commanded > self._settings.stale_stop * (1.0 - 1.0 / _RENEWALS):
            raise self._stale(now - self._commanded)
        if not self._robot.is_in_control:
            raise self._ended()
        if now - self._renewed > self._settings.stale_stop / _RENEWALS:
            self._hand_over(law, reference)
        else:
            self._motion.set_reference(reference)
        self._commanded = now

    def _hand_over(self, law: Law, reference: Any) -> None:
        """Hand over to a fresh motion with the same control law, so that torques do not jump."""
        motion = law(self._vendor(), self._settings, reference)
        self._move(motion)
        self._motion = motion
        self._renewed = time.monotonic()

    def _move(self, motion: Any) -> None:
        robot = self._connected()
        if not robot.is_in_control:
            self._started = time.monotonic()
        try:
            robot.move(motion, asynchronous=True)
        except failures(self._vendor()) as error:
            raise self._noted(error) from error

    # --- stopping and recovering ---

    def stop(self) -> None:
        self._motion = None
        robot, franky = self._robot, self._franky
        if robot is None or franky is None:
            return
        try:
            kind = robot.current_control_signal_type
            if kind == franky.ControlSignalType.Torques:
                robot.move(stop_motion(franky, self._settings), asynchronous=True)
            elif kind is not None:
                robot.move(franky.JointStopMotion(), asynchronous=True)
        except failures(franky) as error:
            self._noted(error)
            _LOG.warning("%s: stopping gently failed (%s); motion is cut off", self.name, error)
            self._cut_off()

    def _cut_off(self) -> None:
        try:
            self._robot.stop()
        except failures(self._vendor()) as error:
            _LOG.error("%s: the control box did not take the stop (%s)", self.name, error)

    def recover(self) -> None:
        """Clear the fault; reconnects if the link was lost."""
        self._motion = None
        if self._robot is None or self._lost is not None:
            self._drop()
            self._open()
        franky, robot = self._vendor(), self._connected()
        try:
            self._settle()
        except ArmFaultError as error:
            _LOG.info("%s: clearing %s", self.name, error.fault.text)
        try:
            robot.recover_from_errors()
        except failures(franky) as error:
            raise self._noted(error) from error
        self._fault = None
        left = fault_in(self.name, self._raw())
        if left is not None:
            raise ArmFaultError(left)

    # --- what went wrong ---

    def _settle(self) -> None:
        """Wait until no motion runs and the arm is at rest. Raises the error that ended the motion."""
        if not self._join(_SETTLE):
            self._cut_off()
            raise ArmLinkError(
                f"{self.name}: the arm did not come to rest in {_SETTLE:g} s; it was cut off. Recover."
            )
        until = time.monotonic() + 1.0
        while np.max(np.abs(self._raw().dq)) > _AT_REST and time.monotonic() < until:
            time.sleep(0.005)

    def _join(self, patience: float = 0.0) -> bool:
        """Wait for the motion to end; returns whether it has. Raises the error that ended it."""
        try:
            return bool(self._connected().join_motion(timeout=patience))
        except failures(self._vendor()) as error:
            raise self._noted(error) from error

    def _ended(self) -> ArmError:
        """Why the control loop has ended."""
        self._motion = None
        try:
            self._join(_SETTLE)
        except ArmError as error:
            return error
        return self._stale(time.monotonic() - self._commanded)

    def _stale(self, gap: float) -> ArmFaultError:
        self.stop()
        self._fault = ArmFault(
            arm=self.name,
            code="stale_commands",
            text=f"no command came for {gap:.2f} s, so the arm stopped by itself",
            remedy="Look at what held up the control loop (doctor shows its rate), then recover.",
        )
        return ArmFaultError(self._fault)

    def _not_servoing(self) -> ArmError:
        if self._fault is not None:
            return ArmFaultError(self._fault)
        return self._lost or ArmError(f"{self.name}: not following commands. Begin servo mode first.")

    def _refuse_fault(self) -> None:
        fault = fault_in(self.name, self._raw()) or self._fault
        if fault is not None:
            raise ArmFaultError(fault)

    def _noted(self, error: Exception) -> ArmError:
        """Translate the error and remember it until the operator recovers."""
        self._motion = None
        said = motion_error(self._vendor(), self.name, error)
        if isinstance(said, ArmFaultError):
            self._fault = said.fault
        elif isinstance(said, ArmLinkError):
            self._lost = said
        return said

    def _vendor(self) -> ModuleType:
        if self._franky is None:
            raise ArmError(f"{self.name}: not connected. Connect it first.")
        return self._franky

    def _connected(self) -> Any:
        if self._lost is not None:
            raise self._lost
        if self._robot is None:
            raise ArmError(f"{self.name}: not connected. Connect it first.")
        return self._robot
