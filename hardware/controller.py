"""What the controller of one arm does at each tick, 100 to 250 times a second, in a process of its own.

Stop latch first, then the heartbeat of the loop that makes plans, then the newest order; the interpolator says where
the arm should be, the safety filter has the last word, and the arm's driver sends what it lets through. A report of
every tick goes to shared memory. The controller never waits for anybody, clears no fault by itself, and knows neither
policies nor recordings. Its process is `hardware.robot.worker`, the other end `hardware.robot.process`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardware.arms.interface import Arm, ArmError, ArmFaultError, ArmIdentity, ArmState, LimitCheck
from hardware.cell import CellError, StoppedError
from hardware.grippers.thread import GripperThread
from hardware.interpolation import InterpolationError, Interpolator
from hardware.latch import StopLatch
from hardware.mailbox import Heartbeat, Mailbox
from hardware.plan import Command, Vector
from hardware.robot.neighbour import Neighbour
from hardware.safety import Reason, SafetyError, SafetyFilter, SafetySettings, SafetyState
from hardware.wire import Cause, Mode, Order, Report

_REST_SPEED = 1e-4  # m/s; slower is standing
_REST_TURN = 1e-3  # rad/s
_GENTLE = 1.0  # m/s2, where none is set; nothing moves before one is
_REASON_NUMBER = {reason: number for number, reason in enumerate(Reason)}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ControllerSettings:
    """What one controller needs to know besides its devices."""

    safety: SafetySettings
    hz: int
    park_after: float
    """An arm that has nothing to do for longer, s, is parked."""
    suspended_after: float
    """A gap between two ticks longer than this, s, ends the motion."""
    tracking_error: float
    """Farthest that the arm may be from where it was commanded to be, m."""
    home: tuple[float, ...]
    """rad"""
    home_opening: float | None
    """Opening of the gripper on the way home, 0..1; None leaves it."""


@dataclass(kw_only=True)
class _Counts:
    """What is counted while the process lives."""

    homings: int = 0
    late: int = 0
    overruns: int = 0
    interventions: int = 0
    reasons: list[int]


class Controller:
    """One arm and its gripper. Requests and ticks come from one thread, one after another."""

    def __init__(
        self,
        arm: Arm,
        gripper: GripperThread | None,
        settings: ControllerSettings,
        *,
        orders: Mailbox,
        reports: Mailbox,
        heartbeat: Heartbeat,
        latch: StopLatch,
        neighbours: Sequence[Neighbour] = (),
    ) -> None:
        """Opens nothing."""
        self.arm = arm
        self.mode = Mode.OFFLINE
        self._gripper = gripper
        self._settings = settings
        self._dt = 1.0 / settings.hz
        self._orders, self._reports, self._heartbeat = orders, reports, heartbeat
        self._latch = latch
        self._neighbours = neighbours
        self._interpolator = _interpolator(settings.safety)
        self._filter: SafetyFilter | None = None
        self._safe: SafetyState | None = None
        self._measured: ArmState | None = None
        self._command: Command | None = None
        self._counts = _Counts(reasons=[0] * len(Reason))
        self._braking = Cause.NONE
        self._going_home = False
        self._cause = Cause.NONE
        self._order = self._dropped = 0
        self._seen = orders.count
        self._given = self._order_delay = 0.0
        self._ticked = self._heard = self._busy = 0.0
        self._stop_since = self._last_motion = 0.0
        self._text = ""

    # --- requests -------------------------------------------------------------------------------------------------

    def connect(self) -> tuple[ArmIdentity, str]:
        """Open arm and gripper; who answers. Raises ArmError, GripperError."""
        identity = self.arm.connect()
        gripper = self._gripper.connect() if self._gripper else ""
        self._measured = self.arm.state()
        self.mode, self._text = Mode.PARKED, ""
        return identity, gripper

    def limits(self) -> list[LimitCheck]:
        """The vendor-side limits in force. Raises CellError while the arm moves."""
        self._require(Mode.PARKED, Mode.FAULT)
        return self.arm.limits()

    def follow(self, now: float) -> None:
        """Get ready to follow plans, holding the present pose. Raises StoppedError, ArmError."""
        self._require_armed()
        self._heard = self._busy = now
        self._seen = self._orders.count
        if self.state is Mode.SERVO:
            return
        self._require(Mode.PARKED)
        self._filter = self._make_filter()
        self.arm.begin_servo()
        self._start_from(self.arm.state(), now)
        # what getting ready took is no gap in a motion
        self._ticked = 0.0
        self.mode, self._cause = Mode.SERVO, Cause.NONE

    def home(self, now: float) -> None:
        """Come to rest, then let the arm's own controller bring it home. Raises StoppedError, ArmError."""
        self._require_armed()
        self._require(Mode.PARKED, Mode.SERVO, Mode.HOMING)
        self._heard, self._seen = now, self._orders.count
        if self._gripper and self._settings.home_opening is not None:
            self._gripper.move(self._settings.home_opening)
        if self.mode is Mode.SERVO:
            self._interpolator.hold(now)
            self._going_home = True
        else:
            self._begin_home()

    def recover(self) -> None:
        """Clear faults because the operator said so. Raises ArmError, GripperError when one stays."""
        if self.mode is Mode.OFFLINE:
            self._connect_by_force()
            return
        self._require(Mode.FAULT, Mode.PARKED)
        if self._gripper and self._gripper.error:
            self._gripper.recover()
        try:
            faulty = self.arm.state().fault is not None
        except ArmError:
            self.arm.close()
            self.arm.connect()
            faulty = self.arm.state().fault is not None
        if faulty or self.mode is Mode.FAULT:
            self.arm.recover()
        self._measured = self.arm.state()
        self.mode, self._text, self._cause = Mode.PARKED, "", Cause.NONE

    def _connect_by_force(self) -> None:
        """The operator has read the fault that kept the arm from being connected, and wants it cleared."""
        try:
            self.connect()
        except ArmFaultError:
            self.arm.recover()
            self.connect()

    def leave(self) -> None:
        """Brake and let go; `standing` says when that is done."""
        if self.mode is Mode.SERVO:
            self._brake(Cause.LEAVING)
        elif self.mode is Mode.HOMING:
            self._end_homing(Cause.LEAVING)

    @property
    def state(self) -> Mode:
        """What the arm is doing, as reports tell it."""
        return Mode.BRAKING if self._braking and self.mode is Mode.SERVO else self.mode

    @property
    def standing(self) -> bool:
        """Whether nothing is sent to the arm."""
        return self.mode not in (Mode.SERVO, Mode.HOMING)

    def close(self) -> None:
        """Let go of the devices."""
        self.arm.close()
        if self._gripper:
            self._gripper.close()
        self.mode = Mode.OFFLINE

    # --- one tick -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look, decide, send, report."""
        interval = now - self._ticked if self._ticked else self._dt
        self._ticked = now
        self._stop_since = self._latch.since or self._stop_since
        self._measure()
        match self.mode:
            case Mode.SERVO:
                self._servo(now, interval)
            case Mode.HOMING:
                self._homing(now)
            case _:
                self._refuse_orders()
        self.publish(now, interval)

    def _measure(self) -> None:
        if self.mode is Mode.OFFLINE:
            return
        try:
            self._measured = self.arm.state()
        except ArmError as error:
            self._fail(error)
            return
        if self._measured.fault is not None:
            self._fail(ArmFaultError(self._measured.fault))

    def _servo(self, now: float, interval: float) -> None:
        if interval > 2.0 * self._dt:
            self._counts.overruns += 1
        if not self._braking:
            self._brake(self._reason_to_brake(now, interval))
        self._take_order(now)
        if self._safe is None or self._filter is None:
            return
        target = None if self._braking else self._interpolator.target(now)
        others = [sphere for neighbour in self._neighbours for sphere in neighbour.spheres(now)]
        self._safe, self._command, reasons = self._filter.step(self._safe, target, self._dt, others, now=now)
        self._count(reasons)
        self._send(self._command, now)
        if self.mode is not Mode.SERVO:
            return
        if self._moving or not self._interpolator.done(now):
            self._busy = now
        if not self._moving:
            self._at_rest(now)

    def _send(self, command: Command, now: float) -> None:
        if self._moving:
            self._last_motion = now
        try:
            self.arm.servo(command)
        except ArmError as error:
            self._fail(error)
            return
        if self._given:
            self._order_delay, self._given = now - self._given, 0.0
        if self._gripper and not self._braking and not self._going_home:
            self._gripper.move(command.gripper)

    def _reason_to_brake(self, now: float, interval: float) -> Cause:
        if self._latch.latched:
            return Cause.STOP
        if self._gripper and self._gripper.error:
            self._text = self._gripper.error
            return Cause.FAULT
        if interval > self._settings.suspended_after:
            return Cause.SUSPENDED
        if self._distance() > self._settings.tracking_error:
            self._text = self._not_following()
            return Cause.FAULT
        busy = self._moving or not self._interpolator.done(now)
        return (
            Cause.HEARTBEAT if busy and self._silence(now) > self._settings.safety.heartbeat else Cause.NONE
        )

    def _take_order(self, now: float) -> None:
        found = self._orders.newest()
        if found is None or found[0] <= self._seen:
            return
        self._seen, order = found[0], Order.decode(found[1])
        self._going_home = False
        if self._braking:
            self._drop(self._seen, self._braking)
            return
        if not self._interpolator.done(now) and order.plan is None:
            self._drop(self._order, Cause.HOLD)
        self._order, self._given = self._seen, order.given
        if order.plan is None:
            self._interpolator.hold(now)
            return
        try:
            self._counts.late += self._interpolator.post(order.plan, now)
        except InterpolationError as error:
            self._text = f"{self.arm.name}: a plan names no motion: {error}"
            self._brake(Cause.FAULT)

    def _brake(self, cause: Cause) -> None:
        """Decelerate within the limits, whatever the plan says; nothing for no cause."""
        if cause is Cause.NONE:
            return
        held_up = cause is Cause.SUSPENDED
        if held_up or not self._interpolator.done(self._ticked):
            self._drop(self._order, cause)
        if held_up and self._measured is not None:
            # the arm has stopped where its own controller let it, so the motion ends there
            self._start_from(self._measured, self._ticked)
        self._interpolator.hold(self._ticked)
        self._braking, self._cause, self._going_home = cause, cause, False

    def _at_rest(self, now: float) -> None:
        if self._braking:
            self._park(Mode.FAULT if self._braking is Cause.FAULT else Mode.PARKED)
        elif self._going_home:
            try:
                self._begin_home()
            except ArmError as error:
                self._fail(error)
        elif now - self._busy > self._settings.park_after:
            self._park(Mode.PARKED)

    def _homing(self, now: float) -> None:
        self._last_motion = now
        cause = Cause.NONE
        if self._latch.latched:
            cause = Cause.STOP
        elif self._silence(now) > self._settings.safety.heartbeat:
            cause = Cause.HEARTBEAT
        elif self._refuse_orders():
            cause = Cause.HOLD
        if cause:
            self._end_homing(cause)
            return
        try:
            if self.arm.home_reached():
                self._counts.homings += 1
                self._end_homing(Cause.NONE)
        except ArmError as error:
            self._fail(error)

    # --- what moves and what does not -----------------------------------------------------------------------------

    @property
    def _moving(self) -> bool:
        if self.mode is Mode.HOMING:
            return True
        command = self._command
        if self.mode is not Mode.SERVO or command is None:
            return False
        return _length(command.velocity) > _REST_SPEED or _length(command.angular_velocity) > _REST_TURN

    def _start_from(self, state: ArmState, now: float) -> None:
        """Interpolator and filter begin at rest where the arm is."""
        opening = self._opening()
        self._interpolator.reset(state.position, state.quaternion, opening, now)
        self._safe = SafetyState.at_rest(state.position, state.quaternion, opening)
        self._measured = state
        self._command = None
        self._braking, self._going_home, self._order = Cause.NONE, False, 0

    def _opening(self) -> float:
        """What the gripper was told last, so that a hold does not let go of what it holds."""
        if self._command is not None:
            return self._command.gripper
        return self._gripper.opening if self._gripper else 1.0

    def _begin_home(self) -> None:
        self._going_home = False
        self.arm.begin_home(np.array(self._settings.home))
        self.mode, self._cause = Mode.HOMING, Cause.NONE

    def _end_homing(self, cause: Cause) -> None:
        self.arm.stop()
        self.mode, self._cause = Mode.PARKED, cause

    def _park(self, mode: Mode) -> None:
        self.arm.stop()
        self.mode, self._braking = mode, Cause.NONE
        if self._gripper:
            self._gripper.forget()

    def _fail(self, error: CellError) -> None:
        """A device cannot go on: the vendor's stop at once, and nothing more before `recover`."""
        if self.mode is Mode.FAULT:
            return
        _log.error("%s", error)
        self.arm.stop()
        self._drop(max(self._order, self._seen), Cause.FAULT)
        self.mode, self._text, self._cause = Mode.FAULT, str(error), Cause.FAULT
        self._braking, self._going_home = Cause.NONE, False

    def _drop(self, order: int, cause: Cause) -> None:
        if order > self._dropped:
            self._dropped, self._cause = order, cause

    def _refuse_orders(self) -> bool:
        """Orders that come while nothing follows them; whether there was one."""
        count = self._orders.count
        if count <= self._seen:
            return False
        self._seen = self._dropped = count
        return True

    # --- what is known --------------------------------------------------------------------------------------------

    def _silence(self, now: float) -> float:
        """s since the loop that makes plans was last heard of."""
        return now - max(self._heartbeat.last, self._heard)

    def _distance(self) -> float:
        """m between where the arm is and where it was commanded to be."""
        if self._command is None or self._measured is None:
            return 0.0
        return _length(self._command.position - self._measured.position)

    def _not_following(self) -> str:
        return (
            f"{self.arm.name}: it is {100 * self._distance():.0f} cm from where it was commanded to be. Look what "
            "holds it, and whether its emergency stop is pressed, then go on."
        )

    def _count(self, reasons: Sequence[Reason]) -> None:
        if reasons:
            self._counts.interventions += 1
        for reason in reasons:
            self._counts.reasons[_REASON_NUMBER[reason]] += 1

    def _make_filter(self) -> SafetyFilter:
        try:
            return SafetyFilter(self._settings.safety, self._dt, self.arm.name)
        except SafetyError as error:
            raise ArmError(f"{self.arm.name}: {error} It does not move before the limits are set.") from error

    def _require(self, *modes: Mode) -> None:
        if self.state not in modes:
            why = self._text or f"it is {self.state.name.lower()}"
            raise ArmError(f"{self.arm.name}: not possible now: {why}")

    def _require_armed(self) -> None:
        if self._latch.latched:
            raise StoppedError(f"{self.arm.name}: the stop latch is set. Re-arm the stop to move again.")

    def publish(self, now: float, interval: float = 0.0) -> None:
        """Report what is known now."""
        measured, command = self._measured, self._command
        self._reports.post(
            Report(
                time=now,
                interval=interval,
                mode=self.state,
                cause=self._cause,
                order=self._order,
                dropped=self._dropped,
                homings=self._counts.homings,
                late=self._counts.late,
                overruns=self._counts.overruns,
                interventions=self._counts.interventions,
                moving=self._moving,
                stop_since=self._stop_since,
                last_motion=self._last_motion,
                order_delay=self._order_delay,
                measured_time=measured.time if measured else math.nan,
                measured_position=measured.position if measured else _NOWHERE,
                measured_quaternion=measured.quaternion if measured else _UNTURNED,
                joints=measured.joints if measured else np.zeros(0),
                measured_gripper=self._gripper.opening if self._gripper else 1.0,
                position=command.position if command else _NOWHERE,
                quaternion=command.quaternion if command else _UNTURNED,
                velocity=command.velocity if command else np.zeros(3),
                gripper=command.gripper if command else math.nan,
                reasons=np.array(self._counts.reasons, np.float64),
                text=self._text,
            ).encode()
        )


_NOWHERE = np.full(3, np.nan)
_UNTURNED = np.array([0.0, 0.0, 0.0, 1.0])


def _interpolator(safety: SafetySettings) -> Interpolator:
    return Interpolator(
        acceleration=safety.acceleration or _GENTLE,
        jerk=safety.jerk,
        rotation_acceleration=safety.rotation_acceleration,
        velocity=safety.velocity or math.inf,
        rotation_rate=safety.rotation_rate,
    )


def _length(vector: Vector) -> float:
    return math.sqrt(float(vector @ vector))
