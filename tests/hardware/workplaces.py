"""Cells of every kind, connected, for the rules that each of them must keep (`test_cell_contract`).

Another kind of cell is one more function here and its line in `WORKPLACES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import CameraSettings, SimulationSettings
from station.testing import Workplace
from tests.emulators.franka import FrankaEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY, TOOL, franka_table
from tests.hardware.arms.xarm_bench import NEEDS_XARM, SDK_IS_HERE
from tests.hardware.fakes import HOME, Switch, Switchboard, cell_table, read_cell


@contextmanager
def simulated(folder: Path) -> Iterator[Workplace]:
    """The embedded cell."""
    latch = StopLatch(folder / "stop.latch")
    camera = CameraSettings(name="third", height=16, width=16)
    cell = SimulatedCell(SimulationSettings(cameras=(camera,), shadows="none"), latch)
    cell.connect()
    x, y, z = (float(number) for number in cell.tool_pose[0])
    yield Workplace(
        cell=cell,
        latch=latch,
        home=(x, y, z),
        silence_cameras=lambda: cell.freeze_camera("third"),
        wake_cameras=lambda: cell.thaw_camera("third"),
    )
    cell.close()


@contextmanager
def _robot(folder: Path, arms: int) -> Iterator[Workplace]:
    board = Switchboard(folder / "board")
    latch = StopLatch(folder / "stop.latch")
    table = cell_table(folder / "board", arms=arms, suspended_after=0.9)
    # patient with a busy machine, which may leave the loop that makes plans or a camera waiting for a second; that the
    # limits are kept is measured with a loop in a process of its own
    table["safety"] |= {"heartbeat": 2.0, "frame_age": 1.0}
    cell = RobotCell(read_cell(table), latch)
    cell.connect()

    def turn(value: float) -> None:
        board[Switch.CAMERA] = value

    yield Workplace(
        cell=cell,
        latch=latch,
        home=HOME[:3],
        silence_cameras=lambda: turn(1.0),
        wake_cameras=lambda: turn(0.0),
    )
    cell.close()
    cell.close()


@contextmanager
def one_arm(folder: Path) -> Iterator[Workplace]:
    """Controller, gripper and camera processes, with drivers that need no hardware."""
    with _robot(folder, 1) as workplace:
        yield workplace


@contextmanager
def two_arms(folder: Path) -> Iterator[Workplace]:
    """The same with two arms."""
    with _robot(folder, 2) as workplace:
        yield workplace


@contextmanager
def two_frankas(folder: Path) -> Iterator[Workplace]:
    """Two Frankas with their hands: the real franky against simulated control boxes."""
    pytest.importorskip("franky", reason=NEEDS_FRANKY)
    pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)
    board = Switchboard(folder / "board")
    latch = StopLatch(folder / "stop.latch")
    with FrankaEmulator(2) as emulator:
        cell = RobotCell(read_cell(franka_table(emulator, folder / "board")), latch)
        try:
            cell.connect()
            yield Workplace(
                cell=cell,
                latch=latch,
                home=TOOL,
                silence_cameras=lambda: board.__setitem__(Switch.CAMERA, 1.0),
                wake_cameras=lambda: board.__setitem__(Switch.CAMERA, 0.0),
            )
        finally:
            cell.close()


@contextmanager
def xarm(folder: Path) -> Iterator[Workplace]:
    """An xArm with a Robotiq in its tool plug: the vendor's SDK against an emulated control box."""
    if not SDK_IS_HERE:
        pytest.skip(NEEDS_XARM)
    from tests.hardware.arms.xarm_cell import xarm_workplace

    with xarm_workplace(folder) as workplace:
        yield workplace


WORKPLACES = {"simulated": simulated, "one arm": one_arm, "two arms": two_arms}
SLOW_WORKPLACES = {"two Frankas": two_frankas, "xArm": xarm}
"""Left to `make test-all`."""
