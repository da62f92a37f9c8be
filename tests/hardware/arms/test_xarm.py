"""The xArm's driver, with the vendor's SDK in the loop, against an emulated arm in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hardware.arms import xarm_errors, xarm_limits, xarm_sdk
from hardware.arms.interface import ArmError, ArmFaultError, ArmLinkError
from hardware.arms.xarm import XArm
from hardware.plan import JointCommand
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import HOME, command, needs_sdk, settings, stream, wait_until

pytestmark = [pytest.mark.realtime, needs_sdk]

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def emulator() -> Iterator[XArmEmulator]:
    with XArmEmulator(axes=6) as running:
        yield running


@pytest.fixture(scope="module")
def connected(emulator: XArmEmulator) -> Iterator[XArm]:
    arm = settings(emulator).build()
    arm.connect()
    yield arm
    arm.close()


@pytest.fixture
def arm(connected: XArm, emulator: XArmEmulator) -> Iterator[XArm]:
    emulator.order("reset")
    mended = time.monotonic()
    wait_until(lambda: connected.state().time > mended)
    yield connected
    connected.stop()
    emulator.order("reset")
    try:
        healthy = connected.state().fault is None
    except ArmLinkError:
        healthy = False
    if not healthy:
        connected.recover()


def _standing(emulator: XArmEmulator) -> bool:
    return not emulator.truth()["turning"]


def _turn(arm: XArm, seconds: float, *, rate: float = 0.3, hz: float = 200.0) -> None:
    """Stream postures in which the first joint turns at a steady rate, rad/s."""
    start = arm.state().joints
    begin = time.monotonic()
    for tick in range(round(seconds * hz)):
        joints = start.copy()
        joints[0] += rate * (tick + 1) / hz
        arm.servo_joints(JointCommand(time=time.monotonic(), joints=joints, rates=np.zeros_like(joints)))
        time.sleep(max(0.0, begin + (tick + 1) / hz - time.monotonic()))


def _hold(arm: XArm, posture: JointCommand) -> None:
    for _ in range(20):
        arm.servo_joints(posture)
        time.sleep(0.01)


def _on_its_way(arm: XArm, emulator: XArmEmulator) -> None:
    arm.begin_servo_joints()
    _turn(arm, 0.3)
    assert not _standing(emulator)


def test_connecting_says_who_answers_and_moves_nothing(emulator: XArmEmulator) -> None:
    before = emulator.truth()["joints"]
    arm = settings(emulator).build()
    try:
        identity = arm.connect()
        state = arm.state()
    finally:
        arm.close()
    assert (identity.model, identity.joints, identity.firmware) == ("xArm6", 6, "2.5.0")
    assert identity.serial.startswith("XI")
    assert emulator.truth()["joints"] == before
    np.testing.assert_allclose(state.joints, before, atol=1e-4)


def test_the_limits_of_the_task_file_are_on_the_arm_and_read_back(arm: XArm, emulator: XArmEmulator) -> None:
    assert all(check.ok and not check.remedy for check in arm.limits())
    kept = emulator.truth()["limits"]
    assert kept["boundary"] == [700, 100, 400, -400, 600, 20]
    assert kept["fence"] == 1
    assert kept["collision_sensitivity"] == 3
    assert kept["self_collision"] == 1
    assert kept["tool_model"] == 4
    assert kept["load"] == pytest.approx([0.93, 0, 0, 60], abs=1e-4)
    assert kept["tcp_offset"] == pytest.approx([0, 0, 170, 0, 0, 0], abs=1e-4)


def test_a_limit_that_is_not_set_is_named_with_the_line_to_write(emulator: XArmEmulator) -> None:
    arm = settings(emulator, boundary_upper=None, load_mass=None, tcp_position=None).build()
    try:
        arm.connect()
        missing = {check.name: check.remedy for check in arm.limits() if not check.ok}
    finally:
        arm.close()
    assert set(missing) == {"boundary", "load", "tool centre point"}
    assert "boundary_lower and boundary_upper" in missing["boundary"]
    assert "load_mass" in missing["load"]


def test_a_speed_that_the_arm_shall_keep_is_on_it_and_one_that_it_does_not_keep_is_told(
    emulator: XArmEmulator,
) -> None:
    arm = settings(emulator, reduced_tcp_speed=0.2).build()
    try:
        arm.connect()
        assert "0.2 m/s, kept" in {check.detail for check in arm.limits() if check.ok}
    finally:
        arm.close()
    found = xarm_limits.read(emulator.address, emulator.control_port)
    assert found is not None
    wrong = [c for c in xarm_limits.checks(settings(emulator, reduced_tcp_speed=0.1), found) if not c.ok]
    assert ["reduced_tcp_speed = 0.1" in check.remedy for check in wrong] == [True]


def test_streamed_poses_are_followed_and_reported(arm: XArm, emulator: XArmEmulator) -> None:
    arm.begin_servo()
    start = arm.state()
    tilt = Rotation.from_rotvec([0.0, 0.15, 0.1])
    goal, turned = (
        start.position + np.array([0.03, -0.04, 0.02]),
        (tilt * Rotation.from_quat(start.quaternion)),
    )
    for step in np.linspace(0.0, 1.0, 150):
        between = Rotation.from_rotvec(tilt.as_rotvec() * step) * Rotation.from_quat(start.quaternion)
        arm.servo(command(start.position + step * (goal - start.position), between.as_quat()))
        time.sleep(0.005)
    wait_until(lambda: _standing(emulator) and time.monotonic() - arm.state().time < 0.02)
    wait_until(lambda: float(np.abs(arm.state().position - goal).max()) < 2e-4)
    end = arm.state()
    assert (Rotation.from_quat(end.quaternion) * turned.inv()).magnitude() < 2e-3
    np.testing.assert_allclose(end.joints, emulator.truth()["joints"], atol=1e-4)


def test_a_hundred_poses_a_second_reach_the_arm(arm: XArm, emulator: XArmEmulator) -> None:
    arm.begin_servo()
    start = arm.state()
    emulator.order("forget")
    took = []
    for tick in range(150):
        pose = command(start.position + np.array([0.0, 2e-4 * tick, 0.0]), start.quaternion)
        since = time.monotonic()
        arm.servo(pose)
        took.append(time.monotonic() - since)
        time.sleep(0.002)
    assert len(emulator.order("servo_times")) == 150
    assert np.percentile(took, 5) < 0.008, (
        "the quickest show what the line can do, whatever else the machine does"
    )


def test_streamed_postures_are_followed_in_the_mode_of_streamed_poses(
    arm: XArm, emulator: XArmEmulator
) -> None:
    arm.begin_servo()
    stream(arm, 0.2)
    before = emulator.truth()
    arm.begin_servo_joints()
    _turn(arm, 0.5)
    wait_until(lambda: _standing(emulator))
    after = emulator.truth()
    assert after["mode"] == before["mode"] == 1
    turned = np.subtract(after["joints"], before["joints"])
    np.testing.assert_allclose(turned, [0.15, 0.0, 0.0, 0.0, 0.0, 0.0], atol=0.01)


def test_an_arm_whose_postures_cease_stands_at_the_last_one(arm: XArm, emulator: XArmEmulator) -> None:
    _on_its_way(arm, emulator)
    wait_until(lambda: _standing(emulator))
    truth = emulator.truth()
    assert truth["came_to_rest"] - truth["last_motion_command"] < 0.3


def test_a_posture_beyond_the_boundary_and_one_that_is_too_far_away_are_faults(
    arm: XArm, emulator: XArmEmulator
) -> None:
    far = np.array(HOME[6])
    for joint, step, words in ((0, 0.19, "C60"), (1, 0.8, "C35")):
        arm.begin_servo_joints()
        joints = far.copy()
        joints[joint] += step
        posture = JointCommand(time=time.monotonic(), joints=joints, rates=np.zeros_like(joints))
        with pytest.raises(ArmFaultError, match=words):
            _hold(arm, posture)
        arm.recover()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (31, xarm_errors.CollisionFoundError, "Collision Caused Abnormal Current"),
        (13, xarm_errors.JointFaultError, "Servo motor 3 error"),
        (27, xarm_errors.ControllerFaultError, "Command Reply Error"),
    ],
)
def test_an_error_in_the_middle_of_a_stream_has_a_name_a_text_and_a_remedy(
    arm: XArm, emulator: XArmEmulator, code: int, kind: type[ArmFaultError], words: str
) -> None:
    arm.begin_servo()
    stream(arm, 0.1, offset=lambda t: np.array([0.1 * t, 0.0, 0.0]))
    emulator.order("fail", code=code)
    with pytest.raises(kind, match=rf"{words} \(code C{code}\).*recover") as caught:
        stream(arm, 0.5)
    assert caught.value.fault.arm == "left"
    wait_until(lambda: _standing(emulator))
    assert arm.state().fault == caught.value.fault
    with pytest.raises(kind):
        arm.begin_servo()
    assert emulator.truth()["error"] == code, "nothing but the operator clears an error"
    arm.recover()
    assert arm.state().fault is None
    arm.begin_servo()
    stream(arm, 0.1)


def test_the_arms_own_boundary_stops_what_gets_past_ours(arm: XArm) -> None:
    arm.begin_servo()
    with pytest.raises(xarm_errors.BoundaryReachedError, match="C35"):
        stream(arm, 3.0, offset=lambda t: np.array([0.0, 0.0, -0.15 * t]))


def test_a_leap_is_refused_by_the_arm_and_named(arm: XArm) -> None:
    arm.begin_servo()
    with pytest.raises(xarm_errors.MotionRefusedError, match="C24"):
        stream(arm, 0.1, offset=lambda _: np.array([0.0, 0.3, 0.0]))


def test_a_warning_is_no_silence(arm: XArm, emulator: XArmEmulator) -> None:
    arm.begin_servo()
    emulator.order("warn", code=14)
    with pytest.raises(xarm_errors.ControllerWarningError, match=r"no solution.*W14"):
        stream(arm, 0.2)
    arm.recover()
    assert arm.state().fault is None


def test_an_emergency_stop_is_seen_while_the_arm_is_parked(arm: XArm, emulator: XArmEmulator) -> None:
    emulator.order("press_estop")
    wait_until(lambda: arm.state().fault is not None)
    with pytest.raises(xarm_errors.EmergencyStopPressedError, match="red button"):
        arm.begin_servo()
    with pytest.raises(xarm_errors.EmergencyStopPressedError):
        arm.recover()
    emulator.order("release_estop")
    with pytest.raises(xarm_errors.EmergencyStopPressedError):
        arm.begin_servo()
    arm.recover()
    arm.begin_servo()
    stream(arm, 0.1)


def test_an_arm_in_fault_is_connected_and_gets_its_limits_when_it_is_recovered(
    emulator: XArmEmulator,
) -> None:
    emulator.order("press_estop")
    arm = settings(emulator).build()
    try:
        arm.connect()
        fault = arm.state().fault
        assert fault is not None and fault.code == "C1"
        assert [check.ok for check in arm.limits()] == [False]
        emulator.order("release_estop")
        arm.recover()
        assert all(check.ok for check in arm.limits())
    finally:
        arm.close()
        emulator.order("reset")


def test_a_pulled_cable_is_noticed_at_once_and_mended_by_recovering(
    arm: XArm, emulator: XArmEmulator
) -> None:
    arm.begin_servo()
    stream(arm, 0.1, offset=lambda t: np.array([0.2 * t, 0.0, 0.0]))
    emulator.order("unplug")
    since = time.monotonic()
    with pytest.raises(ArmLinkError, match="network cable"):
        stream(arm, 10.0, offset=lambda t: np.array([0.02 * t, 0.0, 0.0]))
    assert time.monotonic() - since < 5.0
    arm.stop()
    assert _standing(emulator)
    with pytest.raises(ArmLinkError):
        arm.state()
    emulator.order("plug")
    arm.recover()
    arm.begin_servo()
    stream(arm, 0.1)


@pytest.mark.slow
def test_a_silent_link_is_noticed_though_the_connection_looks_alive(
    arm: XArm, emulator: XArmEmulator
) -> None:
    arm.begin_servo()
    stream(arm, 0.1)
    emulator.order("silence", on=True)
    since = time.monotonic()
    with pytest.raises(ArmLinkError):
        stream(arm, 10.0)
    assert time.monotonic() - since < 5.0
    with pytest.raises(ArmLinkError):
        arm.state()
    arm.stop()
    emulator.order("silence", on=False)
    arm.recover()
    arm.begin_servo()
    stream(arm, 0.1)


def test_one_late_reply_ends_nothing(arm: XArm, emulator: XArmEmulator) -> None:
    arm.begin_servo()
    stream(arm, 0.1)
    emulator.order("delay", seconds=0.08, count=1)
    stream(arm, 0.5)


def test_stop_ends_a_motion_and_servo_must_be_begun_anew(arm: XArm, emulator: XArmEmulator) -> None:
    _on_its_way(arm, emulator)
    arm.stop()
    wait_until(lambda: _standing(emulator))
    with pytest.raises(ArmError, match="stopped"):
        stream(arm, 0.1)
    arm.begin_servo()
    stream(arm, 0.1)


def test_a_pause_in_the_vendors_app_holds_up_nothing(arm: XArm, emulator: XArmEmulator) -> None:
    arm.begin_servo()
    emulator.order("state", state=3)
    since = time.monotonic()
    with pytest.raises(ArmError, match="another program"):
        stream(arm, 10.0)
    assert time.monotonic() - since < 5.0
    arm.begin_servo()
    stream(arm, 0.1)


def test_another_model_than_the_task_file_says_is_refused(emulator: XArmEmulator) -> None:
    arm = settings(emulator, joints=7, home=HOME[7]).build()
    with pytest.raises(ArmError, match="has 6 joints, the task file says 7"):
        arm.connect()


def test_an_address_where_nothing_answers_is_named(emulator: XArmEmulator) -> None:
    arm = settings(emulator, control_port=9).build()
    with pytest.raises(ArmLinkError, match=rf"left: no xArm answers at {emulator.address}, port 9"):
        arm.connect()


def test_a_box_that_accepts_and_stays_silent_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xarm_sdk, "_CONNECT_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute, XArmEmulator() as other:
        arm = settings(other, address="127.0.0.1", control_port=mute.getsockname()[1]).build()
        since = time.monotonic()
        with pytest.raises(ArmLinkError, match="said nothing"):
            arm.connect()
        assert time.monotonic() - since < 20.0


@pytest.mark.slow
def test_two_arms_at_once_do_not_mix() -> None:
    with XArmEmulator(axes=6) as first, XArmEmulator(axes=7) as second:
        left, right = settings(first).build(), settings(second, name="right").build()
        try:
            left.connect()
            right.connect()
            for arm in (left, right):
                arm.begin_servo()
            for tick in range(100):
                for arm in (left, right):
                    state = arm.state()
                    arm.servo(command(state.position, state.quaternion))
                time.sleep(0.002 if tick else 0.0)
            second.order("fail", code=31)
            with pytest.raises(ArmFaultError, match="right: "):
                stream(right, 0.5)
            stream(left, 0.1)
            assert left.state().fault is None
            assert len(right.state().joints) == 7
        finally:
            left.close()
            right.close()


@pytest.mark.slow
def test_the_vendors_package_leaves_the_rest_of_the_process_alone(tmp_path: Path) -> None:
    program = """
import socket, sys
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import settings, stream
with XArmEmulator() as emulator:
    arm = settings(emulator).build()
    arm.connect()
    arm.begin_servo()
    emulator.order("fail", code=31)
    try:
        stream(arm, 0.3)
    except Exception as error:
        pass
    arm.close()
assert socket.getdefaulttimeout() is None
"""
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_unix_socket_of_the_vendors_name_is_not_taken_for_the_arm(emulator: XArmEmulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = Path(f"/tmp/xarmcontroller_uds_{port}")
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(str(path))
        trap.listen()
        try:
            with pytest.raises(ArmLinkError):
                settings(emulator, control_port=port).build().connect()
        finally:
            path.unlink()


@pytest.mark.slow
def test_a_missing_package_is_a_sentence_with_the_line_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name == "xarm" or name.startswith("xarm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "xarm", None)
    with XArmEmulator() as emulator, pytest.raises(ArmError, match="pip install 'station"):
        settings(emulator).build().connect()
