"""The control loop of one arm: what happens at each tick, 100 to 250 times a second.

Each tick checks the stop latch first, then the planning loop's heartbeat, then the newest order; the interpolator
computes the target, the safety filter has the last word, and the arm's driver sends the filter's output. A report of
every tick goes to shared memory. A tick never blocks, clears no fault by itself, and knows neither policies nor
recordings. `hardware.controller.controller` handles requests between two ticks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from hardware.arms.interface import Arm, ArmError, ArmFaultError, ArmState
from hardware.cell import CellError
from hardware.clock import slept
from hardware.controller.end_effector import EndEffector
from hardware.controller.homeward import Homeward
from hardware.controller.interpolation import InterpolationError
from hardware.controller.neighbour import Neighbour
from hardware.controller.settings import ControllerSettings
from hardware.controller.tally import Tally
from hardware.controller.way import FORETOLD, WayRules, plan_home
from hardware.grippers.interface import GripperError
from hardware.grippers.thread import GripperThread
from hardware.latch import StopLatch
from hardware.mailbox import Heartbeat, Mailbox
from hardware.plan import Command, Vector
from hardware.safety.filter import SafetyFilter, SafetyState, Sphere
from hardware.safety.reasons import Reason
from hardware.wire import Cause, Mode, Order

_REST_SPEED = 1e-4  # m/s; slower is standing
_REST_TURN = 1e-3  # rad/s
_ARRIVING = 3.0  # s that an arm may take to come to rest at home after the last command
_WAITING = 5.0  # s that it waits for the other arm while homing

_log = logging.getLogger(__name__)


class ControlLoop:
    """One arm and its gripper, tick by tick; and the changes that requests make between two ticks."""

    def __init__(
        self,
        arm: Arm,
        gripper: GripperThread | None,
        settings: ControllerSettings,
        way: WayRules,
        *,
        orders: Mailbox,
        reports: Mailbox,
        heartbeat: Heartbeat,
        latch: StopLatch,
        neighbours: Sequence[Neighbour] = (),
    ) -> None:
        """Opens nothing; `way` are the constraints on the path home."""
        self.arm = arm
        self.gripper = gripper
        self._end_effector = EndEffector(gripper)
        self.latch = latch
        self.mode = Mode.OFFLINE
        self.tally = Tally()
        self._settings = settings
        self._way = way
        self._dt = 1.0 / settings.hz
        self._orders, self._reports, self._heartbeat = orders, reports, heartbeat
        self._neighbours = neighbours
        self._interpolator = settings.interpolator()
        self._filter: SafetyFilter | None = None
        self._safe: SafetyState | None = None
        self._measured: ArmState | None = None
        self._command: Command | None = None
        self._homeward: Homeward | None = None
        self._braking = Cause.NONE
        self._holding = False
        self._going_home = False
        self._seen = orders.count
        self._given = 0.0
        self._ticked = self._heard = self._busy = self._slept = 0.0

    # --- between two ticks ----------------------------------------------------------------------------------------

    def heed(self, now: float) -> None:
        """Note a request by the planning loop; earlier orders are void."""
        self._heard = self._busy = now
        self._seen = self._orders.count

    def rest(self) -> None:
        """Note that the arm is at rest without a fault. Raises ArmError."""
        self._measured = self.arm.state()
        self.mode, self.tally.text, self.tally.cause = Mode.PARKED, "", Cause.NONE

    def begin_following(self, now: float) -> None:
        """Send a command at every tick from now on, at first holding the current pose. Raises ArmError."""
        self._filter = self._settings.limits(self.arm.name)
        self.arm.begin_servo()
        self._start_from(self.arm.state(), now)
        # the time to get ready is not a gap in a motion
        self._ticked = 0.0
        self.mode, self.tally.cause = Mode.SERVO, Cause.NONE

    def go_home(self, now: float) -> None:
        """Come to rest, then go home. Raises ArmError."""
        if self.mode is Mode.SERVO and (self._moving or not self._interpolator.done(now)):
            self._open_for_home()
            self._hold(now)
            self._going_home = True
        elif self.mode is not Mode.HOMING:
            self._begin_home()
            self._open_for_home()

    def leave(self) -> None:
        """Brake and release the arm; `standing` says when that is done."""
        if self.mode is Mode.SERVO:
            self._brake(Cause.LEAVING)
        elif self.mode is Mode.HOMING:
            self._brake_on_the_way(Cause.LEAVING)

    @property
    def state(self) -> Mode:
        """The arm's mode as reports give it."""
        return Mode.BRAKING if self._braking and not self.standing else self.mode

    @property
    def standing(self) -> bool:
        """Whether no commands are sent to the arm."""
        return self.mode not in (Mode.SERVO, Mode.HOMING)

    # --- one tick -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Measure, decide, send, report."""
        asleep = slept()
        interval = now - self._ticked + asleep - self._slept if self._ticked else self._dt
        self._ticked, self._slept = now, asleep
        self.tally.stop_since = self.latch.since or self.tally.stop_since
        self._measure()
        match self.mode:
            case Mode.SERVO:
                self._servo(now, interval)
            case Mode.HOMING:
                self._homing(now, interval)
            case _:
                self._refuse_orders()
                self._look_at_gripper()
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

    def _look_at_gripper(self) -> None:
        """Check the gripper at rest too: an arm whose gripper is lost is not ready."""
        if self.mode is Mode.PARKED and self._end_effector.error:
            self._fail(GripperError(self._end_effector.error))

    def _servo(self, now: float, interval: float) -> None:
        if interval > 2.0 * self._dt:
            self.tally.overruns += 1
        if not self._braking:
            self._brake(self._reason_to_brake(now, interval))
        self._take_order(now)
        if self._safe is None or self._filter is None:
            return
        target = None if self._braking or self._holding else self._interpolator.target(now)
        self._safe, self._command, reasons = self._filter.step(
            self._safe, target, self._dt, self._others(now), now=now
        )
        # while the arm comes to rest as ordered, no target is missing
        self.tally.count([reason for reason in reasons if reason is not Reason.STALE or not self._holding])
        self._send(self._command, now)
        if self.mode is not Mode.SERVO:
            return
        if self._holding and not self._moving:
            self._stand_where_commanded(now)
        if self._moving or not self._interpolator.done(now):
            self._busy = now
        if not self._moving:
            self._at_rest(now)

    def _send(self, command: Command, now: float) -> None:
        if self._moving:
            self.tally.last_motion = now
        try:
            self.arm.servo(command)
        except ArmError as error:
            self._fail(error)
            return
        if self._given:
            self.tally.order_delay, self._given = now - self._given, 0.0
        if not self._braking and not self._going_home:
            self._end_effector.move(command.gripper)

    def _reason_to_brake(self, now: float, interval: float) -> Cause:
        if self.latch.latched:
            return Cause.STOP
        if self._end_effector.error:
            self.tally.text = self._end_effector.error
            return Cause.FAULT
        if interval > self._settings.suspended_after:
            return Cause.SUSPENDED
        if self._distance() > self._settings.tracking_error:
            self.tally.text = self._not_following()
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
            self.tally.drop(self._seen, self._braking)
            return
        if not self._interpolator.done(now) and order.plan is None:
            self.tally.drop(self.tally.order, Cause.HOLD)
        self.tally.order, self._given = self._seen, order.given
        if order.plan is None:
            self._hold(now)
            return
        if self._holding:
            self._stand_where_commanded(now)
        try:
            self.tally.late += self._interpolator.post(order.plan, now)
        except InterpolationError as error:
            self.tally.text = f"{self.arm.name}: invalid plan: {error}"
            self._brake(Cause.FAULT)

    def _hold(self, now: float) -> None:
        """Drop the plan and come to rest from the last command, not from the plan, which may be far ahead of it."""
        self._interpolator.hold(now)
        self._holding = True

    def _stand_where_commanded(self, now: float) -> None:
        """The hold is over: the interpolator continues at the last command."""
        if self._command is not None:
            command = self._command
            self._interpolator.reset(command.position, command.quaternion, command.gripper, now)
        self._holding = False

    def _brake(self, cause: Cause) -> None:
        """Decelerate within the limits, whatever the plan; `Cause.NONE` does nothing."""
        if cause is Cause.NONE:
            return
        held_up = cause is Cause.SUSPENDED
        if held_up or not self._interpolator.done(self._ticked):
            self.tally.drop(self.tally.order, cause)
        if held_up and self._measured is not None:
            # the arm's own controller has stopped it, so the motion ends where it is
            self._start_from(self._measured, self._ticked)
        self._interpolator.hold(self._ticked)
        self._braking, self.tally.cause, self._going_home, self._holding = cause, cause, False, False

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

    def _homing(self, now: float, interval: float) -> None:
        homeward = self._homeward
        if homeward is None:
            return
        if self._command is None:
            self._heard = self._busy = now  # the time to get ready is not a missed heartbeat
        if not self._braking:
            orders = self._refuse_orders()
            self._brake_on_the_way(
                self._reason_to_brake(now, interval) or (Cause.HOLD if orders else Cause.NONE)
            )
        if self._braking is Cause.SUSPENDED:
            # the arm's own controller has stopped it
            self._end_homing()
            return
        joints, self._command, reasons = homeward.step(
            self._others(now), brake=bool(self._braking), gripper=self._end_effector.opening, now=now
        )
        self.tally.count(reasons)
        if not homeward.standing:
            self.tally.last_motion = self._busy = now
        try:
            self.arm.servo_joints(joints)
        except ArmError as error:
            self._fail(error)
            return
        if homeward.standing:
            self._at_rest_on_the_way(homeward, now)

    def _brake_on_the_way(self, cause: Cause) -> None:
        """Decelerate along the path; `Cause.NONE` does nothing."""
        if cause is not Cause.NONE:
            self._braking = self.tally.cause = cause

    def _at_rest_on_the_way(self, homeward: Homeward, now: float) -> None:
        if self._braking:
            self._end_homing()
        elif homeward.arrived:
            self._look_whether_it_is_home(now)
        elif now - self._busy > _WAITING:
            self.tally.text = (
                f"{self.arm.name}: the other arm blocks its path home. Move one of them, then continue."
            )
            self._brake_on_the_way(Cause.FAULT)

    def _look_whether_it_is_home(self, now: float) -> None:
        away = math.inf if self._measured is None else self._settings.away_from_home(self._measured.joints)
        if away <= self._settings.home_within:
            self.tally.homings += 1
            self._end_homing()
        elif now - self._busy > _ARRIVING:
            self._fail(
                ArmError(
                    f"{self.arm.name}: it stopped {away:.3f} rad short of home. Check what holds it back (its load, an "
                    "obstacle), then continue."
                )
            )

    # --- what moves and what does not -----------------------------------------------------------------------------

    @property
    def _moving(self) -> bool:
        if self.mode is Mode.HOMING and not self._braking:
            return True
        command = self._command
        if self.standing or command is None:
            return False
        return _length(command.velocity) > _REST_SPEED or _length(command.angular_velocity) > _REST_TURN

    def _start_from(self, state: ArmState, now: float) -> None:
        """Reset interpolator and filter to rest at the arm's current pose."""
        opening = self._end_effector.opening
        self._interpolator.reset(state.position, state.quaternion, opening, now)
        self._safe = SafetyState.at_rest(state.position, state.quaternion, opening)
        self._measured = state
        self._command = None
        self._braking, self._going_home, self._holding, self.tally.order = Cause.NONE, False, False, 0

    def _begin_home(self) -> None:
        """Start homing from rest. Raises ArmError, with nothing started."""
        self._going_home = False
        self._settings.limits(self.arm.name)
        here = self.arm.state()
        home = np.array(self._settings.home)
        way = plan_home(
            self._way, home, joints=here.joints, position=here.position, quaternion=here.quaternion
        )
        self.arm.begin_servo_joints()
        self._homeward = Homeward(way, self._settings.safety, self._dt)
        self._measured, self._command, self._braking = here, None, Cause.NONE
        self._ticked = 0.0
        self.mode, self.tally.cause = Mode.HOMING, Cause.NONE

    def _end_homing(self) -> None:
        stopped = bool(self._braking)
        self._homeward = None
        self.arm.stop()
        self.mode = Mode.FAULT if self._braking is Cause.FAULT else Mode.PARKED
        self._braking = Cause.NONE
        if stopped:
            self._end_effector.forget()

    def _open_for_home(self) -> None:
        if self._settings.home_opening is not None:
            self._end_effector.move(self._settings.home_opening)

    def _park(self, mode: Mode) -> None:
        self.arm.stop()
        self.mode, self._braking = mode, Cause.NONE
        self._end_effector.forget()

    def _fail(self, error: CellError) -> None:
        """A device has failed: issue the vendor's stop at once, and nothing more before `recover`."""
        if self.mode is Mode.FAULT:
            return
        _log.error("%s", error)
        self.arm.stop()
        self.tally.drop(max(self.tally.order, self._seen), Cause.FAULT)
        self.mode, self.tally.text, self.tally.cause = Mode.FAULT, str(error), Cause.FAULT
        self._braking, self._going_home, self._homeward = Cause.NONE, False, None
        self._end_effector.forget()

    def _refuse_orders(self) -> bool:
        """Drop orders that arrive while the arm follows none; returns whether there was one."""
        count = self._orders.count
        if count <= self._seen:
            return False
        self._seen = self.tally.dropped = count
        return True

    # --- what is known --------------------------------------------------------------------------------------------

    def _others(self, now: float) -> list[Sphere]:
        return [sphere for neighbour in self._neighbours for sphere in neighbour.spheres(now)]

    def _silence(self, now: float) -> float:
        """s since the planning loop's last heartbeat or request."""
        return now - max(self._heartbeat.last, self._heard)

    def _distance(self) -> float:
        """m between the measured and the commanded position."""
        if self._command is None or self._measured is None:
            return 0.0
        # while homing, the tool's position comes from the maker's nominal kinematics
        slack = FORETOLD if self.mode is Mode.HOMING else 0.0
        return max(0.0, _length(self._command.position - self._measured.position) - slack)

    def _not_following(self) -> str:
        return (
            f"{self.arm.name}: it is {100 * self._distance():.0f} cm from its commanded position. Check what holds it "
            "back, and whether its emergency stop is pressed, then continue."
        )

    def publish(self, now: float, interval: float = 0.0) -> None:
        """Report the current state."""
        report = self.tally.report(
            time=now,
            interval=interval,
            mode=self.state,
            moving=self._moving,
            measured=self._measured,
            command=self._command,
            opening=self._end_effector.measured,
        )
        self._reports.post(report.encode())


def _length(vector: Vector) -> float:
    return math.sqrt(float(vector @ vector))
