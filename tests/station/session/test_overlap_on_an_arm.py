"""An arm's commanded velocity where one chunk follows the other: with an overlap it goes on, without one it drops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from datasets.observation import FloatArray
from datasets.randomness import stream
from hardware.cell import CellError, StoppedError
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from policy.steering.interface import Decision, Window
from station.session.engine.rollout import Rollout, Start
from tests.hardware.fakes import HOME, Switch, Switchboard, cell_table, read_cell
from tests.station.session.fakes import Pusher

pytestmark = [pytest.mark.realtime, pytest.mark.slow]

EXECUTE = 5
OVERLAP = 4
SPEED = 0.04
"""m/s"""
STEP = 0.1 * SPEED
THINKING = 0.2
"""s for a decision; the overlap lasts twice as long."""


class Cruising(Pusher):
    """On and on, at one speed."""

    def __init__(self, overlap: int, thinking: float = THINKING) -> None:
        super().__init__(n_action_steps=EXECUTE + overlap)
        self.decisions = 0
        self._thinking = thinking

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        return {"c": np.zeros((window.batch, 3), np.float32)}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        time.sleep(self._thinking)
        # chunks that agree, so that what is left to see is the seam itself
        here, self.decisions = EXECUTE * self.decisions, self.decisions + 1
        actions = np.zeros((window.batch, self.n_action_steps, 7), np.float32)
        actions[:, :, 0] = HOME[0] + STEP * (here + np.arange(1, self.n_action_steps + 1))
        actions[:, :, 1:3], actions[:, :, 6] = HOME[1:3], 1.0
        return Decision(actions=actions, chosen={"dz": np.zeros((window.batch, 1), np.float32)})


class Tachometer:
    """The velocity along x that the arm was commanded to have, by tick."""

    def __init__(self, cell: RobotCell) -> None:
        self._arm = cell.arm_group.processes["left"]
        self._seen: dict[float, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def velocities(self, since: float, until: float) -> list[float]:
        self._over.set()
        self._thread.join()
        return [velocity for at, velocity in sorted(self._seen.items()) if since <= at <= until]

    def _read(self) -> None:
        while not self._over.wait(0.003):
            report = self._arm.report()
            if report is not None:
                self._seen[report.time] = float(report.velocity[0])


@contextmanager
def arm(folder: Path) -> Iterator[RobotCell]:
    table = cell_table(folder / "board")
    table["safety"] |= {"heartbeat": 2.0, "frame_age": 1.0}
    cell = RobotCell(read_cell(table), StopLatch(folder / "stop.latch"))
    cell.connect()
    try:
        yield cell
    finally:
        cell.close()


def begin(cell: RobotCell, steering: Cruising, overlap: int) -> Rollout:
    cell.brake()
    cell.begin_homing()
    while not cell.advance_homing():
        pass
    cell.reset_scene({})
    start = Start(episode="one", cell=cell, row=0, rng=stream(1, "cruise"))
    return Rollout([start], steering, batch=1, n_obs=1, episode_steps=24, explore=False, overlap=overlap)


def cruise(cell: RobotCell, steering: Cruising, overlap: int) -> tuple[list[float], int]:
    """Commanded velocities over three seams, in units of the planned one; how many decisions were late."""
    made = begin(cell, steering, overlap)
    while made.steps < 3:
        assert not made.advance().fault
    meter, since = Tachometer(cell), time.monotonic()
    while made.steps < 22:
        assert not made.advance().fault
    return [velocity / SPEED for velocity in meter.velocities(since, time.monotonic())], made.late


def test_with_an_overlap_the_commanded_velocity_goes_on_across_chunks_and_drops_without(
    tmp_path: Path,
) -> None:
    with arm(tmp_path) as cell:
        without, _ = cruise(cell, Cruising(0), 0)
        assert min(without) < 0.1, "without an overlap the arm comes to rest while the policy thinks"
        slowest = fastest = float("inf")
        for _ in range(
            6
        ):  # a busy machine may hold this loop, or the arm's own, up for longer than the overlap
            velocities, _ = cruise(cell, Cruising(OVERLAP), OVERLAP)
            slowest, fastest = min(velocities), max(velocities)
            if len(velocities) > 100 and slowest > 0.95:
                break
        assert slowest > 0.95
        assert fastest < 1.05


def test_a_stop_while_the_policy_thinks_brakes_the_arm_at_once(tmp_path: Path) -> None:
    with arm(tmp_path) as cell:
        made = begin(cell, Cruising(OVERLAP), OVERLAP)
        while not made._thinker.busy:
            assert not made.advance().fault
        cell._latch.stop()
        pressed = time.monotonic()
        while not (part := made.advance()).fault:
            pass
        assert part.stopped
        made.abort()
        while (report := cell.arm_group.reports[0]).moving:
            assert time.monotonic() < pressed + 5.0
        assert report.last_motion - pressed < 0.5


def test_a_plan_made_from_an_old_look_is_refused_though_newer_ones_were_taken(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    table["safety"] |= {"heartbeat": 2.0, "frame_age": 1.0, "stale_plan": 0.25}
    cell = RobotCell(read_cell(table), StopLatch(tmp_path / "stop.latch"))
    cell.connect()
    try:
        cell.begin_homing()
        while not cell.advance_homing():
            pass
        seen = cell.observe().time
        rows = np.array([[HOME[0] + STEP * (i + 1), *HOME[1:3], 0, 0, 0, 1] for i in range(8)], np.float32)
        cell.plan(rows)
        for _ in range(4):
            cell.advance()
        with pytest.raises(CellError, match=r"A plan came 0\.[4-9]"):
            cell.replan(rows, after=2, seen=seen)
        assert cell.advance() is None
    finally:
        cell.close()


def test_a_fault_of_the_arm_while_the_policy_thinks_is_told_and_nothing_new_is_posted(tmp_path: Path) -> None:
    board = Switchboard(tmp_path / "board")
    with arm(tmp_path) as cell:
        made = begin(cell, Cruising(OVERLAP), OVERLAP)
        while not made._thinker.busy:
            assert not made.advance().fault
        board[Switch.FAULT] = 1.0
        while not (part := made.advance()).fault:
            pass
        assert "C31" in part.fault and not part.stopped
        made.abort()
        with pytest.raises((CellError, StoppedError)):
            cell.replan(np.zeros((2, 7), np.float32), after=0, seen=time.monotonic())
