"""A session on real devices (drivers without hardware, everything else as it is): faults, stops, and the way back."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from datasets.episode import Outcome
from datasets.journal.records import DevicesConnected
from datasets.observation import FloatArray
from datasets.store import EpisodeStore
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from policy.replay import ReplayBuffer
from policy.steering.interface import Decision, Window
from station.session.core.events import Envelope, Label, Pause
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.snapshot import Phase, Snapshot
from station.session.status import count
from station.tasks.session_settings import SessionSettings
from tests.hardware.arms.xarm_bench import wait_until
from tests.hardware.fakes import HOME, Switch, Switchboard, cell_table, read_cell
from tests.station.session.answering import answering, go, rearm, resume
from tests.station.session.driving import press, roll, until, until_phase
from tests.station.session.fakes import Pusher, make_folder
from tests.station.session.leftovers import cut_off, kept
from tests.station.session.surviving import go_on

pytestmark = pytest.mark.realtime

SETTINGS = SessionSettings(episode_steps=60, grace=0.0)
EXECUTE = 4
_FRAME_AGE = 0.6
"""s; a busy machine leaves a camera waiting for longer than usual."""


class Wanderer(Pusher):
    """Goes away from home and back, a centimetre a step."""

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        return {
            "c": np.concatenate([window.proprioception[:, -1, :2], np.ones((window.batch, 1), np.float32)], 1)
        }

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        x = float(window.proprioception[0, -1, 0])
        step = 0.01 if x < HOME[0] + 0.05 else -0.01
        actions = np.zeros((window.batch, EXECUTE, 7), np.float32)
        actions[:, :, 0] = x + step * np.arange(1, EXECUTE + 1)
        actions[:, :, 1:3], actions[:, :, 6] = HOME[1:3], 1.0
        return Decision(actions=actions, chosen={"dz": np.zeros((window.batch, 1), np.float32)})


def make_engine(path: Path, board: Path, link: object = None, options: EngineOptions | None = None) -> Engine:
    """An engine with one arm, and a person at the keys."""
    folder = SessionFolder.open(path) if path.exists() else make_folder(path, SETTINGS)
    latch = StopLatch(folder.latch)
    steering = Wanderer()

    def replay(store: EpisodeStore) -> ReplayBuffer:
        return ReplayBuffer.for_method(steering, base_hash="tiny")

    table = cell_table(board)
    # a busy machine may hold this loop up; the limit itself is measured where it runs in a process of its own
    table["safety"] |= {"heartbeat": 2.0, "frame_age": _FRAME_AGE}
    parts = EngineDependencies(
        cells=[RobotCell(read_cell(table), latch)],
        steering=steering,
        replay=replay,
        base_hash="tiny",
        n_obs=1,
        settings=SETTINGS,
    )
    return Engine(folder, parts, options or EngineOptions(), link=link, latch=latch)  # type: ignore[arg-type]


@pytest.fixture
def board(tmp_path: Path) -> Switchboard:
    return Switchboard(tmp_path / "board")


@pytest.fixture
def engine(tmp_path: Path, board: Switchboard) -> Iterator[Engine]:
    with make_engine(tmp_path / "s", tmp_path / "board") as engine:
        yield engine


def stands(board: Switchboard) -> bool:
    return time.monotonic() - board[Switch.MOVED_AT] > 0.3


@pytest.mark.slow
def test_an_arms_fault_ends_the_episode_and_is_cleared_when_the_operator_goes_on(
    engine: Engine, board: Switchboard
) -> None:
    first = roll(engine)
    press(engine, Label(episode=first, outcome=Outcome.SUCCESS))
    second = roll(engine)
    board[Switch.FAULT] = 1.0
    until_phase(engine, Phase.FAULT)
    assert "Collision caused abnormal current (code C31). Free the arm." in engine.state.reason
    until(engine, lambda: stands(board))
    assert board[Switch.FAULT] == 1.0, "nobody but the operator clears it"

    press(engine, go())
    assert board[Switch.FAULT] == 0.0
    third = roll(engine)
    press(engine, Label(episode=third, outcome=Outcome.FAILURE))
    until_phase(engine, Phase.READY)
    line = cut_off(engine.folder)[second]
    assert line["steps"] >= 6 and line["lost"] == 0 and "C31" in line["reason"]
    assert kept(engine.folder) == {second: line["steps"]}
    assert engine.session.store.ids() == [first, third]
    counts = count(engine.folder)
    assert (counts.success, counts.failure, counts.void, counts.cut_off) == (1, 1, 0, 1)


@pytest.mark.slow
def test_a_fault_that_stays_is_shown_again(engine: Engine, board: Switchboard) -> None:
    until_phase(engine, Phase.READY)
    board[Switch.FAULT] = board[Switch.STUBBORN] = 1.0
    press(engine, go())
    until_phase(engine, Phase.FAULT)
    press(engine, go())
    until_phase(engine, Phase.FAULT)
    assert "C31" in engine.state.reason


def test_a_stop_brakes_the_arm_and_its_latency_is_in_the_log(engine: Engine, board: Switchboard) -> None:
    stopped = roll(engine)
    threading.Timer(0.2, engine._latch.stop, ["operator"]).start()
    until_phase(engine, Phase.FAULT)
    until(engine, lambda: any("after the stop" in line for line in engine.snapshot(images=False).log))
    assert stands(board) or board[Switch.MOVED_AT] - (engine._latch.since or 0.0) < 0.6
    press(engine, go())
    assert engine.state.phase is Phase.FAULT
    press(engine, rearm())
    press(engine, go())
    until_phase(engine, Phase.READY)
    assert cut_off(engine.folder)[stopped]["reason"] == "Stopped by the operator."
    assert kept(engine.folder)[stopped] >= 6


def test_an_episode_with_a_silent_camera_is_not_started(engine: Engine, board: Switchboard) -> None:
    until_phase(engine, Phase.READY)
    board[Switch.CAMERA] = 1.0
    cell = engine._parts.cells[0]
    wait_until(lambda: cell.health().frame_age["scene"] > _FRAME_AGE, 30.0)
    press(engine, go())
    assert engine.state.phase is Phase.FAULT
    assert "Not started. camera scene" in engine.state.reason
    sent = board[Switch.COMMANDS]
    engine.turn()
    assert board[Switch.COMMANDS] == sent


BROKEN = {
    "the arm": (Switch.FAULT, "code C31"),
    "the arm's line": (Switch.LINK, "nothing heard for 0.3 s"),
    "the gripper": (Switch.GRIPPER_LINK, "left gripper: no answer"),
    "the camera": (Switch.CAMERA, "camera scene"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("switch", "said"), BROKEN.values(), ids=BROKEN)
def test_a_device_that_fails_while_the_session_waits_ends_the_waiting(
    engine: Engine, board: Switchboard, switch: Switch, said: str
) -> None:
    until_phase(engine, Phase.READY)
    board[switch] = 1.0
    until_phase(engine, Phase.FAULT)
    assert said in engine.state.reason
    board[switch] = 0.0
    for _ in range(20):
        engine.turn()
    assert engine.state.phase is Phase.FAULT, "what recovers by itself can still be read"
    go_on(engine)
    until_phase(engine, Phase.READY)


@pytest.mark.slow
def test_what_fails_during_a_fault_is_told_beside_it_and_the_old_answer_clears_nothing(
    engine: Engine, board: Switchboard
) -> None:
    until_phase(engine, Phase.READY)
    board[Switch.CAMERA] = 1.0
    until_phase(engine, Phase.FAULT)
    read = engine.state
    board[Switch.FAULT] = 1.0
    until(engine, lambda: "C31" in engine.state.reason)
    assert "camera scene" in engine.state.reason
    assert engine.state.question != read.question
    engine.post(answering(go(), read))
    for _ in range(20):
        engine.turn()
    assert (engine.state.phase, board[Switch.FAULT]) == (Phase.FAULT, 1.0)
    assert engine.state.reason.count("camera scene") == 1


@pytest.mark.slow
def test_a_fault_during_a_pause_is_told(engine: Engine, board: Switchboard) -> None:
    roll(engine)
    press(engine, Pause())
    until(engine, lambda: stands(board))
    board[Switch.FAULT] = 1.0
    until_phase(engine, Phase.FAULT)
    assert "C31" in engine.state.reason


@pytest.mark.slow
def test_a_stop_latch_is_no_fault_of_a_device(engine: Engine) -> None:
    until_phase(engine, Phase.READY)
    engine._latch.stop("operator")
    assert engine._parts.cells[0].watch() == []


class Screens:
    """What an engine asks of its line: how many look, the next answers first."""

    def __init__(self, *answers: int, then: int) -> None:
        self.inbox: queue.SimpleQueue[Envelope] = queue.SimpleQueue()
        self.attached = 1
        self.then = then
        self._answers = list(answers)

    @property
    def watchers(self) -> int:
        return self._answers.pop(0) if self._answers else self.then

    def publish(self, snapshot: Snapshot) -> None:
        pass

    def answer(self, number: int, refused: str = "") -> None:
        pass


def turns(engine: Engine, seconds: float = 0.5) -> set[Phase]:
    """The phases that an engine goes through in this time, and in ten turns however long they take."""
    deadline, phases, count = time.monotonic() + seconds, set[Phase](), 0
    while time.monotonic() < deadline or count < 10:
        engine.turn()
        phases.add(engine.state.phase)
        count += 1
    return phases


def test_an_engine_that_nobody_looks_at_does_not_send_the_arm_home(
    tmp_path: Path, board: Switchboard
) -> None:
    link = Screens(then=0)
    with make_engine(tmp_path / "s", tmp_path / "board", link) as engine:
        moved = board[Switch.MOVED_AT]
        assert turns(engine) == {Phase.PREFLIGHT}
        assert board[Switch.MOVED_AT] == moved
        link.then = 1
        until_phase(engine, Phase.READY)


def test_a_screen_that_has_looked_and_gone_is_nobody_when_the_arm_is_about_to_go_home(
    tmp_path: Path, board: Switchboard
) -> None:
    link = Screens(1, then=0)
    with make_engine(tmp_path / "s", tmp_path / "board", link) as engine:
        moved = board[Switch.MOVED_AT]
        assert turns(engine) == {Phase.PAUSED}
        assert "nobody was looking" in engine.state.reason
        assert board[Switch.MOVED_AT] == moved
        press(engine, resume())
        assert engine.state.phase is Phase.PAUSED, "who presses sees nothing"
        link.then = 1
        assert turns(engine) == {Phase.PAUSED}, "only a key ends the pause"
        press(engine, resume())
        until_phase(engine, Phase.READY)


@pytest.mark.slow
def test_when_the_last_screen_goes_the_arm_brakes_and_the_session_waits(
    tmp_path: Path, board: Switchboard
) -> None:

    link = Screens(then=1)
    with make_engine(tmp_path / "s", tmp_path / "board", link) as engine:
        roll(engine)
        link.then = 0
        until_phase(engine, Phase.PAUSED)
        until(engine, lambda: stands(board))
        assert engine.state.running
        link.then = 1
        press(engine, resume())
        until(engine, lambda: not stands(board))


@pytest.mark.slow
def test_a_start_is_refused_while_the_disk_has_no_room_for_an_hour(
    tmp_path: Path, board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with make_engine(tmp_path / "s", tmp_path / "board") as engine:
        until_phase(engine, Phase.FAULT)
        assert "disk: room for 0.0 h of recording. Free some space" in engine.state.reason


@pytest.mark.slow
def test_what_was_sent_and_when_is_recorded(engine: Engine) -> None:
    episode = roll(engine, steps=9)
    press(engine, Label(episode=episode, outcome=Outcome.SUCCESS))
    until_phase(engine, Phase.READY)
    recorded = engine.session.store.load(episode)
    assert recorded.steps >= 9 and np.isfinite(recorded.sent).all()
    away = np.abs(recorded.sent[:, 0] - recorded.action[:, 0])
    assert np.median(away) < 0.005 and away.max() < 0.03
    assert (np.diff(recorded.command_time) > 0.05).all()
    assert (recorded.command_time <= recorded.observation_time[1:]).all()


@pytest.mark.slow
def test_cameras_that_were_swapped_are_refused_at_the_next_start_and_accepted_by_a_word(
    tmp_path: Path, board: Switchboard
) -> None:
    board[Switch.ARM_SERIAL] = 7.0
    with make_engine(tmp_path / "s", tmp_path / "board") as engine:
        until_phase(engine, Phase.READY)
        devices = engine.session.journal.ledger().lines_of(DevicesConnected)[-1].record.devices
        assert devices["arm left"]["serial"] == "F8"
        assert devices["camera scene"] | {"said": ""} == {
            "said": "",
            "model": "fake camera",
            "serial": "A",
            "settings": {"gain": 4.0},
        }
    board[Switch.SWAPPED] = 1.0
    with make_engine(tmp_path / "s", tmp_path / "board") as engine:
        until_phase(engine, Phase.FAULT)
        assert "camera scene: fake camera serial A last time, fake camera serial B now" in engine.state.reason
        assert "--accept-devices" in engine.state.reason
        press(engine, go())
        until_phase(engine, Phase.FAULT)
    with make_engine(
        tmp_path / "s", tmp_path / "board", options=EngineOptions(accept_devices=True)
    ) as engine:
        until_phase(engine, Phase.READY)
