"""Cells of every kind, made ready for the suite that each of them must pass (`test_cell_contract`).

A workplace is a connected cell with the switches that the suite needs: how a camera is made to fall silent, and which
actions move it a little. Another kind of cell is one more function here and its line in `WORKPLACES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.observation import FloatArray
from datasets.rotation import pose_to_action
from datasets.settings import Settings
from hardware.cell import Cell
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from hardware.robot.settings import RobotCellSettings
from hardware.settings import CellSettings
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import CameraSettings, SimulationSettings
from tests.hardware.fakes import HOME, Switch, Switchboard, cell_table

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A connected cell at home."""

    cell: Cell
    latch: StopLatch
    home: tuple[float, float, float]
    """Where the tool is at home, m."""
    silence_cameras: Callable[[], None]
    wake_cameras: Callable[[], None]

    def plan(self, n: int = 3, step: float = 0.01) -> FloatArray:
        """n poses that lead away from home by `step` m each, every arm's tool pointing down."""
        spec = self.cell.spec
        poses = np.array([[self.home[0] + step * (k + 1), *self.home[1:]] for k in range(n)])
        one = pose_to_action(poses, np.broadcast_to(DOWN, (n, 4)), np.ones(n), spec.action)
        return np.tile(one, (1, spec.action.arms))

    def go_home(self) -> None:
        """Wherever the test before has left it."""
        self.wake_cameras()
        self.latch.rearm()
        self.cell.recover()
        self.cell.begin_homing()
        while not self.cell.advance_homing():
            pass


def read_cell(table: dict[str, object]) -> RobotCellSettings:
    """A [cell] table as a task file's is read."""

    class File(Settings):
        cell: CellSettings

    cell = File.model_validate({"cell": table}).cell
    assert isinstance(cell, RobotCellSettings)
    return cell


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
    cell = RobotCell(read_cell(cell_table(folder / "board", arms=arms)), latch)
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


WORKPLACES = {"simulated": simulated, "one arm": one_arm, "two arms": two_arms}
