"""Rollouts of several cells: every row is its own, whatever its neighbours do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets.episode import Ending
from datasets.observation import FloatArray, Observation
from datasets.randomness import stream
from station.session.engine import rollout
from station.session.engine.evaluation import EpisodeResult, evaluate
from station.session.engine.partial import PartialLog
from station.session.engine.recorder import EpisodeRecorder
from station.session.engine.rollout import Rollout, Start
from tests.station.session.fakes import PointCell, Pusher


def results(
    cells: int, n: int, *, first: int = 0, explore: bool = True, overlap: int = 0
) -> list[EpisodeResult]:
    made = [PointCell() for _ in range(cells)]
    found = evaluate(
        made,
        Pusher(n_action_steps=2 + overlap),
        "evaluation",
        3,
        n,
        n_obs=2,
        episode_steps=12,
        explore=explore,
        first=first,
        overlap=overlap,
    )
    return [*found]


@pytest.mark.parametrize("overlap", [0, 1])
def test_an_evaluation_does_not_depend_on_how_many_cells_share_the_work(overlap: int) -> None:
    assert results(1, 7, overlap=overlap) == results(3, 7, overlap=overlap)


def test_an_evaluation_can_be_taken_up_where_it_was_left() -> None:
    assert results(2, 4) + results(2, 3, first=4) == results(2, 7)


def test_success_is_the_simulators_truth() -> None:
    for result in results(2, 6):
        assert result.success == (result.ending is Ending.SUCCESS)
        assert result.steps <= 12 and result.chunks == -(-result.steps // 2)


def test_without_exploration_the_policy_alone_decides() -> None:
    assert {result.steps for result in results(1, 4, explore=False) if not result.success} <= {12}


@pytest.mark.parametrize(("stamped", "seconds"), [(True, 0.75), (False, 0.25)])
def test_a_decision_counts_from_its_observation_where_that_is_stamped_by_this_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stamped: bool, seconds: float
) -> None:
    clock = SimpleNamespace(now=100.0)

    class Cell(PointCell):
        def observe(self) -> Observation:
            seen = super().observe()
            return replace(seen, time=clock.now) if stamped else seen

        def plan(self, actions: FloatArray) -> None:
            clock.now += 0.25
            super().plan(actions)

    class SlowDisk(PartialLog):
        def flush(self, episode: str, recorder: EpisodeRecorder) -> None:
            clock.now += 0.5

    monkeypatch.setattr(rollout, "time", SimpleNamespace(monotonic=lambda: clock.now))
    start = Start(
        episode="one", cell=Cell(simulated=False), row=0, rng=stream(0, "one"), layout={"goal": 9.0}
    )
    running = Rollout(
        [start], Pusher(), batch=1, n_obs=1, episode_steps=9, explore=True, partial=SlowDisk(tmp_path)
    )
    running.advance()
    assert running.decision == seconds
