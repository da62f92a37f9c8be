"""How evenly an arm is commanded, beside a plain loop that does everything in one thread.

    python tests/benchmarks/control_loop.py TASK.toml --out FOLDER --minutes 10 --hz 100 200
    python tests/benchmarks/control_loop.py --emulated --out FOLDER --minutes 1

Runs real sessions of TASK's cell with a method that swings the tool to and fro, thinks as long as a policy does, and is
labelled by a script: episodes are recorded, a UI is attached in a pseudo-terminal, and now and then the stop is pressed
at a random instant. Then the same devices are driven by a plain loop: read cameras, think, send waypoints and sleep.
THE ARM MOVES. With --emulated the arm is an emulated xArm with a gripper, and two video files are its cameras.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from datasets.episode import Outcome
from datasets.lock import WriterLock
from datasets.observation import FloatArray
from datasets.rotation import pose_to_action
from datasets.spec import ActionSpec
from datasets.store import EpisodeStore
from hardware.latch import StopLatch
from hardware.plan import Vector
from hardware.robot.cell import RobotCell
from hardware.robot.settings import RobotCellSettings
from hardware.wire import Mode, Report
from policy.replay import ReplayBuffer
from policy.steering.interface import Decision, Window
from station.session.core.events import Label, OperatorEvent
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.link.server import Link
from station.session.snapshot import Phase
from station.tasks.config import Task, load_task, parse_task
from station.tasks.session_settings import SessionSettings
from tests.benchmarks.plain_loop import CHUNK, PERIOD, STOP_EVERY, SWING, Figures, PlainLoop
from tests.station.session.answering import go, rearm
from tests.station.session.fakes import Pusher

SETTINGS = SessionSettings(episode_steps=200, grace=0.0)


class Swinger(Pusher):
    """To and fro about where the tool is at home, after thinking as long as a policy does."""

    def __init__(self, cell: RobotCell, think: float) -> None:
        super().__init__()
        self._cell, self._think = cell, think
        self._starts: list[tuple[Vector, Vector]] = []
        self._phase = 0.0

    def begin(self) -> None:
        """The arms are at home."""
        self._starts = [(r.measured_position, r.measured_quaternion) for r in self._cell.arm_group.reports]
        self._phase = 0.0

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
        time.sleep(self._think)
        spec = self._cell.spec
        phases = self._phase + np.arange(1, CHUNK + 1, dtype=np.float64) * spec.dt * 2.0 * np.pi / PERIOD
        self._phase = float(phases[-1])
        actions = np.concatenate([_swing(start, phases, spec.action) for start in self._starts], axis=1)
        return Decision(actions=actions[None], chosen={"dz": np.zeros((1, 1), np.float32)})


def _swing(start: tuple[Vector, Vector], phases: Vector, spec: ActionSpec) -> FloatArray:
    position = start[0] + SWING * np.outer(np.sin(phases), [0.0, 0.0, 1.0])
    opening = 0.5 + 0.5 * np.cos(phases / 4.0)
    return pose_to_action(position, np.broadcast_to(start[1], (len(phases), 4)), opening, spec)


class Operator:
    """Says that scenes are reset, labels, re-arms, and presses the stop at random instants."""

    def __init__(self, engine: Engine, swinger: Swinger, latch: StopLatch) -> None:
        self._engine, self._swinger, self._latch = engine, swinger, latch
        self._rng = np.random.default_rng(0)
        self._next_stop = self._draw()
        self._seen: float | None = None
        self.figures = Figures()
        self._number: dict[str, int] = {}
        self._orders: dict[str, int] = {}
        self._reacted = 0.0

    def turn(self, cell: RobotCell) -> None:
        """After each turn of the engine."""
        phase = self._engine.state.phase
        if phase is Phase.READY:
            self._swinger.begin()
            self._post(go())
        elif phase is Phase.LABEL and self._engine.state.pending:
            self._post(Label(episode=self._engine.state.pending[0], outcome=Outcome.SUCCESS))
        elif phase is Phase.FAULT:
            self._go_on(cell)
        if cell.cameras:
            self._collect(cell)

    def press_stop(self) -> None:
        """From another thread: whatever the engine is doing."""
        if time.monotonic() > self._next_stop and self._engine.state.phase is Phase.ROLLOUT:
            self._latch.stop()
            self._next_stop = self._draw()

    def _go_on(self, cell: RobotCell) -> None:
        if self._engine.state.stopped:
            latency = cell.health().stop_latency
            if latency is None:
                return
            if self._latch.since != self._seen and latency > 0.0:
                self.figures.stops.append(latency)
            self._seen = self._latch.since
            self._post(rearm())
        else:
            print("  fault:", self._engine.state.reason, file=sys.stderr)
        self._post(go())

    def _collect(self, cell: RobotCell) -> None:
        for name, process in cell.arm_group.processes.items():
            self._number[name], reports = process.reports_since(self._number.get(name, 0))
            self._note_reaction(reports)
            following = [report for report in reports if report.mode is Mode.SERVO]
            self.figures.intervals += [report.interval for report in following]
            for report in following:
                if report.order != self._orders.get(name) and report.order_delay:
                    self._orders[name] = report.order
                    self.figures.delays.append(report.order_delay)

    def _note_reaction(self, reports: Sequence[Report]) -> None:
        for report in reports:
            if report.mode is Mode.BRAKING and report.stop_since > self._reacted:
                self._reacted = report.stop_since
                self.figures.reactions.append(report.time - report.stop_since)

    def _post(self, event: OperatorEvent) -> None:
        self._engine.post(event)

    def _draw(self) -> float:
        return time.monotonic() + float(self._rng.uniform(0.5, 1.5)) * STOP_EVERY


def run_session(task: Task, settings: RobotCellSettings, path: Path, seconds: float, think: float) -> Figures:
    """The station's way."""
    folder = SessionFolder.create(path, task, task_name=task.name, seed=0)
    latch = StopLatch(folder.latch)
    cell = RobotCell(settings, latch)
    swinger = Swinger(cell, think)

    def replay(store: EpisodeStore) -> ReplayBuffer:
        return ReplayBuffer.for_method(swinger, base_hash="none")

    parts = EngineDependencies(
        cells=[cell], steering=swinger, replay=replay, base_hash="none", n_obs=1, settings=SETTINGS
    )
    link = Link(folder)
    with (
        WriterLock(folder.lock),
        Engine(folder, parts, EngineOptions(), link=link, latch=latch) as engine,
        _screen(path),
    ):
        operator = Operator(engine, swinger, latch)
        done = threading.Event()
        finger = threading.Thread(target=_press, args=(operator, done), daemon=True)
        finger.start()
        engine.run_until(lambda state: state.phase is not Phase.PREFLIGHT)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            engine.turn()
            operator.turn(cell)
        done.set()
        finger.join()
        figures = operator.figures
        figures.late = sum(report.late for report in cell.arm_group.reports)
        figures.waypoints = len(figures.delays) * CHUNK
        figures.overruns = sum(report.overruns for report in cell.arm_group.reports)
    link.close()
    return figures


def _press(operator: Operator, done: threading.Event) -> None:
    while not done.wait(0.007):
        operator.press_stop()


@contextmanager
def _screen(path: Path) -> Iterator[None]:
    """The real UI in a pseudo-terminal, open to the end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (45, 140))
    ui = subprocess.Popen(
        [sys.executable, "-m", "station", "attach", str(path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    try:
        yield
        assert ui.poll() is None, "the UI did not stay open: these figures are of a session without one"
    finally:
        ui.kill()
        ui.wait()


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        os.close(descriptor)


def emulated(folder: Path, hz: int) -> dict[str, Any]:
    """The [cell] of an emulated xArm with a gripper and two video files as cameras."""
    from tests.hardware.arms.xarm_cell import attached_table, video

    film = video(folder / "film.avi", seconds=10.0, size=(640, 480))
    table = attached_table("127.0.0.2", 10502, film)
    camera = {"driver": "file", "path": str(film), "height": 110, "width": 280}
    table["cameras"] = [{**camera, "name": name} for name in ("third", "wrist")]
    return {**table, "controller_hz": hz}


@contextmanager
def emulator() -> Iterator[None]:
    """An emulated control box in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators.xarm", "--address", "127.0.0.2", "--port", "10502"]
    )
    time.sleep(3.0)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def task_at(given: argparse.Namespace, hz: int) -> tuple[Task, RobotCellSettings]:
    """The task with this controller rate."""
    if given.emulated:
        task = parse_task({"name": "emulated", "cell": emulated(given.out, hz)}, source="emulated")
    else:
        task = load_task(given.task)
    assert isinstance(task.cell, RobotCellSettings), "a task with [cell] kind = 'robot' is needed"
    return task, task.cell.model_copy(update={"controller_hz": hz})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", type=Path, nargs="?")
    parser.add_argument("--emulated", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--hz", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--think", type=float, default=0.08, help="s that the policy takes for a chunk")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, float]] = {}
    for hz in given.hz:
        task, settings = task_at(given, hz)
        seconds = 60.0 * given.minutes
        with emulator() if given.emulated else nullcontext():
            rows[f"station {hz} Hz"] = run_session(
                task, settings, given.out / f"session-{hz}", seconds, given.think
            ).row()
        with emulator() if given.emulated else nullcontext():
            rows[f"plain loop {hz} Hz"] = PlainLoop(settings, hz, given.think).run(seconds).row()
    print(json.dumps(rows, indent=1))
    (given.out / "control_loop.json").write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
