"""One device takes one session, on the whole machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hardware.arms.xarm import XArmSettings
from hardware.cell import CellError
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from hardware.robot.devices import DeviceInUseError, DeviceLocks, _path
from hardware.robot.examination import examine
from tests.hardware.arms.xarm_bench import wait_until
from tests.hardware.fakes import Switch, Switchboard, cell_table, read_cell
from tests.hardware.workplaces import one_arm

pytestmark = pytest.mark.realtime


@pytest.fixture
def planner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another session, its arm on the way; it prints its controller's pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hardware.robot.planner", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def moving(planner: subprocess.Popen[str]) -> psutil.Process:
    assert planner.stdout is not None
    words = planner.stdout.readline().split()
    assert words[0] == "moving"
    return psutil.Process(int(words[1]))


@pytest.mark.slow
def test_a_second_session_is_refused_with_the_device_and_the_holder_and_its_arm_is_not_touched(
    tmp_path: Path,
) -> None:
    settings = read_cell(cell_table(tmp_path / "board"))
    with one_arm(tmp_path):
        commands = Switchboard(tmp_path / "board")[Switch.COMMANDS]
        second = RobotCell(settings, StopLatch(tmp_path / "second.latch"))
        refusal = f"left: process {os.getpid()} .* already uses the fake left of "
        with pytest.raises(DeviceInUseError, match=refusal):
            second.connect()
        with pytest.raises(DeviceInUseError, match=refusal):
            examine(settings, tmp_path / "third.latch", seconds=0.1)
        assert Switchboard(tmp_path / "board")[Switch.COMMANDS] == commands
    second.recover()
    second.connect()
    second.close()


@pytest.mark.slow
def test_the_arm_of_a_killed_session_is_taken_over_as_soon_as_it_stands(
    tmp_path: Path, planner: subprocess.Popen[str]
) -> None:
    controller = moving(planner)
    planner.kill()
    planner.wait()
    locks = DeviceLocks(read_cell(cell_table(tmp_path / "board")))
    locks.take()
    # its lock is let go of a moment before the process has ended
    wait_until(lambda: gone(controller.pid))
    locks.release()


@pytest.mark.slow
def test_an_arm_whose_controller_hangs_stays_taken_when_its_session_is_killed(
    tmp_path: Path, planner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardware.robot.devices._ORPHANED", 0.2)
    controller = moving(planner)
    controller.send_signal(signal.SIGSTOP)
    planner.kill()
    planner.wait()
    try:
        with pytest.raises(DeviceInUseError):
            DeviceLocks(read_cell(cell_table(tmp_path / "board"))).take()
    finally:
        controller.kill()


def test_every_name_of_an_arm_means_the_same_arm_and_another_port_another() -> None:
    def named(address: str, port: int = 502) -> str:
        return XArmSettings(name="arm", address=address, control_port=port).occupies

    assert named("localhost") == named("127.0.0.1") != named("127.0.0.1", 10502)


def test_a_lock_that_one_user_made_can_be_taken_by_every_other(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        locks = DeviceLocks(read_cell(cell_table(tmp_path / "board")))
        locks.take()
    finally:
        os.umask(before)
    path = _path(f"fake left of {tmp_path / 'board'}")
    assert path.stat().st_mode & 0o777 == 0o666
    assert path.parent.stat().st_mode & 0o7777 == 0o1777
    locks.release()


@pytest.mark.parametrize("lay", [Path.symlink_to, Path.hardlink_to])
def test_what_another_user_left_in_place_of_a_lock_is_neither_followed_nor_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay: Callable[[Path, Path], None]
) -> None:
    tmp_path.chmod(0o1777)
    monkeypatch.setattr("hardware.robot.devices._PLACES", (tmp_path,))
    victim = tmp_path / "thesis"
    victim.write_text("chapter 1")
    locks = DeviceLocks(read_cell(cell_table(tmp_path / "board")))
    path = _path(f"fake left of {tmp_path / 'board'}")
    lay(path, victim)
    with pytest.raises(CellError, match="cannot check whether another session uses"):
        locks.take()
    assert victim.read_text() == "chapter 1"
    path.unlink()
    path.parent.rmdir()
    (tmp_path / "elsewhere").mkdir()
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CellError, match="station-devices is a link"):
        locks.take()
    assert not list((tmp_path / "elsewhere").iterdir())
