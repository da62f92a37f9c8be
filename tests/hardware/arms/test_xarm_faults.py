"""What breaks while a chunk runs, through the whole cell: engine side, controller process, vendor's SDK, emulated arm.

After each fault the arm stands, the reason is named, and the cell goes on once it is recovered. The emulated arm tells
when it really came to rest; what real firmware does beyond that only real firmware can show.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hardware.cell import CellError, StoppedError
from hardware.robot.cell import RobotCell
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import needs_sdk, wait_until
from tests.hardware.arms.xarm_cell import XArmWorkplace, stands, video, xarm_workplace

pytestmark = [pytest.mark.realtime, needs_sdk]

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XArmWorkplace]:
    with xarm_workplace(tmp_path_factory.mktemp("cell")) as place:
        yield place


@pytest.fixture
def place(workplace: XArmWorkplace) -> XArmWorkplace:
    workplace.emulator.order("mend")
    workplace.go_home()
    workplace.emulator.order("forget")
    workplace.cell.observe()  # whatever ran before, and however long ago: a plan needs a recent look
    return workplace


def _sway(place: XArmWorkplace, seconds: float) -> None:
    """Chunk after chunk, so that the arm is never at rest for long."""
    cell, until = place.cell, time.monotonic() + seconds
    direction = 1.0
    while time.monotonic() < until:
        cell.plan(place.plan(4, step=0.015 * direction))
        direction = -direction
        while cell.advance() is not None:
            pass


def _break(place: XArmWorkplace, *orders: tuple[str, dict[str, object]]) -> str:
    """Move, break something, and give what the cell says."""
    _sway(place, 0.5)
    for name, arguments in orders:
        place.emulator.order(name, **arguments)
    with pytest.raises(CellError) as caught:
        _sway(place, 8.0)
    wait_until(lambda: not place.emulator.truth()["turning"])
    return str(caught.value)


def _goes_on(place: XArmWorkplace) -> None:
    place.cell.recover()
    _sway(place, 0.5)


@pytest.mark.slow
def test_an_arm_error_in_the_middle_of_a_chunk(place: XArmWorkplace) -> None:
    said = _break(place, ("fail", {"code": 31}))
    assert "Collision Caused Abnormal Current (code C31)" in said
    assert place.emulator.truth()["error"] == 31, "nothing is cleared before the operator says so"
    _goes_on(place)


@pytest.mark.slow
def test_an_emergency_stop_that_is_pressed_and_released(place: XArmWorkplace) -> None:
    said = _break(place, ("press_estop", {}))
    assert "Emergency Stop Button" in said and "C1" in said
    with pytest.raises(CellError, match="C1"):
        place.cell.recover()
    place.emulator.order("release_estop")
    _goes_on(place)


@pytest.mark.slow
def test_a_cable_that_is_pulled(place: XArmWorkplace) -> None:
    said = _break(place, ("unplug", {}))
    assert "network cable" in said
    place.emulator.order("plug")
    _goes_on(place)


@pytest.mark.slow
def test_a_link_that_falls_silent(place: XArmWorkplace) -> None:
    said = _break(place, ("silence", {"on": True}))
    assert "network cable" in said
    truth = place.emulator.truth()
    assert truth["came_to_rest"] - truth["last_motion_command"] < 0.3
    place.emulator.order("silence", on=False)
    _goes_on(place)


@pytest.mark.slow
def test_a_gripper_that_is_lost(place: XArmWorkplace) -> None:
    said = _break(place, ("unplug_tool", {}))
    assert "plug" in said
    place.emulator.order("plug_tool")
    _goes_on(place)


def test_the_stop_latch_brakes_within_the_limits_and_without_the_engine(place: XArmWorkplace) -> None:
    place.cell.plan(place.plan(8, step=0.02))
    place.cell.advance()
    place.cell.advance()
    place.latch.stop()
    pressed = time.monotonic()
    wait_until(lambda: not place.emulator.truth()["turning"])
    assert place.emulator.truth()["last_motion_command"] - pressed < 1.0
    with pytest.raises(StoppedError):
        place.cell.advance()


@pytest.mark.slow
def test_a_controller_that_is_killed_leaves_the_arm_standing_at_its_last_target(place: XArmWorkplace) -> None:
    _sway(place, 0.5)
    place.cell.plan(place.plan(8, step=0.02))
    place.cell.advance()
    place.cell.advance()
    pid = place.cell.arm_group.processes["arm"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not place.emulator.truth()["turning"])
    assert place.emulator.truth()["came_to_rest"] - killed < 0.3
    with pytest.raises(CellError):
        _sway(place, 8.0)
    _goes_on(place)


@pytest.mark.slow
def test_a_controller_that_is_suspended_leaves_the_arm_standing_and_does_not_leap_when_it_wakes(
    place: XArmWorkplace,
) -> None:
    _sway(place, 0.5)
    place.cell.plan(place.plan(8, step=0.02))
    place.cell.advance()
    place.cell.advance()
    pid = place.cell.arm_group.processes["arm"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(CellError):
            _sway(place, 8.0)
        assert not place.emulator.truth()["turning"]
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: _recovered(place.cell))
    assert place.emulator.truth()["error"] == 0
    _sway(place, 0.5)


def _is_away(place: XArmWorkplace) -> bool:
    """Whether it stands 8 cm from home; goes there. A machine that is too busy for a plan is given another go."""
    with contextlib.suppress(CellError):
        place.cell.recover()
        place.cell.observe()
        place.cell.plan(place.plan(6, step=0.02))
        while place.cell.advance() is not None:
            pass
    wait_until(lambda: stands(place.emulator))
    tool = np.array(place.emulator.truth()["pose_mm"][:3]) / 1000.0
    return float(np.linalg.norm(tool - place.home)) > 0.08


def _lose_on_the_way_home(place: XArmWorkplace, how: signal.Signals) -> int:
    """Away from home, on the way back, and then something happens to the controller's process; its number."""
    wait_until(lambda: _is_away(place))
    away = np.array(place.emulator.truth()["pose_mm"][:3])
    place.cell.begin_homing()

    def gone() -> bool:
        tool = np.array(place.emulator.truth()["pose_mm"][:3])
        return place.cell.advance_homing() or bool(np.linalg.norm(tool - away) > 10.0)

    wait_until(gone)
    pid = place.cell.arm_group.processes["arm"].pid
    assert pid is not None
    os.kill(pid, how)
    return pid


def _stopped_on_the_way(place: XArmWorkplace, since: float) -> None:
    """It stands, soon, and not at home."""
    wait_until(lambda: stands(place.emulator))
    truth = place.emulator.truth()
    assert truth["came_to_rest"] - since < 0.3
    assert np.linalg.norm(np.array(truth["pose_mm"][:3]) / 1000.0 - place.home) > 0.02


@pytest.mark.slow
def test_a_controller_that_is_killed_on_the_way_home_leaves_the_arm_standing_there(
    place: XArmWorkplace,
) -> None:
    _lose_on_the_way_home(place, signal.SIGKILL)
    _stopped_on_the_way(place, time.monotonic())
    with pytest.raises(CellError, match="its controller is not running"):
        wait_until(place.cell.advance_homing)
    place.go_home()


@pytest.mark.slow
def test_a_controller_that_is_suspended_on_the_way_home_does_not_go_on_when_it_wakes(
    place: XArmWorkplace,
) -> None:
    pid = _lose_on_the_way_home(place, signal.SIGSTOP)
    try:
        _stopped_on_the_way(place, time.monotonic())
        with pytest.raises(CellError, match="has been silent"):
            wait_until(place.cell.advance_homing)
        before = place.emulator.truth()["motion_commands"]
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: _recovered(place.cell))
    # the tick that the suspension interrupted, and the one that notices it
    assert place.emulator.truth()["motion_commands"] - before <= 2
    place.go_home()


@pytest.mark.slow
def test_the_stop_latch_brakes_on_the_way_home_within_the_limits(place: XArmWorkplace) -> None:
    _lose_on_the_way_home(place, signal.SIGCONT)
    place.latch.stop()
    pressed = time.monotonic()
    wait_until(lambda: stands(place.emulator))
    assert place.emulator.truth()["last_motion_command"] - pressed < 0.6
    with pytest.raises(StoppedError):
        place.cell.advance_homing()
    place.go_home()


def _recovered(cell: RobotCell) -> bool:
    try:
        cell.recover()
    except CellError:
        return False
    return True


_ENGINE = """
import sys
from pathlib import Path
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from tests.hardware.arms.xarm_cell import attached_table, plan_from
from tests.hardware.workplaces import read_cell
address, port, film, latch = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
table = attached_table(address, port, film)
table["safety"]["heartbeat"] = 0.3
cell = RobotCell(read_cell(table), StopLatch(latch))
cell.connect()
cell.begin_homing()
while not cell.advance_homing():
    pass
if sys.argv[5] == "plan":
    print("moving", flush=True)
    cell.plan(plan_from(cell, 24, 0.008))
else:
    cell.observe()
    cell.plan(plan_from(cell, 8, 0.02))
    while cell.advance() is not None:
        pass
    print("moving", flush=True)
    cell.begin_homing()
    while not cell.advance_homing():
        pass
while cell.advance() is not None:
    pass
print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("what", ["plan", "home"])
def test_an_engine_that_is_killed_or_suspended_while_the_arm_moves(
    how: signal.Signals, what: str, tmp_path: Path
) -> None:
    with XArmEmulator() as emulator:
        film = video(tmp_path / "film.avi")
        arguments = [emulator.address, str(emulator.control_port), str(film), str(tmp_path / "latch"), what]
        engine = subprocess.Popen(
            [sys.executable, "-c", _ENGINE, *arguments],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert engine.stdout is not None
            assert engine.stdout.readline() == "moving\n"
            wait_until(lambda: emulator.truth()["turning"])
            time.sleep(0.5 if what == "plan" else 0.15)
            hit = time.monotonic()
            os.kill(engine.pid, how)
            wait_until(lambda: stands(emulator))
            truth = emulator.truth()
            # The heartbeat's limit is 0.3 s; from 0.1 m/s the arm then brakes within its limits.
            assert truth["last_motion_command"] - hit < 0.3 + 0.5
            assert truth["came_to_rest"] - hit < 0.3 + 0.6
        finally:
            engine.kill()
            engine.communicate()


@pytest.mark.slow
def test_the_path_of_a_chunk_is_smooth_at_the_arm(place: XArmWorkplace) -> None:
    _sway(place, 2.0)
    trace = np.array(place.emulator.order("trace"))
    times, inside = np.unique(trace[:, 0], return_index=True)
    speed = np.linalg.norm(np.diff(trace[inside, 1:], axis=0), axis=1) / np.diff(times)
    assert np.percentile(speed, 99) < 0.6, "the limits allow 0.3 m/s along each axis"
