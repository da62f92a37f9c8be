"""Once leaving is decided nothing begins, and what has ended is written down."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from datasets.episode import Episode, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import Labelled
from datasets.store import EpisodeStore, unjournaled
from station.session.core.effects import AbortMotion, Brake, Effect, Refuse, Say, Write
from station.session.core.events import (
    DiskFull,
    EvaluateNow,
    EventSource,
    Faulted,
    Label,
    Leave,
    Pause,
    SetAutopilot,
    Stop,
    Tick,
    UpdateDone,
)
from station.session.engine.engine import Engine
from station.session.folder import SessionFolder
from station.session.snapshot import Phase
from tests.station.session.answering import go
from tests.station.session.core.test_machine import FIRST, SECOND, Session, ended, learning, ready, rolling
from tests.station.session.driving import until
from tests.station.session.engine.test_resume import EPISODES, MISTAKES, assert_same, outcome, uninterrupted
from tests.station.session.engine.test_resume import Outcome as Whole
from tests.station.session.fakes import PointCell, headless, make_folder

CELLS = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The session that nobody interrupted."""
    return uninterrupted(tmp_path_factory.mktemp("whole") / "s", CELLS)


class Gate:
    """A store whose commits wait as long as another episode moves, or until they are let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.engine: Engine | None = None
        commit = EpisodeStore.commit

        def gated(store: EpisodeStore, episode: Episode) -> None:
            while self.engine and moving(self.engine) and not self.open.wait(0.01):
                pass
            commit(store, episode)

        monkeypatch.setattr(EpisodeStore, "commit", gated)

    def wait(self, engine: Engine) -> None:
        """Turn the engine until one episode is on its way to the store while another moves."""
        self.engine = engine
        until(engine, lambda: engine._writer.busy and moving(engine))


def moving(engine: Engine) -> bool:
    return bool(engine._motion._rollout and engine._motion._rollout.running)


def moves(engine: Engine) -> list[int]:
    """Control steps of each cell."""
    return [cell.moves for cell in engine._parts.cells if isinstance(cell, PointCell)]


def operations(folder: SessionFolder) -> list[str]:
    return [line.op for line in Journal(folder.journal).lines]


@pytest.mark.slow
@pytest.mark.parametrize("also", [None, pytest.param(Stop(), marks=pytest.mark.slow)])
def test_an_engine_that_leaves_while_an_episode_is_committed_changes_nothing_of_the_session(
    tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch, also: Stop | None
) -> None:
    folder = make_folder(tmp_path / "left")
    gate = Gate(monkeypatch)
    with headless(folder, cells=CELLS, episodes=EPISODES, mistakes=MISTAKES) as engine:
        gate.wait(engine)
        engine.post(Leave(source=EventSource.SYSTEM))
        if also is not None:
            engine.post(also)
        steps = moves(engine)
        engine.turn()
        assert not engine.over, "the episode is not in the journal yet"
        gate.open.set()
        engine.run()
        assert moves(engine) == steps, "the other episode stands still"
    assert not {"fault", "cut_off", "stop"} & {*operations(folder)}
    with headless(folder, cells=CELLS, episodes=EPISODES, mistakes=MISTAKES) as again:
        again.run()
    assert_same(outcome(folder), whole)


def test_an_engine_that_is_closed_while_an_episode_is_committed_changes_nothing_either(
    tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "closed")
    gate = Gate(monkeypatch)
    with headless(folder, cells=CELLS, episodes=EPISODES, mistakes=MISTAKES) as engine:
        gate.wait(engine)
        engine._events.append(Faulted(reason="A plan ended before its last step."))
        gate.open.set()
    assert not unjournaled(EpisodeStore(folder.episodes), Journal(folder.journal).ledger())
    assert not {"fault", "cut_off"} & {*operations(folder)}
    with headless(folder, cells=CELLS, episodes=EPISODES, mistakes=MISTAKES) as again:
        again.run()
    assert_same(outcome(folder), whole)


@pytest.mark.slow
def test_terminated_again_and_again_while_an_episode_is_committed_it_goes_on_exactly(
    tmp_path: Path, whole: Whole
) -> None:
    folder = make_folder(tmp_path / "left")
    for _ in range(3):
        engine = start(folder.path, "--slow-commits")
        committing = folder.path / "committing"
        deadline = time.monotonic() + 120.0
        while not committing.exists():
            assert engine.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(timeout=120) == 128 + signal.SIGTERM
    assert not {"fault", "cut_off"} & {*operations(folder)}
    assert start(folder.path).wait(timeout=120) == 0
    assert_same(outcome(folder), whole)


def start(path: Path, *flags: str) -> subprocess.Popen[bytes]:
    words = ["-m", "tests.station.session.engine.tiny_engine", str(path), str(EPISODES), *flags]
    return subprocess.Popen([sys.executable, *words])


# --- the machine --------------------------------------------------------------------------------------------------


def left(session: Session) -> Session:
    session.send(Leave())
    assert session.state.leaving
    return session


def orders(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Say | Refuse)]


def test_whatever_is_pressed_after_leaving_is_refused_in_words() -> None:
    session = left(ready())
    for press in (go(), Pause(), EvaluateNow(), SetAutopilot(on=True), Leave()):
        (said,) = session.send(press)
        assert isinstance(said, Refuse) and "is ending" in said.text
    assert session.phase is Phase.READY


def test_a_label_that_was_pressed_before_leaving_is_written_and_one_pressed_after_it_is_not() -> None:
    session = rolling(cells=2)
    session.send(Label(episode=SECOND, outcome=Outcome.SUCCESS))
    left(session)
    assert not orders(session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS)))
    assert orders(session.send(ended(SECOND)))
    assert session.state.verdicts[SECOND].outcome is Outcome.SUCCESS


def test_an_episode_that_ends_after_leaving_is_entered_and_nothing_follows_it() -> None:
    session = rolling(grace=0.0)
    session.send(Label(episode=FIRST, outcome=Outcome.SUCCESS))
    left(session)
    label = Labelled(episode=FIRST, outcome=Outcome.SUCCESS, by=EventSource.OPERATOR.value)
    assert session.send(ended(FIRST)) == [Write(record=label)]
    assert session.state.updates_begun == 0


def test_no_fault_and_no_end_of_an_update_is_heard_after_leaving() -> None:
    session = left(learning())
    before = session.state
    assert session.send(Faulted(reason="A plan ended."), UpdateDone(policy_version=1), Tick(now=99.0)) == []
    assert session.state.updates_done == before.updates_done and session.phase is before.phase


def test_a_stop_after_leaving_brakes_and_cuts_nothing_off() -> None:
    session = left(rolling(cells=2))
    assert session.send(Stop()) == [Brake()]
    assert session.state.running == {FIRST, SECOND}


def test_a_real_arm_that_moved_when_its_engine_left_is_cut_off_once() -> None:
    session = rolling(simulated=False)
    cuts = [effect for effect in session.send(Leave(), Stop()) if isinstance(effect, AbortMotion)]
    assert len(cuts) == 1


def test_a_disk_that_fills_up_while_leaving_keeps_the_engine_and_says_why() -> None:
    session = left(rolling(cells=2))
    session.send(DiskFull(reason="The disk is full."))
    assert not session.state.leaving
    assert session.phase is Phase.PAUSED and "did not end" in session.state.reason
