"""Processes are killed and suspended while an arm moves: it stands within the limit, and the reason is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hardware.cell import CellError
from hardware.clock import slept
from hardware.controller.requests import Ask
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from station.testing import Workplace
from tests.hardware.cameras.fakes import pid_of
from tests.hardware.fakes import Switch, Switchboard, cell_table, read_cell
from tests.hardware.robot.planner import HEARTBEAT
from tests.hardware.workplaces import one_arm

pytestmark = pytest.mark.realtime

BRAKING = 0.6
"""s that the fakes' limits need to bring the fastest motion here to rest, with room for a busy machine."""


class Planner:
    """The other process, its arm on the way."""

    def __init__(self, folder: Path) -> None:
        self.board = Switchboard(folder / "board")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.hardware.robot.planner", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        words = self.line().split()
        assert words[0] == "moving"
        self.controller = psutil.Process(int(words[1]))

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def still_for(self, seconds: float) -> None:
        """Wait until the arm has been standing for so long."""
        wait_for(lambda: time.monotonic() - self.board[Switch.MOVED_AT] > seconds)

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def wait_for(reached: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def planner(tmp_path: Path) -> Iterator[Planner]:
    planner = Planner(tmp_path)
    yield planner
    planner.end()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    with one_arm(tmp_path) as place:
        place.go_home()
        yield place


@pytest.mark.slow
def test_a_module_that_lies_where_one_stands_is_run_by_no_controller_and_no_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    board = tmp_path / "board"
    Switchboard(board)
    cell = RobotCell(read_cell(cell_table(board)), StopLatch(tmp_path / "stop.latch"))
    try:
        cell.connect()
    finally:
        cell.close()


@pytest.mark.slow
def test_when_the_loop_that_makes_plans_is_killed_the_arm_stands_and_its_controller_ends(
    planner: Planner,
) -> None:
    killed = time.monotonic()
    planner.process.kill()
    planner.still_for(0.5)
    assert planner.board[Switch.MOVED_AT] - killed < BRAKING
    wait_for(lambda: not planner.controller.is_running())
    assert planner.board[Switch.STOPS] >= 1


@pytest.mark.slow
def test_when_the_loop_that_makes_plans_is_suspended_the_arm_stands_and_it_learns_why(
    planner: Planner,
) -> None:
    suspended = time.monotonic()
    planner.process.send_signal(signal.SIGSTOP)
    planner.still_for(HEARTBEAT + BRAKING)
    assert planner.board[Switch.MOVED_AT] - suspended < HEARTBEAT + BRAKING
    planner.process.send_signal(signal.SIGCONT)
    assert "the arm was braked: the planning loop missed its heartbeat" in planner.line()


@pytest.mark.slow
def test_a_stop_that_is_set_while_that_loop_is_suspended_works_at_once(
    planner: Planner, tmp_path: Path
) -> None:
    planner.process.send_signal(signal.SIGSTOP)
    latch = StopLatch(tmp_path / "stop.latch")
    latch.stop()
    planner.still_for(0.4)
    assert latch.since is not None and planner.board[Switch.MOVED_AT] - latch.since < BRAKING
    planner.process.send_signal(signal.SIGCONT)
    assert "Re-arm the stop" in planner.line()


@pytest.mark.slow
def test_a_killed_controller_is_told_and_started_anew_on_the_operators_word(place: Workplace) -> None:
    cell = place.cell
    assert isinstance(cell, RobotCell)
    process = cell.arm_group.processes["left"]
    cell.plan(place.plan(20))
    cell.advance()
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(CellError, match="its controller is not running"):
        any(cell.advance() is None for _ in range(100))
    assert not all(check.ok for check in cell.preflight())
    place.go_home()
    assert process.pid not in (None, pid)
    cell.reset_scene({})
    cell.observe()
    cell.plan(place.plan(2))
    assert cell.advance() is not None


@pytest.mark.parametrize("ask", [Ask.HOME, Ask.RECOVER])
@pytest.mark.slow
def test_a_controller_gets_as_long_for_its_answer_as_the_question_takes(
    place: Workplace, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = place.cell
    assert isinstance(cell, RobotCell)
    process = cell.arm_group.processes["left"]
    monkeypatch.setattr(Ask, "patience", 0.7)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    asked = time.monotonic()
    with pytest.raises(CellError, match="does not answer"):
        process.request(ask)
    assert 0.7 <= time.monotonic() - asked < 4.0
    os.kill(process.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_suspended_controller_is_told_and_replaced_on_the_operators_word(place: Workplace) -> None:
    cell = place.cell
    assert isinstance(cell, RobotCell)
    process = cell.arm_group.processes["left"]
    cell.plan(place.plan(20))
    cell.advance()
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(CellError, match="its controller has been silent for"):
        any(cell.advance() is None for _ in range(100))
    place.go_home()
    assert process.pid not in (None, pid)


@pytest.mark.slow
def test_what_was_seen_before_the_machine_slept_moves_no_arm(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.cell.observe()
    monkeypatch.setattr("hardware.robot.cell.slept", lambda: 60.0 + slept())
    with pytest.raises(CellError, match="after its camera images"):
        place.cell.plan(place.plan())
    place.cell.observe()
    place.cell.plan(place.plan())
    place.cell.brake()


@pytest.mark.slow
def test_a_killed_camera_stops_the_motion_and_comes_back(place: Workplace) -> None:
    cell = place.cell
    assert isinstance(cell, RobotCell)
    pid = pid_of(cell.cameras["scene"])
    assert pid is not None
    cell.plan(place.plan(40, step=0.002))
    cell.advance()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(CellError, match="camera scene"):
        any(cell.advance() is None for _ in range(100))
    cell.recover()
    assert all(check.ok for check in cell.preflight())


@pytest.mark.slow
def test_a_fault_that_stands_when_the_cell_is_connected_is_cleared_on_the_operators_word_only(
    tmp_path: Path,
) -> None:
    board = Switchboard(tmp_path / "board")
    cell = RobotCell(read_cell(cell_table(tmp_path / "board")), StopLatch(tmp_path / "stop.latch"))
    board[Switch.FAULT] = 1.0
    for _ in range(2):
        with pytest.raises(CellError, match="C31"):
            cell.connect()
    cell.recover()
    cell.connect()
    assert all(check.ok for check in cell.preflight())
    cell.close()


@pytest.mark.slow
def test_an_episode_is_refused_away_from_home_with_old_frames_and_with_an_unset_vendor_limit(
    place: Workplace, tmp_path: Path
) -> None:
    cell, board = place.cell, Switchboard(tmp_path / "board")
    assert isinstance(cell, RobotCell)
    cell.reset_scene({})
    cell.plan(place.plan(8, step=0.02))
    while cell.advance() is not None:
        pass
    with pytest.raises(CellError, match=r"Not started\. left at home: .* rad away"):
        cell.reset_scene({})
    place.go_home()
    place.silence_cameras()
    wait_for(lambda: cell.health().frame_age["scene"] > cell.settings.safety.frame_age)
    with pytest.raises(CellError, match=r"Not started\. camera scene"):
        cell.reset_scene({})
    place.wake_cameras()
    wait_for(lambda: cell.health().frame_age["scene"] < 0.1)
    board[Switch.UNSAFE] = 1.0
    [failed] = [check for check in cell.preflight() if not check.ok]
    assert failed.name == "left collision sensitivity" and "collision_sensitivity" in failed.remedy


@pytest.mark.slow
def test_two_arms_begin_a_chunk_at_the_same_instant(tmp_path: Path) -> None:
    from tests.hardware.workplaces import two_arms

    with two_arms(tmp_path) as place:
        place.go_home()
        cell = place.cell
        assert isinstance(cell, RobotCell)
        for _ in range(3):
            cell.plan(place.plan(3))
            while cell.advance() is not None:
                pass
            delays = [report.order_delay for report in cell.arm_group.reports]
            assert max(delays) < cell.spec.dt, (
                "an arm that misses its start is a whole period behind the other"
            )
            left, right = (report.position for report in cell.arm_group.reports)
            assert abs(left[0] - right[0]) < 0.02


@pytest.mark.slow
def test_a_look_that_finds_a_silent_camera_does_not_interrupt_the_way_home(place: Workplace) -> None:
    cell = place.cell
    assert isinstance(cell, RobotCell)
    cell.plan(place.plan(10, step=0.02))
    while cell.advance() is not None:
        pass
    cell.begin_homing()
    place.silence_cameras()
    wait_for(lambda: cell.health().frame_age["scene"] > cell.settings.safety.frame_age)
    with pytest.raises(CellError, match="camera scene"):
        cell.observe()
    wait_for(cell.advance_homing)


@pytest.mark.slow
def test_a_way_home_that_was_interrupted_is_not_taken_for_an_arrival(place: Workplace) -> None:
    cell = place.cell
    cell.plan(place.plan(10, step=0.02))
    while cell.advance() is not None:
        pass
    cell.begin_homing()
    cell.brake()
    with pytest.raises(CellError, match="interrupted"):
        cell.advance_homing()


@pytest.mark.slow
@pytest.mark.parametrize(("opening", "told"), [("keep", -1.0), (0.25, 0.02)])
def test_on_the_way_home_a_gripper_opens_as_far_as_its_task_says_or_keeps_what_it_holds(
    tmp_path: Path, opening: str | float, told: float
) -> None:
    settings = read_cell(cell_table(tmp_path / "board", home_opening=opening))
    cell = RobotCell(settings, StopLatch(tmp_path / "stop.latch"))
    cell.connect()
    try:
        board = Switchboard(tmp_path / "board")
        board[Switch.OPENING] = -1.0
        cell.begin_homing()
        wait_for(cell.advance_homing)
        wait_for(lambda: board[Switch.OPENING] == pytest.approx(told))
    finally:
        cell.close()
