"""The Franka's driver, driven by the real franky against a simulated control box.

The simulation runs slower than the wall on a busy machine, so nothing here waits for a span of time: everything waits
for what it wants to see.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hardware.arms import franka_link
from hardware.arms.franka import FrankaArm, FrankaSettings
from hardware.arms.interface import ArmError, ArmFaultError, ArmLinkError
from hardware.grippers.franka_hand import FrankaHandSettings
from hardware.grippers.interface import GripperError
from hardware.plan import Command, JointCommand, Vector
from tests.emulators.franka import READY, FrankaEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY

pytestmark = pytest.mark.realtime

pytest.importorskip("franky", reason=NEEDS_FRANKY)
pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)

PATIENCE = 90.0
"""s; a busy machine needs some of it, a stuck arm all."""
STILL = 0.02
"""rad/s"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[FrankaEmulator]:
    with FrankaEmulator() as emulator:
        yield emulator


@pytest.fixture
def arm(emulator: FrankaEmulator) -> Iterator[FrankaArm]:
    arm = driver(emulator)
    arm.connect()
    yield arm
    arm.close()


def driver(emulator: FrankaEmulator, **settings: object) -> FrankaArm:
    patient = {"stale_stop": 1.0, "report_age": 0.7}
    content = {"realtime": "ignore", "home": READY, "home_dynamics": 0.3, **patient, **settings}
    return FrankaArm(
        FrankaSettings.model_validate({"name": "left", "address": emulator.addresses[0], **content})
    )


def command(position: Vector, quaternion: Vector, velocity: Vector | None = None) -> Command:
    return Command(
        time=time.monotonic(),
        position=position,
        quaternion=quaternion,
        velocity=np.zeros(3) if velocity is None else velocity,
        angular_velocity=np.zeros(3),
        gripper=1.0,
    )


def hold_until(arm: FrankaArm, goal: Command, reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end, "it never happened"
        arm.servo(goal)
        time.sleep(0.01)


def move_until(arm: FrankaArm, reached: Callable[[], bool]) -> None:
    """A circle of 5 cm at about 0.2 m/s, from where the arm is."""
    start = arm.state()
    began, end = time.monotonic(), time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end, "it never happened"
        angle = 4.0 * (time.monotonic() - began)
        offset = 0.05 * np.array([math.sin(angle), 0.0, math.cos(angle) - 1.0])
        velocity = 0.2 * np.array([math.cos(angle), 0.0, -math.sin(angle)])
        arm.servo(command(start.position + offset, start.quaternion, velocity))
        time.sleep(0.01)


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def speed(emulator: FrankaEmulator) -> float:
    return float(np.max(np.abs(emulator.truth()["speeds"])))


def travelled(emulator: FrankaEmulator, begin: dict[str, list[float]]) -> float:
    return float(np.linalg.norm(np.subtract(emulator.truth()["position"], begin["position"])))


def test_connecting_says_what_answers_and_shows_the_limits(arm: FrankaArm, emulator: FrankaEmulator) -> None:
    state = arm.state()
    assert state.joints == pytest.approx(np.array(emulator.truth()["joints"]), abs=0.02)
    assert state.fault is None
    checks = {check.name: check for check in arm.limits()}
    assert "20 Nm at a joint, 30 N at the hand" in checks["collision thresholds"].detail
    assert all(check.ok for check in checks.values())


def test_the_arm_follows_commands_in_position_and_rotation(arm: FrankaArm) -> None:
    arm.begin_servo()
    start = arm.state()
    turn = np.array([0.0, 0.0, math.sin(0.1), math.cos(0.1)])
    x, y, z, w = start.quaternion
    turned = np.array(
        [
            turn[3] * x - turn[2] * y,
            turn[3] * y + turn[2] * x,
            turn[3] * z + turn[2] * w,
            turn[3] * w - turn[2] * z,
        ]
    )
    goal = command(start.position + np.array([0.05, 0.03, -0.04]), turned)

    def arrived() -> bool:
        state = arm.state()
        off = np.linalg.norm(state.position - goal.position)
        return bool(off < 0.006 and abs(state.quaternion @ goal.quaternion) > math.cos(0.02))

    hold_until(arm, goal, arrived)


def test_a_reflex_while_moving_is_a_fault_in_the_vendors_words_until_the_operator_recovers(
    arm: FrankaArm, emulator: FrankaEmulator
) -> None:
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)
    emulator.order("reflex", errors=["cartesian_reflex"])
    with pytest.raises(ArmFaultError, match=r"aborted by reflex.*cartesian_reflex.*clear its way") as caught:
        move_until(arm, lambda: False)
    assert caught.value.fault.code == "cartesian_reflex"
    fault = arm.state().fault
    assert fault is not None and fault.code == "cartesian_reflex"
    with pytest.raises(ArmFaultError):
        arm.begin_servo()
    with pytest.raises(ArmFaultError):
        arm.begin_servo_joints()
    wait_until(lambda: speed(emulator) < STILL)
    arm.recover()
    assert arm.state().fault is None
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)


def test_a_fault_that_cannot_be_cleared_stays_one(arm: FrankaArm, emulator: FrankaEmulator) -> None:
    emulator.order("reflex", errors=["joint_position_limits_violation"], stubborn=True)
    with pytest.raises(ArmFaultError, match=r"manual error recovery required.*Desk"):
        arm.recover()
    with pytest.raises(ArmFaultError, match=r"joint_position_limits_violation.*guiding button"):
        arm.begin_servo()
    emulator.order("reflex", stubborn=False)
    arm.recover()
    assert arm.state().fault is None


def test_the_stop_button_is_a_fault_until_it_is_released(arm: FrankaArm, emulator: FrankaEmulator) -> None:
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)
    emulator.order("press_stop")
    with pytest.raises(ArmFaultError, match=r"User Stop pressed.*release the stop button"):
        move_until(arm, lambda: False)
    with pytest.raises(ArmFaultError, match="release the stop button"):
        arm.recover()
    emulator.order("release_stop")
    arm.recover()
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)


def test_stop_brings_a_moving_arm_to_rest_and_moving_takes_a_new_begin(
    arm: FrankaArm, emulator: FrankaEmulator
) -> None:
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.2)
    begin = emulator.truth()
    arm.stop()
    with pytest.raises(ArmError, match="Begin servo mode first"):
        arm.servo(command(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])))
    wait_until(lambda: emulator.truth()["mode"] == "kIdle" and speed(emulator) < STILL)
    assert travelled(emulator, begin) < 0.04
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)


def test_an_arm_whose_caller_hangs_stops_by_itself(emulator: FrankaEmulator) -> None:
    arm = driver(emulator, stale_stop=0.4)
    arm.connect()
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.2)
    start = emulator.truth()
    wait_until(lambda: emulator.truth()["mode"] == "kIdle" and speed(emulator) < STILL)
    assert emulator.truth()["time"] - start["time"] < 1.0, "s of the robot's own time"
    assert travelled(emulator, start) < 0.1
    with pytest.raises(ArmFaultError, match=r"no command came for .* stopped by itself"):
        arm.servo(command(arm.state().position, arm.state().quaternion))
    with pytest.raises(ArmFaultError, match="no command came"):
        arm.begin_servo()
    arm.recover()
    arm.begin_servo()
    arm.close()


def test_handing_over_to_a_fresh_motion_does_not_jerk_the_arm(
    arm: FrankaArm, emulator: FrankaEmulator
) -> None:
    arm.begin_servo()
    state = arm.state()
    goal = command(state.position, state.quaternion)
    began = emulator.truth()["time"]
    hold_until(arm, goal, lambda: emulator.truth()["time"] > began + 0.5)
    torques: list[list[float]] = []

    def enough() -> bool:
        truth = emulator.truth()
        torques.append(truth["torques"])
        return bool(truth["time"] > began + 1.5)

    hold_until(arm, goal, enough)
    assert np.max(np.ptp(np.array(torques), axis=0)) < 0.2, "Nm"


def posture(joints: Vector, rates: Vector | None = None) -> JointCommand:
    return JointCommand(time=time.monotonic(), joints=joints, rates=np.zeros(7) if rates is None else rates)


def turn_to(arm: FrankaArm, goal: Vector, reached: Callable[[], bool]) -> None:
    """Stream postures from where the arm is, slowly, and the last one until it is there."""
    start, begin = arm.state().joints, time.monotonic()
    end = begin + PATIENCE
    while not reached():
        assert time.monotonic() < end, "it never happened"
        share = min(1.0, (time.monotonic() - begin) / 3.0)
        arm.servo_joints(posture(start + share * (goal - start)))
        time.sleep(0.01)


@pytest.mark.slow
def test_postures_are_followed_from_poses_on_and_the_arm_stops_by_itself_when_they_cease(
    arm: FrankaArm, emulator: FrankaEmulator
) -> None:
    away = np.array(READY) + np.array([0.15, 0.1, 0.0, 0.1, 0.0, 0.0, 0.2])

    def there(goal: Vector) -> bool:
        return bool(np.abs(np.subtract(emulator.truth()["joints"], goal)).max() < 0.02)

    arm.begin_servo()
    arm.servo(command(arm.state().position, arm.state().quaternion))
    arm.begin_servo_joints()
    turn_to(arm, away, lambda: there(away))
    ready = np.array(READY)
    turn_to(arm, ready, lambda: speed(emulator) > 0.05)
    begin = emulator.truth()
    wait_until(lambda: emulator.truth()["time"] > begin["time"] + 1.5)
    assert travelled(emulator, begin) < 0.15 and speed(emulator) < STILL
    with pytest.raises(ArmFaultError, match="no command came"):
        arm.servo_joints(posture(ready))
    arm.recover()
    arm.begin_servo_joints()
    turn_to(arm, ready, lambda: there(ready))


def test_a_control_box_that_falls_silent_is_a_lost_link(emulator: FrankaEmulator) -> None:
    arm = driver(emulator, report_age=0.4)
    arm.connect()
    arm.begin_servo()
    move_until(arm, lambda: True)
    emulator.order("silence")
    began = time.monotonic()
    with pytest.raises(ArmLinkError, match=r"has not reported for 0\.\d+ s"):
        wait_until(lambda: arm.state() is None)
    assert time.monotonic() - began < 10.0
    with pytest.raises(ArmLinkError):
        wait_until(lambda: arm.state() is None)
    emulator.order("silence", on=False)
    arm.stop()
    arm.recover()
    assert arm.state().fault is None
    arm.close()


@pytest.mark.slow
def test_a_dead_control_box_is_a_lost_link_and_recovering_connects_anew(emulator: FrankaEmulator) -> None:
    arm = driver(emulator)
    arm.connect()
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)
    emulator.kill()
    with pytest.raises(ArmLinkError, match=r"lost.*recover, which reconnects"):
        move_until(arm, lambda: False)
    began = time.monotonic()
    with pytest.raises(ArmLinkError):
        arm.state()
    assert time.monotonic() - began < 0.9, (
        "a known loss is not waited for again: a report may be a second old"
    )
    with pytest.raises(ArmLinkError, match="no connection to the control box"):
        arm.recover()
    emulator.start()
    arm.recover()
    arm.begin_servo()
    move_until(arm, lambda: speed(emulator) > 0.1)
    arm.close()


def test_a_killed_driver_leaves_a_still_arm_that_the_next_one_can_take(emulator: FrankaEmulator) -> None:
    script = (
        "import sys, numpy as np\n"
        "from tests.hardware.arms import test_franka as t\n"
        "from tests.emulators.franka import FrankaEmulator\n"
        "emulator = FrankaEmulator()\n"
        "emulator.addresses = [sys.argv[1]]\n"
        "arm = t.driver(emulator)\n"
        "arm.connect()\n"
        "arm.begin_servo()\n"
        "t.move_until(arm, lambda: False)\n"
    )
    root = Path(__file__).resolve().parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", script, emulator.addresses[0]],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
    )
    try:
        wait_until(lambda: speed(emulator) > 0.2)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10.0)
    wait_until(lambda: emulator.truth()["mode"] == "kIdle" and speed(emulator) < STILL)
    arm = driver(emulator)
    arm.connect()
    arm.begin_servo()
    arm.close()


def test_another_server_version_names_the_build_that_speaks_with_it(emulator: FrankaEmulator) -> None:
    emulator.order("pretend_version", version=5)
    with pytest.raises(
        ArmError, match=r"version 5; install .*--extra-index-url .*by-robot-server-version/5/"
    ):
        driver(emulator).connect()
    emulator.order("pretend_version", version=11)
    with pytest.raises(ArmError, match=r"pip install --upgrade franky-control"):
        driver(emulator).connect()
    emulator.order("pretend_version", version=None)


@pytest.mark.skipif(Path("/sys/kernel/realtime").exists(), reason="this kernel is real-time")
def test_a_kernel_without_real_time_is_refused_unless_the_task_says_so(emulator: FrankaEmulator) -> None:
    with pytest.raises(ArmError, match=r"PREEMPT_RT kernel.*realtime = \"ignore\""):
        driver(emulator, realtime="enforce").connect()


def test_no_control_box_is_a_sentence(emulator: FrankaEmulator) -> None:
    with pytest.raises(ArmLinkError, match="activate FCI in Desk"):
        driver(emulator, address="127.254.254.254").connect()


def test_the_1_khz_loop_is_scheduled_as_libfranka_asks_for_it(arm: FrankaArm) -> None:
    def urgent_threads() -> int:
        threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
        return sum(os.sched_getscheduler(thread) == os.SCHED_FIFO for thread in threads)

    before = urgent_threads()
    if not before:
        pytest.skip(
            "this user may not ask for real-time priority (group realtime, /etc/security/limits.conf)"
        )
    arm.begin_servo()
    assert urgent_threads() == before + 1


def test_a_control_box_that_takes_the_connection_and_says_nothing_is_given_up_soon(
    emulator: FrankaEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = driver(emulator)
    hand = FrankaHandSettings(name="hand").build(FrankaSettings(name="left", address=emulator.addresses[0]))
    with monkeypatch.context() as patch:
        patch.setattr(franka_link, "_CONNECTING", 0.2)
        emulator.freeze()
        with pytest.raises(ArmLinkError, match=r"has not answered for 0\.2 s.*activate FCI in Desk"):
            arm.connect()
        with pytest.raises(GripperError, match="has not answered"):
            hand.connect()
    emulator.freeze(on=False)
    # the box serves one connection: those that were given up must not keep it
    arm.connect()
    arm.close()


@pytest.mark.slow
def test_a_missing_franky_is_named_with_its_pip_line(
    emulator: FrankaEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "franky", None)
    with pytest.raises(ArmError, match=r"pip install 'station\[franka\]'"):
        driver(emulator).connect()
