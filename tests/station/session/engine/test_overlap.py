"""Decisions before the end of a chunk: which steps are executed, what is recorded, and what a late decision does."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.episode import Ending, EpisodeHeader, EpisodeKind, Outcome
from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.steering.interface import Decision, Window
from station.session.core.events import Label
from station.session.engine.engine import Engine
from station.session.engine.options import EngineOptions
from station.session.engine.partial import PartialLog, read
from station.session.engine.recorder import EpisodeRecorder
from station.session.engine.rollout import Finished, Rollout, Slice, Start
from station.session.snapshot import Phase
from tests.station.session.driving import press, roll, until_phase
from tests.station.session.fakes import (
    SPEC,
    PointCell,
    Pusher,
    headless,
    make_folder,
    make_parts,
    never_ending,
)

EXECUTE = 4


class Numbering(Pusher):
    """Action i of decision d is far too small to move: d + i / 100; its feature is the step it was decided on."""

    def __init__(self, overlap: int) -> None:
        super().__init__(n_action_steps=EXECUTE + overlap)
        self.may_think = threading.Event()
        self.may_think.set()
        self.thinking = threading.Event()
        self.decisions = 0

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        self.thinking.set()
        self.may_think.wait(20.0)
        actions = np.zeros((window.batch, self.n_action_steps, SPEC.da), np.float32)
        actions[:, :, 0] = 1e-3 * (self.decisions + np.arange(self.n_action_steps) / 100)
        dz = np.full((window.batch, 1), self.decisions, np.float32)
        self.decisions += 1
        return Decision(actions=actions, chosen={"dz": dz})


class Endless(PointCell):
    """Nothing ends an episode but its limit and a key."""

    def __init__(self, *, simulated: bool) -> None:
        super().__init__(simulated=simulated)
        self.limit = 99.0
        self._goal = 9.0


class SlowDisk(PartialLog):
    """Writes the first piece when it is allowed to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writing, self.may_write = threading.Event(), threading.Event()

    def flush(self, episode: str, recorder: EpisodeRecorder) -> None:
        if recorder.steps:
            self.writing.set()
            assert self.may_write.wait(20.0)
        super().flush(episode, recorder)


def rollout(overlap: int, *, simulated: bool = True, episode_steps: int = 14) -> tuple[Rollout, Numbering]:
    steering = Numbering(overlap)
    cell = Endless(simulated=simulated)
    start = Start(episode="one", cell=cell, row=0, rng=stream(1, "overlap"))
    made = Rollout(
        [start], steering, batch=1, n_obs=1, episode_steps=episode_steps, explore=True, overlap=overlap
    )
    return made, steering


def run_out(made: Rollout) -> Finished:
    while made.running:
        part: Slice = made.advance()
        assert not part.fault
        if part.finished:
            return part.finished[0]
    raise AssertionError("it ended without an episode")


def executed(finished: Finished) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[int], list[int]]:
    """(decision, index) of every step, (start, length) of every chunk, where it was decided, and what was chosen."""
    header = EpisodeHeader(
        id="one", kind=EpisodeKind.ONLINE, ordinal=0, spec=SPEC, ending=finished.ending, created=""
    )
    episode = finished.recorder.build(header, finished.final)
    numbers = [round(float(number), 2) for number in 1e3 * episode.action[:, 0]]
    steps = [(int(number), round(100 * (number - int(number)))) for number in numbers]
    chunks = list(zip(episode.chunk_start.tolist(), episode.chunk_length.tolist(), strict=True))
    return steps, chunks, finished.recorder.decided_at, episode.decisions["dz"][:, 0].astype(int).tolist()


def test_without_an_overlap_every_chunk_begins_where_it_was_decided() -> None:
    steps, chunks, decided_at, _ = executed(run_out(rollout(0)[0]))
    assert steps == [(d, i) for d in range(4) for i in range(4)][:14]
    assert chunks == [(0, 4), (4, 4), (8, 4), (12, 2)] and decided_at == [0, 4, 8, 12]


@pytest.mark.parametrize("overlap", [1, 2, 3])
@pytest.mark.parametrize("simulated", [True, False])
def test_with_an_overlap_the_running_chunk_is_executed_while_the_next_is_decided(
    overlap: int, simulated: bool
) -> None:
    steps, chunks, decided_at, chosen = executed(run_out(rollout(overlap, simulated=simulated)[0]))
    # what a step of decision d at index i is: d x 4 steps after the beginning, and i more
    assert [4 * d + i for d, i in steps] == list(range(14))
    starts = [0, *(4 * d + overlap for d in range(1, 4) if 4 * d + overlap < 14)]
    assert [start for start, _ in chunks] == starts and sum(length for _, length in chunks) == 14
    assert [d for d, i in steps] == [d for d, (_, length) in enumerate(chunks) for _ in range(length)]
    assert decided_at == [0, *(start - overlap for start in starts[1:])]
    assert chosen == list(range(len(starts)))


def test_a_decision_of_which_nothing_was_executed_is_in_no_record() -> None:
    made, steering = rollout(2, episode_steps=9)  # the third decision is taken at 8, and would start at 10
    finished = run_out(made)
    steps, chunks, _, chosen = executed(finished)
    assert steering.decisions == 3 and chosen == [0, 1]
    assert chunks == [(0, 6), (6, 3)] and len(steps) == 9


def test_a_late_decision_is_awaited_without_a_step_and_continues_where_the_arm_stopped() -> None:
    made, steering = rollout(2, simulated=False)
    steering.may_think.set()
    for _ in range(4):
        assert not made.advance().fault
    steering.may_think.clear()
    for _ in range(20):
        assert made.advance() == Slice()
    assert (made.steps, made.late, steering.decisions) == (6, 1, 1)
    steering.may_think.set()
    steps, chunks, *_ = executed(run_out(made))
    assert [4 * d + i for d, i in steps] == list(range(14)) and chunks == [(0, 6), (6, 4), (10, 4)]


def test_a_key_while_the_policy_thinks_ends_the_episode_and_brakes_first() -> None:
    made, steering = rollout(2, simulated=False)
    for _ in range(4):
        made.advance()
    steering.may_think.clear()
    steering.thinking.clear()
    made.advance()
    assert steering.thinking.wait(20.0)
    cell = made._runs[0].start.cell
    assert isinstance(cell, PointCell)
    braked_before_the_thought_was_over: list[bool] = []

    def let_it_think() -> None:
        braked_before_the_thought_was_over.append(cell.braked > 0)
        steering.may_think.set()

    threading.Timer(0.1, let_it_think).start()
    [finished] = made.end("one")
    steps, chunks, _, chosen = executed(finished)
    assert finished.ending is Ending.OPERATOR and braked_before_the_thought_was_over == [True]
    assert (len(steps), chunks, chosen) == (5, [(0, 5)], [0])


def test_a_slow_disk_makes_a_decision_late_and_neither_a_step_nor_a_copy_is_lost(tmp_path: Path) -> None:
    steering = Numbering(2)
    disk = SlowDisk(tmp_path)
    start = Start(episode="online-000001", cell=Endless(simulated=False), row=0, rng=stream(1, "overlap"))
    made = Rollout(
        [start], steering, batch=1, n_obs=1, episode_steps=30, explore=True, partial=disk, overlap=2
    )
    while not disk.writing.is_set():
        assert not made.advance().fault
    late = made.late  # a thread that started late made the first decision late
    while made.late == late:  # the arm goes on while the disk does not
        assert not made.advance().fault
    assert made.steps >= 8
    disk.may_write.set()
    while made.steps < 20:
        assert not made.advance().fault
    recorder = made.abort()["online-000001"]
    assert disk.keep("online-000001", recorder) == recorder.steps == 20
    pieces, holes = read(tmp_path / "online-000001")
    assert not holes and sum(len(piece["action"]) for piece in pieces) == 20


def test_an_abort_while_the_policy_thinks_brakes_first_and_leaves_no_thought_behind() -> None:
    made, steering = rollout(2, simulated=False)
    for _ in range(4):
        made.advance()
    steering.may_think.clear()
    made.advance()
    cell = made._runs[0].start.cell
    assert isinstance(cell, PointCell)
    braked: list[int] = []

    def let_it_think() -> None:
        braked.append(cell.braked)
        steering.may_think.set()

    threading.Timer(0.1, let_it_think).start()
    assert made.abort()["one"].steps == 5
    assert braked == [1] and not made._thinker.busy and steering.decisions == 2


def test_after_a_pause_the_next_decision_finds_the_arm_at_rest() -> None:
    made, _ = rollout(2, simulated=False)
    for _ in range(5):
        made.advance()
    made.brake()
    made.resume()
    finished = run_out(made)
    steps, chunks, decided_at, chosen = executed(finished)
    # decision 1 was taken at step 4 and dropped; decision 2 begins anew at step 5
    assert chosen == [0, 2, 3] and decided_at == [0, 5, 9]
    assert chunks == [(0, 5), (5, 6), (11, 3)]
    assert steps[5:] == [(2, i) for i in range(6)] + [(3, i) for i in range(2, 5)]


@pytest.mark.parametrize("overlap", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_what_is_learnt_from_is_a_decision_with_the_steps_of_its_own_chunk(
    tmp_path: Path, overlap: int
) -> None:
    with headless(make_folder(tmp_path / "s"), episodes=5, overlap=overlap) as engine:
        engine.run()
        replay, store, gamma = engine.session.learner.replay, engine.session.store, 0.99
        successes = 0
        for name in replay.entries:
            kept, seen = replay.episode(name), store.load(name)
            assert kept.length.sum() == seen.steps
            success = kept.outcome is Outcome.SUCCESS
            successes += success
            reward = np.zeros(len(kept.length))
            reward[-1] = success * gamma ** (kept.length[-1] - 1)
            np.testing.assert_allclose(kept.reward, reward, rtol=1e-6)
            discount = gamma ** kept.length.astype(float)
            discount[-1] *= 0.0
            np.testing.assert_allclose(kept.discount, discount, rtol=1e-6)
            decided_at = seen.header.source.get("decided_at", seen.chunk_start.tolist())
            # the feature is what was observed at the decision, and what was chosen there is what was executed
            np.testing.assert_array_equal(kept.features["c"][:-1, 0], seen.proprioception[decided_at, 0])
            np.testing.assert_array_equal(kept.features["c"][-1, 0], seen.proprioception[-1, 0])
            np.testing.assert_allclose(
                seen.action[seen.chunk_start, 0], 2.0 * seen.decisions["dz"][:, 0], rtol=1e-6
            )
            assert decided_at == [max(0, start - overlap) for start in seen.chunk_start.tolist()]
        assert successes


def test_a_late_decision_is_in_the_log_once_an_episode(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    parts = make_parts(folder, simulated=False, overlap=1)
    act = parts.steering.act

    def slowly(*given: Any, explore: bool) -> Decision:
        time.sleep(0.03)
        return act(*given, explore=explore)

    parts.steering.act = slowly  # type: ignore[method-assign, assignment]
    with Engine(folder, parts, EngineOptions()) as engine:
        never_ending(engine)
        episode = roll(engine, 6)
        press(engine, Label(episode=episode, outcome=Outcome.FAILURE))
        until_phase(engine, Phase.READY)
        said = [line for line in engine.snapshot().log if "longer than the overlap" in line]
        seen = engine.session.store.load(episode)
    assert len(said) == 1 and "of 100 ms (overlap = 1)" in said[0]
    assert seen.header.source["decided_at"] == [0, *range(2, seen.steps - 1, 2)]


def test_actions_that_are_not_finite_brake_before_any_of_them_is_posted() -> None:
    made, steering = rollout(1, simulated=False)
    act = steering.act

    def poisoned(
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        decision = act(window, features, rngs, explore=explore)
        if steering.decisions > 1:
            decision.actions[:] = np.nan
        return decision

    steering.act = poisoned  # type: ignore[method-assign]
    faults: list[str] = []
    while not faults:
        part = made.advance()
        faults += [part.fault] if part.fault else []
    cell = made._runs[0].start.cell
    assert isinstance(cell, PointCell)
    assert "not finite" in faults[0] and cell.braked == 1 and made.steps <= 5
