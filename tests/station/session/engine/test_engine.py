"""The engine on fake cells: keys, faults, a full disk, and what is on disk afterwards."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.durable import Disk
from datasets.episode import Ending, Episode, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import Noted
from datasets.store import EpisodeStore
from hardware.cell import ClockSpeed
from hardware.latch import StopLatch
from policy.remote.error import RemotePolicyError
from station.review.catalogue import Catalogue
from station.session.core.events import (
    EvaluateNow,
    Go,
    Label,
    Leave,
    Note,
    OperatorEvent,
    Pause,
    SetAutopilot,
    SetSpeed,
    UndoLabel,
    Void,
    WithdrawEvaluation,
)
from station.session.core.state import State
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.session.snapshot import Phase
from station.session.status import count
from station.tasks.session_settings import SessionSettings
from tests.station.session.answering import answering, go, rearm, resume
from tests.station.session.fakes import (
    EXECUTE,
    SESSION,
    Pusher,
    cell_of,
    headless,
    make_folder,
    make_parts,
    never_ending,
)
from tests.station.session.leftovers import cut_off, kept, reviewed

FIRST, SECOND = "online-000000", "online-000001"
LONG = SessionSettings(episode_steps=200, grace=0.0)
SHORT = SessionSettings(episode_steps=9, grace=0.0)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attended(
    path: Path, settings: SessionSettings = LONG, *, simulated: bool = True, clock: Clock | None = None
) -> Engine:
    """An engine with one cell and a person at the keys."""
    folder = SessionFolder.open(path) if path.exists() else make_folder(path, settings)
    return Engine(folder, make_parts(folder, simulated=simulated), EngineOptions(), clock=clock or Clock())


def until(engine: Engine, phase: Phase) -> None:
    turns(engine, lambda state: state.phase is phase)


def turns(engine: Engine, reached: Callable[[State], bool], most: int = 300) -> None:
    for _ in range(most):
        if reached(engine.state):
            return
        engine.turn()
    raise AssertionError(f"stuck in {engine.state.phase}: {engine.state.reason}")


def press(engine: Engine, *events: OperatorEvent) -> None:
    for event in events:
        engine.post(answering(event, engine.state))
        engine.turn()


def rolling(engine: Engine, steps: int = 3) -> Engine:
    """The first episode, some steps in."""
    until(engine, Phase.READY)
    press(engine, go())
    for _ in range(steps - 1):
        engine.turn()
    return engine


def test_nothing_moves_before_the_operator_says_that_the_scene_is_reset(tmp_path: Path) -> None:
    with attended(tmp_path / "s") as engine:
        until(engine, Phase.READY)
        for _ in range(3):
            engine.turn()
        assert cell_of(engine).moves == 0
        assert engine.snapshot().target.keys() == {"third"}
        press(engine, go())
        assert cell_of(engine).moves == 1


def test_a_key_ends_the_motion_at_once_and_the_reward_falls_on_the_last_step(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine, steps=3)
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
        until(engine, Phase.READY)
        episode = engine.session.store.load(FIRST)
        assert (episode.header.ending, episode.steps) == (Ending.OPERATOR, 3)
        assert episode.chunk_length.tolist() == [EXECUTE, 1]
        assert len(episode.features["c"]) == episode.chunks + 1
        assert engine.session.learner.replay.episode(FIRST).reward[-1] == 1.0


def test_a_pause_shortens_the_chunk_and_a_new_look_begins_the_next(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine, steps=3)
        press(engine, Pause())
        moves = cell_of(engine).moves
        engine.turn()
        assert (engine.state.phase, cell_of(engine).moves) == (Phase.PAUSED, moves)
        press(engine, resume())
        press(engine, Label(episode=FIRST, outcome=Outcome.FAILURE))
        engine.settle()
        episode = engine.session.store.load(FIRST)
        assert episode.chunk_length.tolist() == [EXECUTE, 1, episode.steps - 3]
        assert episode.chunk_start.tolist() == [0, 2, 3]


def test_a_relabel_reaches_the_learner_at_the_next_block(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s", SHORT)) as engine:
        rolling(engine)
        until(engine, Phase.READY)
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS), go())
        until(engine, Phase.READY)
        assert engine.session.learner.replay.episode(FIRST).outcome is Outcome.SUCCESS
        press(engine, Void(episode=FIRST), go())
        until(engine, Phase.READY)
        assert FIRST not in engine.session.learner.replay


def test_an_undone_label_survives_a_restart_and_is_not_guessed(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s", SHORT)) as engine:
        rolling(engine)
        until(engine, Phase.READY)
        press(engine, UndoLabel(episode=FIRST))
    with attended(tmp_path / "s") as again:
        assert again.state.pending == (FIRST,)


def test_the_latch_stops_motion_whoever_sets_it(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine)
        engine._latch.stop()
        moves = cell_of(engine).moves
        engine.turn()
        assert (engine.state.phase, cell_of(engine).moves) == (Phase.FAULT, moves)
        assert engine.snapshot().stopped
        counts = count(engine.folder)
        assert (counts.cut_off, counts.void, counts.episodes) == (1, 0, 0)
        assert kept(engine.folder) == {FIRST: 3}
        press(engine, go())
        assert engine.state.phase is Phase.FAULT
        press(engine, rearm(), go())
        until(engine, Phase.READY)
        assert engine.state.next_slots[0].episode == SECOND


def test_a_latch_that_was_removed_stops_the_session_until_it_is_rearmed_and_is_made_again(
    tmp_path: Path,
) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine)
        engine.folder.latch.unlink()
        moves = cell_of(engine).moves
        engine.turn()
        assert (engine.state.phase, cell_of(engine).moves) == (Phase.FAULT, moves)
        assert "stop.latch was removed or replaced" in " ".join(engine.snapshot().log)
        press(engine, rearm(), go())
        until(engine, Phase.READY)
        StopLatch(engine.folder.latch).stop()
        until(engine, Phase.FAULT)


def test_a_folder_that_moved_away_stops_the_session_and_nothing_is_rearmed_before_it_is_back(
    tmp_path: Path,
) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        until(engine, Phase.READY)
        (tmp_path / "s").rename(tmp_path / "moved")
        assert engine._latch.latched
        assert "cannot be made again" in engine._motion.not_rearmed(time.monotonic())
        assert not (tmp_path / "s").exists()
        (tmp_path / "moved").rename(tmp_path / "s")
        assert not engine._motion.not_rearmed(time.monotonic()) and not engine._latch.latched


def test_a_stop_pressed_after_the_stop_was_rearmed_wins_even_if_the_engine_hears_of_both_at_once(
    tmp_path: Path,
) -> None:
    with attended(tmp_path / "s") as engine:
        until(engine, Phase.READY)
        engine._latch.stop()
        until(engine, Phase.FAULT)
        engine.post(answering(rearm(), engine.state))
        engine.post(Go(answers=engine.state.question + 1))
        engine._latch.stop()
        engine.turn()
        assert engine.state.phase is Phase.FAULT and engine.snapshot().stopped
        assert "pressed once more" in " ".join(engine.snapshot().log)
        press(engine, rearm(), go())
        until(engine, Phase.READY)


def test_a_stop_outlives_the_engine(tmp_path: Path) -> None:
    with attended(tmp_path / "s") as engine:
        until(engine, Phase.READY)
        engine._latch.stop()
    with attended(tmp_path / "s") as again:
        again.turn()
        assert again.state.stopped


def test_a_policy_that_gives_nan_brakes_and_is_cut_off(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine, steps=2)
        steering = engine._parts.steering
        assert isinstance(steering, Pusher)
        steering.poisoned = True
        braked = cell_of(engine).braked
        engine.turn()
        engine.turn()
        assert engine.state.phase is Phase.FAULT
        assert "not finite" in engine.state.reason and FIRST in engine.state.reason
        assert cell_of(engine).braked > braked
        assert kept(engine.folder) == {FIRST: 2}
        assert np.isfinite(reviewed(engine.folder)[FIRST].groups[0].values).all()


def test_a_policy_that_gives_nan_from_the_start_leaves_a_line_and_nothing_to_look_at(tmp_path: Path) -> None:
    with attended(tmp_path / "s") as engine:
        until(engine, Phase.READY)
        steering = engine._parts.steering
        assert isinstance(steering, Pusher)
        steering.poisoned = True
        press(engine, go())
        until(engine, Phase.FAULT)
        assert cut_off(engine.folder)[FIRST]["steps"] == 0
        assert kept(engine.folder) == {}
        steering.poisoned = False
        press(engine, go())
        until(engine, Phase.READY)
        assert engine.state.next_slots[0].episode == SECOND


@pytest.mark.parametrize("when", ["at a decision", "at the last look", "at the key that ends it"])
def test_a_policy_server_that_is_away_brakes_and_the_next_start_asks_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def away(*_: object, **__: object) -> None:
        raise RemotePolicyError("The policy server did not answer.", remedy="Restart it, then continue.")

    # the step before the last is in the middle of a chunk
    settings = SessionSettings(episode_steps=5 * EXECUTE, grace=0.0)
    with never_ending(attended(tmp_path / "s", settings)) as engine:
        steps = settings.episode_steps - 1 if when == "at the last look" else 2
        rolling(engine, steps)
        braked = cell_of(engine).braked
        with monkeypatch.context() as patched:
            patched.setattr(engine._parts.steering, "features", away)
            if when == "at the key that ends it":
                press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
            until(engine, Phase.FAULT)
        assert engine.state.reason == "The policy server did not answer. Restart it, then continue."
        assert cell_of(engine).braked > braked
        assert cut_off(engine.folder)[FIRST]["reason"] == engine.state.reason
        assert kept(engine.folder) == {FIRST: steps + (when == "at the last look")}
        press(engine, go())
        until(engine, Phase.READY)
        assert engine.state.next_slots[0].episode == SECOND
        press(engine, go())
        press(engine, Label(episode=SECOND, outcome=Outcome.SUCCESS))
        until(engine, Phase.READY)
        assert engine.session.store.ids() == [SECOND]
        assert FIRST not in engine.state.verdicts


def test_a_frozen_camera_stops_motion_and_says_which(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine)
        cell_of(engine).frozen = True
        until(engine, Phase.FAULT)
        assert "Camera third" in engine.state.reason
        assert cut_off(engine.folder)[FIRST]["reason"] == engine.state.reason
        assert engine.session.store.ids() == []
        press(engine, go())
        until(engine, Phase.FAULT)
        cell_of(engine).frozen = False
        press(engine, go())
        until(engine, Phase.READY)


def test_learning_ends_although_a_device_fails_meanwhile_and_the_fault_is_shown(tmp_path: Path) -> None:
    clock = Clock()
    with attended(tmp_path / "s", clock=clock) as engine:
        turns(engine, lambda state: state.phase is Phase.READY)
        while not engine.state.learning:
            press(engine, go())
            engine.turn()
            press(engine, Label(episode=engine.state.last or "", outcome=Outcome.SUCCESS))
            turns(engine, lambda state: state.phase is Phase.READY or state.learning)
        cell_of(engine).frozen = True
        clock.now += 1.0
        engine.turn()
        assert engine.state.phase is Phase.FAULT and engine.state.learning
        assert "camera third" in engine.state.reason
        turns(engine, lambda state: not state.learning)
        assert engine.state.phase is Phase.FAULT
        cell_of(engine).frozen = False
        press(engine, go())
        until(engine, Phase.READY)


def test_a_full_disk_keeps_the_episode_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True]
    write, append = Disk.write, Disk.append

    def refusing(how: Callable[[Disk, Path, bytes], None]) -> Callable[[Disk, Path, bytes], None]:
        def act(disk: Disk, path: Path, data: bytes) -> None:
            if full[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            how(disk, path, data)

        return act

    clock = Clock()
    with never_ending(attended(tmp_path / "s", SHORT, clock=clock)) as engine:
        rolling(engine)
        monkeypatch.setattr(Disk, "write", refusing(write))
        monkeypatch.setattr(Disk, "append", refusing(append))
        until(engine, Phase.PAUSED)
        assert "full" in engine.state.reason
        assert engine.session.store.ids() == []
        press(engine, Leave(), Label(episode=FIRST, outcome=Outcome.SUCCESS))
        assert not engine.over
        full[0] = False
        clock.now += 1.0
        until(engine, Phase.READY)
        assert engine.session.store.ids() == [FIRST]
        # the key that was pressed while the disk was full ended the motion, in order, behind the episode
        assert [line.op for line in engine.session.journal.lines if line.op in ("episode", "label")] == [
            "episode",
            "label",
        ]


def test_the_grace_time_is_the_operators_to_use(tmp_path: Path) -> None:
    clock = Clock()
    patient = SHORT.model_copy(update={"grace": 2.0})
    with never_ending(attended(tmp_path / "s", patient, clock=clock)) as engine:
        rolling(engine)
        until(engine, Phase.LABEL)
        clock.now += 1.5
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
        clock.now += 1.5
        engine.turn()
        assert engine.snapshot().grace_left == pytest.approx(0.5)
        clock.now += 1.0
        until(engine, Phase.READY)
        assert count(engine.folder).success == 1


def test_the_automatic_operator_takes_over_what_waits(tmp_path: Path) -> None:
    with attended(tmp_path / "s", SHORT) as engine:
        until(engine, Phase.READY)
        press(engine, SetAutopilot(on=True), SetSpeed(speed=ClockSpeed.VIRTUAL))
        turns(engine, lambda state: state.updates_done >= 3)
        assert cell_of(engine).speed is ClockSpeed.VIRTUAL
        press(engine, SetAutopilot(on=False))
        turns(engine, lambda state: state.phase in (Phase.READY, Phase.LABEL))
    with attended(tmp_path / "s", SHORT) as again:
        assert (again.state.autopilot, again.state.speed) == (False, ClockSpeed.VIRTUAL)


@pytest.mark.slow
def test_mistakes_are_made_at_their_rate_and_never_in_evaluations(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=4, episodes=16, mistakes=1.0) as engine:
        engine.run()
        ledger, store = engine.session.journal.ledger(), engine.session.store
        wrong = {
            status.id: (status.outcome is Outcome.SUCCESS)
            != (store.header(status.id).source["truth"] == "success")
            for status in ledger.episodes.values()
        }
    assert {name for name, is_wrong in wrong.items() if is_wrong} == {
        name for name in wrong if "online" in name
    }


def test_the_tasks_rate_of_mistakes_holds_until_another_is_given(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s", SESSION.model_copy(update={"mistakes": 0.5}))

    def rate(options: EngineOptions) -> float:
        with Engine(folder, make_parts(folder), options) as engine:
            return engine.state.mistakes

    assert rate(EngineOptions()) == 0.5
    assert rate(EngineOptions(mistakes=0.0)) == 0.0
    assert rate(EngineOptions()) == 0.0


def test_evaluations_are_stored_but_neither_learnt_from_nor_counted_as_steps(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s", SESSION.model_copy(update={"evaluation_every": 0}))
    with headless(folder, cells=2, episodes=4) as engine:
        engine.post(EvaluateNow(episodes=3))
        engine.run()
        evaluated = [
            s for s in engine.session.journal.ledger().episodes.values() if s.kind is EpisodeKind.EVALUATION
        ]
        assert len(evaluated) == 3
        assert all(name.startswith("online") for name in engine.session.learner.replay.entries)
    counts = count(folder)
    online = [s for s in Journal(folder.journal).ledger().episodes.values() if s.kind is EpisodeKind.ONLINE]
    assert counts.env_steps == sum(status.steps for status in online)
    assert [point.rate.n for point in counts.evaluations] == [3]


def test_an_evaluation_that_was_asked_for_is_not_forgotten_by_a_kill(tmp_path: Path) -> None:
    killed = never_ending(attended(tmp_path / "s"))
    rolling(killed)
    killed.dispatch(EvaluateNow(episodes=3))
    killed.close()
    with attended(tmp_path / "s") as again:
        assert again.state.wanted_block == 3
        until(again, Phase.READY)
        press(again, go())
        press(again, Label(episode=FIRST, outcome=Outcome.FAILURE))
        turns(again, lambda state: state.block is not None)
        assert again.state.block is not None and again.state.block.n == 3
    with attended(tmp_path / "s") as third:
        assert third.state.wanted_block is None


def test_an_evaluation_that_was_withdrawn_does_not_come_back_after_a_kill(tmp_path: Path) -> None:
    killed = never_ending(attended(tmp_path / "s"))
    rolling(killed)
    killed.dispatch(EvaluateNow(episodes=3))
    killed.dispatch(WithdrawEvaluation())
    killed.close()
    with attended(tmp_path / "s") as again:
        assert again.state.wanted_block is None


def test_one_evaluation_block_and_out_runs_no_online_episode(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    options = EngineOptions(headless=True, autopilot=True, evaluate=2)
    with Engine(folder, make_parts(folder), options) as engine:
        engine.run()
    assert [mark.evaluation for mark in count(folder).last] == [True, True]
    with headless(folder, episodes=2) as engine:
        engine.run()
    assert count(folder).episodes == 2


def test_what_the_screen_counts_is_what_the_folder_counts(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=2, episodes=8) as engine:
        engine.run()
        assert engine.snapshot().counts == count(folder)


def test_a_running_replay_equals_one_that_is_built_from_the_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, cells=3, episodes=7) as engine:
        engine.run()
        rebuilt = make_parts(folder).replay(engine.session.store)
        rebuilt.sync(engine.session.journal.ledger(), engine.session.store.chunks)
        assert rebuilt.fingerprint() == engine.session.learner.replay.fingerprint()


def test_who_has_learnt_is_past_the_warm_up_also_before_past_episodes_are_read_back(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, episodes=8) as engine:
        assert engine.snapshot().steering.warmup_left > 0
        engine.run()
        assert engine.session.learner.steps > 0
    with attended(folder.path) as again:
        assert not len(again.session.learner.replay)
        assert again.snapshot().steering.warmup_left == 0


def test_a_headless_engine_that_nobody_watches_ends_in_a_fault(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder) as engine:
        engine._latch.stop()
        engine.run()
        assert engine.abandoned


def test_a_headless_engine_ends_where_only_a_person_can_give_the_label(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, episodes=2) as engine:
        engine.run()
        press(engine, UndoLabel(episode="online-000001"))
    with headless(folder, episodes=4) as again:
        again.run()
        assert "online-000001 needs a label" in again.abandoned
        press(again, Label(episode="online-000001", outcome=Outcome.FAILURE))
    with headless(folder, episodes=4) as third:
        third.run()
        assert not third.abandoned
    assert count(folder).episodes == 4


def test_a_note_is_kept(tmp_path: Path) -> None:
    with attended(tmp_path / "s") as engine:
        press(engine, Note(text="the juicer has moved"))
        assert engine.session.journal.lines[-1].record == Noted(text="the juicer has moved")


def test_a_real_cell_keeps_what_it_has_recorded_when_the_engine_is_ended(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s", simulated=False)) as engine:
        rolling(engine)
        press(engine, Leave())
        assert engine.over
    assert cut_off(engine.folder)[FIRST]["reason"] == "The engine was ended while the arm moved."
    assert kept(engine.folder) == {FIRST: cell_of(engine).moves}


def test_what_a_real_cell_had_flushed_when_it_was_cut_off_can_be_looked_at_and_counts_for_nothing(
    tmp_path: Path,
) -> None:
    engine = never_ending(attended(tmp_path / "s", simulated=False))
    rolling(engine, steps=2 * EXECUTE + 1)
    engine.close()
    flushed = sorted((tmp_path / "s" / "partial").rglob("*.npz"))
    assert [len(np.load(path)["action"]) for path in flushed] == [EXECUTE, EXECUTE]
    assert "killed" in Catalogue(engine.folder).items()[0].reason
    with attended(tmp_path / "s", simulated=False) as again:
        assert any(
            "cut off when the last engine was killed: 4 steps" in line for line in again.snapshot().log
        )
        until(again, Phase.READY)
        assert again.state.next_slots[0].episode == SECOND
    with attended(tmp_path / "s", simulated=False) as third:
        assert third.state.next_slots[0].episode == SECOND
    counts = count(again.folder)
    assert (counts.episodes, counts.cut_off) == (0, 1)
    assert cut_off(again.folder)[FIRST]["steps"] == 2 * EXECUTE
    assert kept(again.folder) == {FIRST: 2 * EXECUTE}


def test_a_committed_episode_of_a_real_cell_leaves_no_partial_copy(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s", simulated=False)) as engine:
        rolling(engine, steps=5)
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
        until(engine, Phase.READY)
        assert not [*(tmp_path / "s" / "partial").iterdir()]


def test_a_copy_that_a_kill_left_beside_its_committed_episode_goes_away(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s", simulated=False)) as engine:
        rolling(engine, steps=5)
        flushed = shutil.copytree(engine.folder.partial / FIRST, tmp_path / "copy")
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
        until(engine, Phase.READY)
    shutil.copytree(flushed, engine.folder.partial / FIRST)
    with attended(tmp_path / "s", simulated=False) as again:
        assert kept(again.folder) == {} and again.session.store.ids() == [FIRST]
    assert count(again.folder).cut_off == 0


def test_what_a_person_keeps_beside_the_leftovers_is_left_alone_and_is_no_recording(tmp_path: Path) -> None:
    with attended(tmp_path / "s") as engine:
        partial = engine.folder.partial
    notes = partial / "my notes" / "read me.txt"
    beside = partial / FIRST / "remark.txt"
    for path in (notes, beside):
        path.parent.mkdir(parents=True)
        path.write_text("look at the gripper")
    (partial / SECOND).mkdir()
    (partial / SECOND / ".steps-000000.npz").write_bytes(b"half a piece")
    with attended(tmp_path / "s") as again:
        assert cut_off(again.folder) == {}
        assert "my notes" not in [item.id for item in Catalogue(again.folder).items()]
    assert notes.exists() and beside.exists()
    assert not (partial / SECOND).exists(), "what a kill left before the first piece was whole"


def test_a_stop_with_a_full_disk_keeps_what_was_recorded_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    clock = Clock()
    with never_ending(attended(tmp_path / "s", simulated=False, clock=clock)) as engine:
        rolling(engine, steps=4)
        with monkeypatch.context() as full:
            full.setattr(np, "savez", refuse)
            engine._latch.stop()
            engine.turn()
            assert engine.state.disk_full and cut_off(engine.folder) == {}
            press(engine, Leave())
            assert not engine.over
        clock.now += 1.0
        engine.turn()
        assert kept(engine.folder) == {FIRST: 4}
        assert (cut_off(engine.folder)[FIRST]["steps"], cut_off(engine.folder)[FIRST]["lost"]) == (4, 0)


def test_what_a_broken_disk_refuses_is_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with never_ending(attended(tmp_path / "s", simulated=False)) as engine:
        rolling(engine, steps=EXECUTE + 1)
        monkeypatch.setattr(np, "savez", refuse)
        engine._latch.stop()
        engine.turn()
        line = cut_off(engine.folder)[FIRST]
        assert (line["steps"], line["lost"]) == (EXECUTE, 1)
        assert any("1 more could not be written" in said for said in engine.snapshot().log)


STOPS: dict[str, Callable[[Engine], object]] = {
    "on the way home": lambda engine: until(engine, Phase.HOMING),
    "before the reset": lambda engine: until(engine, Phase.READY),
    "at the first step": lambda engine: rolling(engine, steps=1),
    "at the end of a chunk": lambda engine: rolling(engine, steps=EXECUTE),
    "within a later chunk": lambda engine: rolling(engine, steps=3 * EXECUTE + 1),
    "while paused": lambda engine: press(rolling(engine), Pause()),
}


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("where", STOPS)
def test_a_session_that_was_stopped_and_cut_off_anywhere_goes_on_with_the_next_name(
    tmp_path: Path, where: str, simulated: bool
) -> None:
    with never_ending(attended(tmp_path / "s", simulated=simulated)) as engine:
        STOPS[where](engine)
        moved = {name: cell_of(engine).moves for name in engine.state.running}
        engine._latch.stop()
        engine.turn()
    with attended(tmp_path / "s", simulated=simulated) as again:
        until(again, Phase.FAULT)
        press(again, rearm(), go())
        until(again, Phase.READY)
        assert again.state.next_slots[0].episode == (SECOND if moved else FIRST)
        assert again.state.updates_begun == 0
        assert cut_off(again.folder).keys() == moved.keys() and kept(again.folder) == moved


def test_after_a_cut_off_no_key_means_the_episode_before_it_now_or_after_a_restart(tmp_path: Path) -> None:
    with never_ending(attended(tmp_path / "s")) as engine:
        rolling(engine)
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
        until(engine, Phase.READY)
        assert engine.snapshot().episode == FIRST
        press(engine, go())
        engine._latch.stop()
        engine.turn()
        assert cut_off(engine.folder).keys() == {SECOND} and engine.snapshot().episode is None
        assert engine.snapshot().undo is None
    with never_ending(attended(tmp_path / "s")) as again:
        assert again.snapshot().episode is None and again.snapshot().undo is None
        until(again, Phase.FAULT)
        press(again, rearm(), go())
        turns(again, lambda state: state.phase is Phase.READY)
        press(again, go(), Label(episode="online-000002", outcome=Outcome.FAILURE))
        turns(again, lambda state: "online-000002" in state.verdicts)
    with attended(tmp_path / "s") as third:
        assert third.snapshot().episode == "online-000002"


def test_going_on_after_a_fault_waits_until_the_episode_that_was_over_before_it_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = EpisodeStore.commit

    def slowly(store: EpisodeStore, episode: Episode) -> None:
        time.sleep(0.3)
        commit(store, episode)

    monkeypatch.setattr(EpisodeStore, "commit", slowly)
    with never_ending(attended(tmp_path / "s", simulated=False)) as engine:
        rolling(engine)
        press(engine, Label(episode=FIRST, outcome=Outcome.SUCCESS))
        engine._latch.stop()
        engine.turn()
        assert engine.state.phase is Phase.FAULT and FIRST not in engine.state.verdicts
        press(engine, rearm(), go())
        until(engine, Phase.READY)
        assert engine.state.next_slots[0].episode == SECOND
        assert (count(engine.folder).success, count(engine.folder).cut_off) == (1, 0)
