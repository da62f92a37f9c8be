"""Cells of every kind, made ready for the suite that each of them must pass (`test_cell_contract`).

A workplace is a connected cell with the switches that the suite needs: how a camera is made to fall silent, and which
actions move it a little. Another kind of cell is one more function here and its line in `WORKPLACES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from datasets.observation import FloatArray
from datasets.rotation import pose_to_action
from hardware.cell import Cell
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import CameraSettings, SimulationSettings
from tests.emulators.franka import FrankaEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY, TOOL, franka_table
from tests.hardware.arms.xarm_bench import NEEDS_XARM, SDK_IS_HERE
from tests.hardware.fakes import HOME, Switch, Switchboard, cell_table, read_cell

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
        self._wait_for_cameras()

    def _wait_for_cameras(self) -> None:
        """One that was silent is opened anew by its own process, and that takes its time on a busy machine."""
        deadline = time.monotonic() + 20.0
        while failed := [check for check in self.cell.preflight() if not check.ok]:
            assert time.monotonic() < deadline, failed
            time.sleep(0.05)


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
