"""What an arm still does after its controller's process was killed or suspended, per vendor, in the emulators.

    python -m tests.benchmarks.lost_controller [--times 5] [--arms xarm franka]

Prints how long the arm took to come to rest and how far its tool went meanwhile, the vendor's SDK and the whole cell in
the loop. What the firmware of a real arm does when its client is gone only a real arm can show.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.cell import CellError
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from station.testing import Workplace
from tests.emulators.franka import FrankaEmulator
from tests.hardware.arms.franka_cells import TOOL, franka_table
from tests.hardware.arms.xarm_cell import xarm_workplace
from tests.hardware.fakes import read_cell

_STILL = 0.02  # rad/s
_PATIENCE = 20.0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An arm that moves, and how it really is."""

    place: Workplace
    arm: str
    look: Callable[[], tuple[float, Any, bool]]
    """Time, s; position, m [3]; whether it moves."""

    @property
    def cell(self) -> RobotCell:
        assert isinstance(self.place.cell, RobotCell)
        return self.place.cell


@contextmanager
def xarm(folder: Path) -> Iterator[Subject]:
    with xarm_workplace(folder) as place:

        def look() -> tuple[float, Any, bool]:
            truth = place.emulator.truth()
            return truth["time"], np.array(truth["pose_mm"][:3]) / 1000.0, truth["turning"]

        yield Subject(place=place, arm="arm", look=look)


@contextmanager
def franka(folder: Path) -> Iterator[Subject]:
    latch = StopLatch(folder / "stop.latch")
    with FrankaEmulator(1) as emulator:
        # as franky-sim is: what the box does about commands that stay away is the real one's to show
        emulator.order("watch", on=False)
        table = franka_table(emulator, folder / "board")
        # a suspended controller leaves it going far beyond any sensible box, and it has to come back by itself
        table["safety"]["workspaces"] = [
            {"arm": "left", "lower": (-1.0, -1.0, -0.2), "upper": (1.0, 1.0, 1.3)}
        ]
        cell = RobotCell(read_cell(table), latch)
        try:
            cell.connect()

            def look() -> tuple[float, Any, bool]:
                truth = emulator.truth()
                moves = max(map(abs, truth["speeds"])) > _STILL
                return truth["time"], np.array(truth["position"]), moves

            place = Workplace(
                cell=cell, latch=latch, home=TOOL, silence_cameras=lambda: None, wake_cameras=lambda: None
            )
            yield Subject(place=place, arm="left", look=look)
        finally:
            cell.close()


def in_a_plan(subject: Subject) -> None:
    """Away from home at about 0.12 m/s."""
    subject.cell.plan(subject.place.plan(20, step=0.012))
    for _ in range(4):
        subject.cell.advance()


def on_the_way_home(subject: Subject) -> None:
    """From about 15 cm away, once it has gone a third of that."""
    subject.cell.plan(subject.place.plan(12, step=0.012))
    while subject.cell.advance() is not None:
        pass
    _, away, _ = subject.look()
    subject.cell.begin_homing()
    while not subject.cell.advance_homing():
        if np.linalg.norm(subject.look()[1] - away) > 0.05:
            return


def lose(
    subject: Subject, how: signal.Signals, move: Callable[[Subject], None] = in_a_plan
) -> tuple[float, float]:
    """Seconds until it stood and metres that it went, from the signal on."""
    subject.place.go_home()
    subject.cell.observe()
    move(subject)
    pid = subject.cell.arm_group.processes[subject.arm].pid
    assert pid is not None
    began, start, _ = subject.look()
    os.kill(pid, how)
    rested = began
    deadline = time.monotonic() + _PATIENCE
    while True:
        now, position, moves = subject.look()
        rested = now if moves else rested
        if now - rested > 0.5 or time.monotonic() > deadline:
            break
    os.kill(pid, signal.SIGKILL)
    try:
        subject.cell.advance()
    except CellError:
        subject.cell.brake()
    return rested - began, float(np.linalg.norm(position - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=("xarm", "franka"), default=("xarm", "franka"))
    given = parser.parse_args()
    for name in given.arms:
        with (
            tempfile.TemporaryDirectory() as folder,
            {"xarm": xarm, "franka": franka}[name](Path(folder)) as it,
        ):
            for move, how in itertools.product(
                (in_a_plan, on_the_way_home), (signal.SIGKILL, signal.SIGSTOP)
            ):
                found = np.array([lose(it, how, move) for _ in range(given.times)])
                seconds, metres = np.median(found, 0)
                most, far = found.max(0)
                doing = move.__name__.replace("_", " ")
                print(
                    f"{name} {doing}, controller gets {how.name}: stands after {1000 * seconds:.0f} ms (at most "
                    f"{1000 * most:.0f}), having gone {1000 * metres:.0f} mm (at most {1000 * far:.0f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
