"""Grippers in the tool plug of an emulated xArm, with the vendor's SDK in the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hardware.arms.xarm_errors import ToolLinkError
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.grippers.robotiq_rs485 import RobotiqRS485Settings
from hardware.grippers.ufactory import UfactoryGripperSettings
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import needs_sdk, settings, stream, wait_until

pytestmark = [pytest.mark.realtime, needs_sdk]

_MILLIMETRE = 1e-3


@pytest.fixture(scope="module")
def emulator() -> Iterator[XArmEmulator]:
    with XArmEmulator(tool="robotiq") as running:
        yield running


@pytest.fixture(scope="module")
def robotiq(emulator: XArmEmulator) -> Iterator[Gripper]:
    gripper = RobotiqRS485Settings().build(settings(emulator))
    gripper.connect()
    yield gripper
    gripper.close()


@pytest.fixture(scope="module")
def other_emulator() -> Iterator[XArmEmulator]:
    with XArmEmulator(tool="ufactory") as running:
        yield running


@pytest.fixture
def ufactory(other_emulator: XArmEmulator) -> Iterator[Gripper]:
    gripper = UfactoryGripperSettings(speed=5000).build(settings(other_emulator))
    gripper.connect()
    yield gripper
    gripper.close()


def _settled(gripper: Gripper, reached: Callable[[GripperState], bool]) -> GripperState:
    wait_until(lambda: reached(gripper.state()))
    return gripper.state()


def _at_rest(state: GripperState) -> bool:
    return state.grasp is not Grasp.MOVING


@pytest.mark.parametrize("width", [0.0, 0.04, 0.085])
def test_robotiq_goes_to_a_width_in_metres(robotiq: Gripper, width: float) -> None:
    robotiq.move(width)
    state = _settled(robotiq, lambda state: abs(state.width - width) < _MILLIMETRE and _at_rest(state))
    assert state.grasp is Grasp.NOTHING
    assert state.fault == ""


def test_robotiq_feels_an_object_between_its_fingers(robotiq: Gripper, emulator: XArmEmulator) -> None:
    robotiq.move(0.085)
    _settled(robotiq, lambda state: state.width > 0.084)
    emulator.order("obstacle", position=120.0)
    robotiq.move(0.0)
    state = _settled(robotiq, _at_rest)
    emulator.order("obstacle", position=None)
    assert state.grasp is Grasp.OBJECT
    assert state.width == pytest.approx(0.041, abs=2 * _MILLIMETRE)


def test_connecting_to_an_active_robotiq_does_not_open_it(robotiq: Gripper, emulator: XArmEmulator) -> None:
    robotiq.move(0.02)
    _settled(robotiq, lambda state: abs(state.width - 0.02) < _MILLIMETRE)
    second = RobotiqRS485Settings().build(settings(emulator))
    before = emulator.truth()["activations"]
    second.connect()
    try:
        assert second.state().width == pytest.approx(0.02, abs=_MILLIMETRE)
        assert emulator.truth()["activations"] == before, "activating would have dropped what it holds"
    finally:
        second.close()


def test_a_robotiq_fault_has_the_vendors_meaning_and_recovering_activates(
    robotiq: Gripper, emulator: XArmEmulator
) -> None:
    emulator.order("tool_fault", code=0x0E)
    assert "overcurrent" in robotiq.state().fault
    assert "recover" in robotiq.state().fault
    before = emulator.truth()["activations"]
    robotiq.recover()
    assert robotiq.state().fault == ""
    assert emulator.truth()["activations"] == before + 1


def test_a_lost_gripper_stops_the_arm_and_both_are_recovered(
    robotiq: Gripper, emulator: XArmEmulator
) -> None:
    arm = settings(emulator).build()
    arm.connect()
    try:
        arm.begin_servo()
        emulator.order("unplug_tool")
        with pytest.raises(GripperError, match="Check its plug"):
            robotiq.state()
        with pytest.raises(ToolLinkError, match="C19"):
            stream(arm, 0.5)
        emulator.order("plug_tool")
        robotiq.recover()
        arm.recover()
        arm.begin_servo()
        stream(arm, 0.1)
        assert robotiq.state().fault == ""
    finally:
        arm.close()
        emulator.order("reset")


@pytest.mark.slow
def test_a_silent_arm_is_told_from_a_lost_gripper(robotiq: Gripper, emulator: XArmEmulator) -> None:
    emulator.order("silence", on=True)
    try:
        with pytest.raises(GripperError, match="network cable"):
            robotiq.state()
    finally:
        emulator.order("silence", on=False)
    robotiq.recover()
    assert robotiq.state().fault == ""


@pytest.mark.slow
def test_a_slow_gripper_does_not_hold_up_the_servo_stream(robotiq: Gripper, emulator: XArmEmulator) -> None:
    arm = settings(emulator).build()
    arm.connect()
    leaving = threading.Event()

    def ask() -> None:
        while not leaving.is_set():
            robotiq.state()

    asking = threading.Thread(target=ask)
    try:
        arm.begin_servo()
        emulator.order("slow_tool", seconds=0.2)
        emulator.order("forget")
        asking.start()
        stream(arm, 1.5, hz=100.0, offset=lambda t: np.array([0.02 * np.sin(3 * t), 0.0, 0.0]))
        intervals = np.diff(emulator.order("servo_times"))
        beside = emulator.truth()["servo_beside_bus"]
    finally:
        leaving.set()
        asking.join()
        arm.close()
        emulator.order("reset")
    # On one connection no pose could pass while the gripper is waited for, and every gap would be 0.2 s.
    assert beside > 20
    assert np.median(intervals) < 0.1


@pytest.mark.parametrize("width", [0.0, 0.03, 0.084])
def test_ufactory_goes_to_a_width_in_metres(ufactory: Gripper, width: float) -> None:
    ufactory.move(width)
    state = _settled(ufactory, lambda state: abs(state.width - width) < _MILLIMETRE and _at_rest(state))
    assert (state.grasp, state.fault) == (Grasp.NOTHING, "")


def test_ufactory_feels_an_object(ufactory: Gripper, other_emulator: XArmEmulator) -> None:
    ufactory.move(0.084)
    _settled(ufactory, lambda state: state.width > 0.083)
    other_emulator.order("obstacle", position=300.0)
    ufactory.move(0.0)
    state = _settled(ufactory, _at_rest)
    other_emulator.order("obstacle", position=None)
    assert state.grasp is Grasp.OBJECT
    assert state.width == pytest.approx(0.0296, abs=_MILLIMETRE)


def test_an_old_ufactory_gripper_is_taken_to_hold_what_it_stands_still_on(
    other_emulator: XArmEmulator,
) -> None:
    other_emulator.order("tool_register", address=0x0802, value=3)
    gripper = UfactoryGripperSettings(speed=5000).build(settings(other_emulator))
    gripper.connect()
    try:
        gripper.move(0.084)
        _settled(gripper, lambda state: state.width > 0.083 and state.grasp is Grasp.NOTHING)
        other_emulator.order("obstacle", position=300.0)
        gripper.move(0.0)
        assert gripper.state().grasp is Grasp.MOVING
        assert _settled(gripper, _at_rest).grasp is Grasp.OBJECT
    finally:
        gripper.close()
        other_emulator.order("obstacle", position=None)
        other_emulator.order("tool_register", address=0x0802, value=4)


def test_a_ufactory_fault_has_the_vendors_text_and_is_cleared_on_request(
    ufactory: Gripper, other_emulator: XArmEmulator
) -> None:
    other_emulator.order("tool_fault", code=11)
    fault = ufactory.state().fault
    assert "Gripper Current Overlimit (code G11)" in fault
    assert "recover" in fault
    with pytest.raises(GripperError, match="G11"):
        UfactoryGripperSettings().build(settings(other_emulator)).connect()
    ufactory.recover()
    assert ufactory.state().fault == ""


@pytest.mark.slow
def test_the_wrong_gripper_in_the_task_file_is_found_at_once(other_emulator: XArmEmulator) -> None:
    gripper = RobotiqRS485Settings().build(settings(other_emulator))
    with pytest.raises(GripperError, match="names the gripper that is mounted"):
        gripper.connect()
    other_emulator.order("reset")
