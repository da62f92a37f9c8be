"""What the controller of an arm does at each tick, driven tick by tick: stop, heartbeat, faults, parking."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hardware.arms.interface import ArmError, ArmFaultError
from hardware.cell import StoppedError
from hardware.clock import slept
from hardware.controller import loop as control_loop
from hardware.controller.controller import Controller
from hardware.controller.loop import ControlLoop
from hardware.controller.settings import ControllerSettings
from hardware.controller.way import WayRules
from hardware.grippers.interface import GripperError
from hardware.grippers.thread import GripperThread
from hardware.latch import StopLatch
from hardware.mailbox import Heartbeat, Mailbox
from hardware.plan import TimedPlan
from hardware.safety.filter import SafetySettings
from hardware.wire import ORDER_SIZE, REPORT_SIZE, Cause, Mode, Order, Report
from tests.hardware.fakes import HOME, FakeArmSettings, FakeGripper, Switch, Switchboard

HZ = 100
DT = 1.0 / HZ
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
SAFETY = SafetySettings.model_validate(
    {
        "workspaces": [{"arm": "left", "lower": [0.2, -0.3, 0.05], "upper": [0.9, 0.3, 0.5]}],
        "velocity": 0.5,
        "acceleration": 2.0,
    }
)


class Bench:
    """A controller, and the loop that makes plans played by a test; time goes as the test says."""

    def __init__(
        self,
        folder: Path,
        *,
        gripper: bool = False,
        width: float = FakeGripper.max_width,
        safety: SafetySettings = SAFETY,
    ) -> None:
        self.board = Switchboard(folder / "board")
        self.latch = StopLatch(folder / "stop.latch")
        self.orders = Mailbox(size=ORDER_SIZE)
        self.reports = Mailbox(size=REPORT_SIZE, slots=4096)
        self.heartbeat = Heartbeat()
        self.alive = True
        self.now = time.monotonic()
        self.fingers = FakeGripper("left gripper", folder / "board", width=width)
        self.gripper = GripperThread(self.fingers) if gripper else None
        settings = FakeArmSettings(name="left", switchboard=folder / "board")
        loop = ControlLoop(
            settings.build(),
            self.gripper,
            ControllerSettings(
                safety=safety,
                hz=HZ,
                park_after=0.5,
                suspended_after=0.1,
                tracking_error=0.1,
                home=HOME,
                home_within=0.01,
                home_opening=1.0,
            ),
            WayRules.of(settings, safety),
            orders=self.orders,
            reports=self.reports,
            heartbeat=self.heartbeat,
            latch=self.latch,
        )
        self.controller = Controller(loop)
        self.controller.connect()

    def run(self, seconds: float) -> list[Report]:
        """Tick by tick; the reports."""
        first = self.reports.count + 1
        for _ in range(round(seconds * HZ)):
            self.now += DT
            if self.alive:
                self.heartbeat.beat(self.now)
            self.controller.tick(self.now)
        read = (self.reports.read(number) for number in range(first, self.reports.count + 1))
        return [Report.decode(data) for data in read if data]

    def follow(self, steps: int = 20, step: float = 0.02, spacing: float = 0.1, opening: float = 1.0) -> int:
        """Order a straight way from where the arm is."""
        self.controller.follow(self.now)
        start = self.controller.arm.state().position
        count = np.arange(1, steps + 1, dtype=np.float64)
        plan = TimedPlan(
            time=self.now + spacing * count,
            position=start + np.outer(step * count, [1.0, 0.0, 0.0]),
            quaternion=np.tile(DOWN, (steps, 1)),
            gripper=np.full(steps, opening),
        )
        return self.orders.post(Order(plan=plan, given=self.now).encode())

    @property
    def x(self) -> float:
        return float(self.controller.arm.state().position[0])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.controller.close()


def wait_for(reached: Callable[[], bool]) -> None:
    """The gripper's thread goes by the clock on the wall."""
    deadline = time.monotonic() + 20.0
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def speeds(reports: list[Report]) -> list[float]:
    return [float(np.linalg.norm(report.velocity)) for report in reports]


def test_a_plan_is_followed_and_held_when_it_runs_out(bench: Bench) -> None:
    start = bench.x
    order = bench.follow(steps=5)
    reports = bench.run(0.9)
    assert reports[20].order == order and reports[20].mode is Mode.SERVO
    assert bench.x == pytest.approx(start + 0.1, abs=0.04)
    assert speeds(reports)[-1] == pytest.approx(0.0, abs=1e-3)
    assert reports[-1].dropped == 0


def test_an_arm_is_braked_when_its_latch_is_no_longer_the_one_that_others_find(bench: Bench) -> None:
    bench.follow(steps=40)
    assert bench.run(0.5)[-1].mode is Mode.SERVO
    bench.latch.path.unlink()
    reports = bench.run(1.0)
    assert reports[-1].mode is Mode.PARKED and reports[-1].cause is Cause.STOP
    again = StopLatch(bench.latch.path)
    again.stop()
    with pytest.raises(StoppedError):
        bench.follow()
    again.rearm()
    bench.follow(steps=5)
    assert bench.run(0.3)[-1].mode is Mode.SERVO
    again.stop()
    assert bench.run(1.0)[-1].mode is Mode.PARKED


def test_an_arm_with_nothing_to_do_is_parked_and_follows_again_when_asked(bench: Bench) -> None:
    bench.follow(steps=2)
    assert bench.run(2.0)[-1].mode is Mode.PARKED
    sent = bench.board[Switch.COMMANDS]
    bench.run(0.5)
    assert bench.board[Switch.COMMANDS] == sent
    bench.follow(steps=2)
    assert bench.run(0.2)[-1].mode is Mode.SERVO


def test_a_parked_arm_needs_no_heartbeat(bench: Bench) -> None:
    bench.alive = False
    assert bench.run(2.0)[-1].cause is Cause.NONE


def test_without_a_heartbeat_a_moving_arm_brakes_within_its_limits_and_is_parked(bench: Bench) -> None:
    order = bench.follow(steps=40)
    bench.run(1.0)
    bench.alive = False
    reports = bench.run(1.5)
    moving = [report.time for report in reports if report.moving]
    silent = bench.now - 1.5
    assert 0.3 < moving[-1] - silent < 0.3 + 0.2 / SAFETY.acceleration + 0.25  # type: ignore[operator]
    change = np.abs(np.diff(speeds(reports))) / DT
    assert change.max() < 2.0 * np.sqrt(3.0) + 1e-6
    assert (reports[-1].mode, reports[-1].cause, reports[-1].dropped) == (Mode.PARKED, Cause.HEARTBEAT, order)


def test_a_plan_that_is_posted_late_brings_back_no_motion_after_a_lost_heartbeat(bench: Bench) -> None:
    bench.follow(steps=40)
    bench.run(0.5)
    bench.alive = False
    bench.run(0.35)
    number = bench.orders.post(Order(plan=None, given=bench.now).encode())
    assert bench.run(1.0)[-1].dropped == number


def test_the_latch_brakes_without_anybody_else_and_says_how_long_it_took(bench: Bench) -> None:
    bench.follow(steps=40)
    bench.run(1.0)
    bench.now = time.monotonic()
    bench.controller.tick(bench.now)
    bench.latch.stop()
    reports = bench.run(1.0)
    last = reports[-1]
    assert (last.mode, last.cause, last.moving) == (Mode.PARKED, Cause.STOP, False)
    assert last.stop_since == bench.latch.since
    assert 0.0 < last.last_motion - last.stop_since < 0.5
    assert bench.board[Switch.STOPS] == 1


def test_a_latched_arm_follows_nothing_and_goes_nowhere(bench: Bench) -> None:
    bench.latch.stop()
    with pytest.raises(StoppedError):
        bench.controller.follow(bench.now)
    with pytest.raises(StoppedError):
        bench.controller.home(bench.now)
    sent = bench.board[Switch.COMMANDS]
    bench.run(0.3)
    assert bench.board[Switch.COMMANDS] == sent


def test_a_hold_decelerates_and_keeps_the_arm_ready(bench: Bench) -> None:
    order = bench.follow(steps=40)
    bench.run(0.5)
    bench.orders.post(Order(plan=None, given=bench.now).encode())
    last = bench.run(0.4)[-1]
    assert (last.mode, last.cause, last.dropped, last.moving) == (Mode.SERVO, Cause.HOLD, order, False)


@pytest.mark.parametrize("seed", range(6))
def test_a_hold_stops_the_arm_where_it_is_however_far_or_wild_its_plan(bench: Bench, seed: int) -> None:
    noise = np.random.default_rng(seed)
    bench.controller.follow(bench.now)
    start, steps = bench.controller.arm.state().position, 40
    turns = Rotation.from_rotvec(noise.normal(0.0, 0.1, (steps, 3))) * Rotation.from_quat(DOWN)
    plan = TimedPlan(
        time=bench.now + 0.1 * np.arange(1.0, steps + 1.0),
        position=start + np.array([0.4, 0.0, 0.0]) + noise.normal(0.0, 0.02, (steps, 3)),
        quaternion=turns.as_quat(),
        gripper=np.ones(steps),
    )
    bench.orders.post(Order(plan=plan, given=bench.now).encode())
    before = bench.run(0.3)[-1]
    bench.orders.post(Order(plan=None, given=bench.now).encode())
    after = bench.run(1.0)[-1]
    assert speeds([before])[0] > 0.3 and not after.moving
    assert np.linalg.norm(np.subtract(after.position, before.position)) < 0.15
    turned = Rotation.from_quat(after.quaternion) * Rotation.from_quat(before.quaternion).inv()
    assert turned.magnitude() < 0.2
    assert bench.run(0.5)[-1].position == pytest.approx(after.position, abs=1e-3)


def test_a_plan_that_comes_while_the_arm_is_coming_to_rest_is_followed(bench: Bench) -> None:
    bench.follow(steps=40)
    bench.run(0.5)
    bench.orders.post(Order(plan=None, given=bench.now).encode())
    bench.run(2 * DT)
    start, order = bench.x, bench.follow(steps=5)
    last = bench.run(0.9)[-1]
    assert last.order == order and bench.x == pytest.approx(start + 0.1, abs=0.04)


def test_a_fault_in_the_middle_of_a_plan_stops_the_arm_and_is_told_in_the_vendors_words(bench: Bench) -> None:
    order = bench.follow(steps=40)
    bench.run(0.5)
    bench.board[Switch.FAULT] = 1.0
    last = bench.run(0.1)[-1]
    assert (last.mode, last.cause, last.dropped) == (Mode.FAULT, Cause.FAULT, order)
    assert "Collision caused abnormal current (code C31)" in last.text and "Free the arm." in last.text
    with pytest.raises(ArmError, match=r"^left: not possible now: Collision caused .*C31"):
        bench.controller.follow(bench.now)


def test_a_fault_is_cleared_on_request_only_and_stays_when_the_arm_says_so(bench: Bench) -> None:
    bench.board[Switch.FAULT] = 1.0
    assert bench.run(3.0)[-1].mode is Mode.FAULT
    bench.board[Switch.STUBBORN] = 1.0
    with pytest.raises(ArmFaultError):
        bench.controller.recover()
    bench.board[Switch.STUBBORN] = 0.0
    bench.controller.recover()
    last = bench.run(0.1)[-1]
    assert last.mode is Mode.PARKED and not last.text


def test_a_lost_link_is_a_fault_and_recovery_connects_anew(bench: Bench) -> None:
    bench.follow(steps=40)
    bench.run(0.5)
    bench.board[Switch.LINK] = 1.0
    last = bench.run(0.1)[-1]
    assert last.mode is Mode.FAULT and "Check its cable" in last.text
    bench.board[Switch.LINK] = 0.0
    bench.controller.recover()
    bench.follow(steps=2)
    assert bench.run(0.1)[-1].mode is Mode.SERVO


def test_an_arm_that_does_not_follow_is_stopped(bench: Bench) -> None:
    bench.follow(steps=40, step=0.04)
    bench.run(0.3)
    bench.board[Switch.STUCK] = 1.0
    last = bench.run(1.5)[-1]
    assert last.mode is Mode.FAULT and "from its commanded position" in last.text


def test_a_controller_that_was_held_up_does_not_jump_back_into_its_plan(bench: Bench) -> None:
    order = bench.follow(steps=40)
    bench.run(0.5)
    before = bench.x
    bench.now += 1.0
    reports = bench.run(0.5)
    assert abs(bench.x - before) < 0.005
    assert (reports[-1].cause, reports[-1].dropped) == (Cause.SUSPENDED, order)


def test_a_machine_that_slept_while_the_arm_moved_does_not_go_on_with_the_motion(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.follow(steps=40)
    bench.run(0.5)
    monkeypatch.setattr(control_loop, "slept", lambda: 3600.0 + slept())
    last = bench.run(0.3)[-1]
    assert (last.mode, last.cause) == (Mode.PARKED, Cause.SUSPENDED)
    bench.follow(steps=40)
    assert bench.run(0.3)[-1].mode is Mode.SERVO


def test_on_the_way_home_latch_hold_and_silence_stop_the_arm(bench: Bench) -> None:
    bench.follow(steps=10, step=0.03)
    bench.run(2.0)
    for cause in (Cause.HOLD, Cause.HEARTBEAT, Cause.STOP):
        bench.controller.home(bench.now)
        assert bench.run(0.2)[-1].mode is Mode.HOMING
        match cause:
            case Cause.HOLD:
                bench.orders.post(Order(plan=None, given=bench.now).encode())
            case Cause.HEARTBEAT:
                bench.alive = False
            case _:
                bench.latch.stop()
        last = bench.run(1.0)[-1]
        assert (last.mode, last.cause, last.homings) == (Mode.PARKED, cause, 0)
        bench.alive = True


def test_it_comes_to_rest_before_it_goes_home(bench: Bench) -> None:
    bench.follow(steps=40)
    bench.run(0.5)
    bench.controller.home(bench.now)
    reports = bench.run(1.0)
    homing = next(report for report in reports if report.mode is Mode.HOMING)
    assert speeds([homing])[0] == pytest.approx(0.0, abs=1e-3)


def test_a_first_waypoint_that_comes_too_late_is_counted(bench: Bench) -> None:
    bench.controller.follow(bench.now)
    plan = TimedPlan(
        time=bench.now + 0.1 * np.array([-2.0, -1.0, 1.0, 2.0]),
        position=np.tile(bench.controller.arm.state().position, (4, 1)),
        quaternion=np.tile(DOWN, (4, 1)),
        gripper=np.ones(4),
    )
    bench.orders.post(Order(plan=plan, given=bench.now).encode())
    assert bench.run(0.1)[-1].late == 2


def test_a_gripper_that_is_slow_does_not_hold_up_the_arm(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gripper=True)
    bench.board[Switch.SLOW_GRIPPER] = 60.0
    bench.follow(steps=40)
    begun = time.monotonic()
    bench.run(1.0)
    assert time.monotonic() - begun < 30.0
    bench.board[Switch.SLOW_GRIPPER] = 0.0
    bench.controller.close()


def test_a_gripper_that_is_lost_brakes_the_arm_and_can_be_recovered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gripper=True)
    bench.follow(steps=40)
    bench.run(0.5)
    bench.board[Switch.GRIPPER_LINK] = 1.0
    wait_for(lambda: bench.gripper is not None and bool(bench.gripper.error))
    last = bench.run(0.5)[-1]
    assert last.mode is Mode.FAULT and "gripper: no answer" in last.text
    bench.board[Switch.GRIPPER_LINK] = 0.0
    bench.controller.recover()
    assert bench.run(0.1)[-1].mode is Mode.PARKED
    bench.controller.close()


def test_a_recovery_waits_for_a_gripper_that_was_asked_while_the_link_was_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gripper=True)
    assert bench.gripper is not None
    bench.board[Switch.SLOW_GRIPPER] = 60.0
    wait_for(lambda: bench.fingers.busy)
    bench.board[Switch.FAULT] = bench.board[Switch.GRIPPER_LINK] = 1.0
    assert bench.run(0.1)[-1].mode is Mode.FAULT and not bench.gripper.error
    bench.board[Switch.SLOW_GRIPPER] = 0.5
    with pytest.raises(GripperError, match="no answer"):
        bench.controller.recover()
    bench.board[Switch.GRIPPER_LINK] = 0.0
    bench.controller.recover()
    assert bench.run(0.1)[-1].mode is Mode.PARKED and not bench.gripper.error
    bench.board[Switch.SLOW_GRIPPER] = 0.0
    bench.controller.close()


def test_an_episode_that_closed_the_gripper_does_not_close_it_at_the_start_of_the_next(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, gripper=True)
    bench.follow(steps=3, opening=0.0)
    bench.run(1.0)
    wait_for(lambda: bench.board[Switch.OPENING] == 0.0)
    bench.controller.home(bench.now)
    bench.run(0.1)
    wait_for(lambda: bench.board[Switch.OPENING] == FakeGripper.max_width)
    wait_for(lambda: bench.run(0.5)[-1].mode is Mode.PARKED)
    bench.controller.follow(bench.now)
    assert {report.gripper for report in bench.run(0.2)} == {1.0}
    bench.controller.close()


def test_what_the_fingers_hold_is_not_gripped_anew_when_the_arm_begins_to_hold_its_pose(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, gripper=True, width=0.05)
    bench.board[Switch.OPENING] = -1.0
    bench.controller.follow(bench.now)
    bench.run(0.2)
    assert bench.gripper is not None and bench.gripper.answers() and bench.gripper.answers()
    assert bench.board[Switch.OPENING] == -1.0
    bench.follow(steps=3, opening=0.0)
    bench.run(0.5)
    wait_for(lambda: bench.board[Switch.OPENING] == 0.0)
    bench.controller.close()


def test_without_limits_nothing_moves(tmp_path: Path) -> None:
    bench = Bench(tmp_path, safety=SafetySettings())
    with pytest.raises(ArmError, match="before the limits are set"):
        bench.controller.follow(bench.now)


def test_the_time_that_getting_ready_takes_is_no_gap_in_the_motion(bench: Bench) -> None:
    bench.run(0.1)
    begin = bench.controller.arm.begin_servo

    def slowly() -> None:
        begin()
        bench.now += 0.5

    bench.controller.arm.begin_servo = slowly  # type: ignore[method-assign]
    order = bench.follow(steps=5)
    last = bench.run(0.2)[-1]
    assert (last.mode, last.order, last.dropped) == (Mode.SERVO, order, 0)
