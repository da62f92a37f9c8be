"""A Robotiq 2F-85 on a serial port: the driver against a Modbus server at the other end of a pseudo-terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware.grippers.interface import Grasp, GripperError, GripperState
from hardware.grippers.robotiq_modbus import RobotiqModbus, RobotiqModbusSettings
from hardware.grippers.thread import GripperThread

pytest.importorskip("minimalmodbus", reason="needs: pip install 'station[robotiq]'")
pytest.importorskip("pymodbus", reason="needs: pip install 'station[test]'")

from tests.emulators.robotiq import EmulatedRobotiq  # only where pymodbus is

pytestmark = pytest.mark.realtime


@pytest.fixture
def emulated() -> Iterator[EmulatedRobotiq]:
    with EmulatedRobotiq() as gripper:
        yield gripper


@pytest.fixture
def gripper(emulated: EmulatedRobotiq) -> Iterator[RobotiqModbus]:
    driver = driver_of(emulated)
    driver.connect()
    yield driver
    driver.close()


def driver_of(emulated: EmulatedRobotiq) -> RobotiqModbus:
    # the machine that runs this may be busy; a silent line is still told from a slow one
    return RobotiqModbus(RobotiqModbusSettings(port=emulated.port, timeout=0.5))


def settled(gripper: RobotiqModbus) -> GripperState:
    deadline = time.monotonic() + 20
    while (state := gripper.state()).grasp is Grasp.MOVING:
        assert time.monotonic() < deadline, "the fingers never stop"
    return state


def test_connecting_activates_and_moving_reaches_the_width_in_metres(
    emulated: EmulatedRobotiq, gripper: RobotiqModbus
) -> None:
    assert emulated.hand.activations == 1
    gripper.move(0.040)
    state = settled(gripper)
    assert state.grasp is Grasp.NOTHING and state.fault == ""
    assert state.width == pytest.approx(0.040, abs=0.0005)
    assert 0 <= time.monotonic() - state.time < 5.0


def test_a_width_beyond_the_stroke_is_clipped(gripper: RobotiqModbus) -> None:
    gripper.move(-1.0)
    assert settled(gripper).width == pytest.approx(0.0, abs=0.0005)
    gripper.move(1.0)
    assert settled(gripper).width == pytest.approx(0.085, abs=0.0005)


def test_an_object_between_the_fingers_is_felt_with_its_width(
    emulated: EmulatedRobotiq, gripper: RobotiqModbus
) -> None:
    emulated.hand.object_at = 120
    gripper.move(0.0)
    state = settled(gripper)
    assert state.grasp is Grasp.OBJECT
    assert state.width == pytest.approx(0.085 * (228 - 120) / 225, abs=0.001)


def test_connecting_again_keeps_what_is_held(emulated: EmulatedRobotiq, gripper: RobotiqModbus) -> None:
    emulated.hand.object_at = 120
    gripper.move(0.0)
    settled(gripper)
    gripper.close()
    again = driver_of(emulated)
    again.connect()
    assert again.state().grasp is Grasp.OBJECT
    assert emulated.hand.activations == 1, "activating would have opened the fingers"
    again.close()


def test_a_fault_comes_with_the_vendors_code_and_a_remedy_until_it_is_recovered(
    emulated: EmulatedRobotiq, gripper: RobotiqModbus
) -> None:
    emulated.hand.fault = 0x0E
    assert gripper.state().fault == (
        "Robotiq fault 0x0E: overcurrent. Look for a jam, then recover the gripper."
    )
    gripper.recover()
    assert gripper.state().fault == "" and emulated.hand.activations == 2


def test_fingers_that_are_jammed_end_the_activation_with_a_reason(
    emulated: EmulatedRobotiq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardware.grippers.robotiq._ACTIVATION_TIMEOUT", 0.2)
    emulated.hand.jammed = True
    driver = driver_of(emulated)
    with pytest.raises(GripperError, match=r"did not activate within 0\.2 s\. Free the fingers"):
        driver.connect()


def test_one_garbled_answer_is_asked_for_again(emulated: EmulatedRobotiq, gripper: RobotiqModbus) -> None:
    emulated.garbled = 1
    assert gripper.state().fault == ""
    emulated.garbled = 2
    with pytest.raises(GripperError, match="is lost"):
        gripper.state()
    assert gripper.state().fault == "", "and the line is usable again"


def test_a_silent_line_is_a_lost_link_within_its_time_out(
    emulated: EmulatedRobotiq, gripper: RobotiqModbus
) -> None:
    emulated.silent = True
    begun = time.monotonic()
    with pytest.raises(
        GripperError, match=r"the link over /dev/.* is lost .*24 V supply.*recover the gripper"
    ):
        gripper.move(0.01)
    assert time.monotonic() - begun < 5.0
    emulated.silent = False
    gripper.recover()
    assert gripper.state().fault == ""
    assert emulated.hand.activations == 1, "what it held it still holds"


def test_a_pulled_adapter_is_a_lost_link_and_not_a_traceback(
    emulated: EmulatedRobotiq, gripper: RobotiqModbus
) -> None:
    emulated.pull()
    with pytest.raises(GripperError, match="is lost"):
        gripper.state()
    with pytest.raises(GripperError, match=r"there is no|does not open|is lost"):
        gripper.recover()


def test_nobody_at_the_address_is_said_at_connecting(emulated: EmulatedRobotiq) -> None:
    driver = RobotiqModbus(RobotiqModbusSettings(port=emulated.port, address=5, timeout=0.1))
    with pytest.raises(GripperError, match="is lost"):
        driver.connect()


@pytest.mark.parametrize("use", [RobotiqModbus.state, RobotiqModbus.recover, RobotiqModbus.connect])
def test_a_port_that_is_not_there_is_named_and_so_are_those_that_are(
    use: Callable[[RobotiqModbus], object], tmp_path: Path
) -> None:
    driver = RobotiqModbus(RobotiqModbusSettings(port=str(tmp_path / "ttyUSB9")))
    with pytest.raises(GripperError, match=r"not connected|there is no .*ttyUSB9. Serial adapters here: "):
        use(driver)


def test_two_programs_cannot_drive_one_gripper(emulated: EmulatedRobotiq, gripper: RobotiqModbus) -> None:
    with pytest.raises(GripperError, match="Close other programs that use it"):
        driver_of(emulated).connect()


def test_a_missing_package_is_a_sentence_with_the_line_that_installs_it(
    emulated: EmulatedRobotiq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minimalmodbus", None)
    with pytest.raises(GripperError, match=r"pip install 'station\[robotiq\]'"):
        driver_of(emulated).connect()


def test_in_its_thread_a_lost_link_is_reported_and_recovered(emulated: EmulatedRobotiq) -> None:
    thread = GripperThread(driver_of(emulated))
    assert "Robotiq 2F-85, address 9" in thread.connect()
    thread.move(0.0)
    deadline = time.monotonic() + 30
    while thread.opening > 0.02:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    emulated.silent = True
    while not thread.error:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "is lost" in thread.error
    emulated.silent = False
    thread.recover()
    assert thread.error == ""
    thread.close()
