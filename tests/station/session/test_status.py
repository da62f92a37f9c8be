"""Counts, intervals and curves, from the journal alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import binomtest

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import Journal, Line
from datasets.journal.records import (
    BaseEvaluated,
    BaseTrained,
    EpisodeCommitted,
    EpisodeCutOff,
    EvaluationEnded,
    Labelled,
    PhaseEntered,
    Record,
    Voided,
)
from station.session.snapshot import Phase
from station.session.status import count, resting_state, tally, to_json, wilson
from tests.station.session.fakes import make_folder


def episode(
    journal: Journal, name: str, outcome: str | None, steps: int = 10, block: int | None = None
) -> None:
    kind, _, ordinal = name.partition("-")
    journal.append(
        EpisodeCommitted(
            id=name,
            kind=EpisodeKind(kind),
            ordinal=int(ordinal),
            steps=steps,
            chunks=2,
            ending=Ending.EPISODE_LIMIT,
            policy_version=1,
            block=block,
        )
    )
    if outcome:
        journal.append(Labelled(episode=name, outcome=Outcome(outcome), by="operator"))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", writable=True)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (7, 20), (77, 150)])
def test_the_interval_is_wilsons(successes: int, n: int) -> None:
    rate = wilson(successes, n)
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_no_episode_is_no_knowledge() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_void_and_pending_episodes_leave_the_rates(journal: Journal) -> None:
    for ordinal, outcome in enumerate(["success", "failure", "timeout", "success", None]):
        episode(journal, f"online-{ordinal:06d}", outcome)
    journal.append(Voided(episode="online-000003", by="operator"))
    counts = tally(journal.ledger(), rolling_window=50)
    assert (counts.episodes, counts.success, counts.failure, counts.timeout) == (4, 1, 1, 1)
    assert (counts.void, counts.pending, counts.env_steps, counts.chunks) == (1, 1, 40, 8)
    assert counts.rolling is not None and (counts.rolling.successes, counts.rolling.n) == (1, 3)


def test_a_relabel_changes_the_past_of_the_curve(journal: Journal) -> None:
    for ordinal in range(4):
        episode(journal, f"online-{ordinal:06d}", "failure")
    journal.append(Labelled(episode="online-000001", outcome=Outcome.SUCCESS, by="operator"))
    counts = tally(journal.ledger(), rolling_window=2)
    assert counts.success_curve == ((10, 0.0), (20, 0.5), (30, 0.5), (40, 0.0))


def test_an_evaluation_point_counts_its_own_block_as_it_is_labelled_now(journal: Journal) -> None:
    for block, outcomes in enumerate((["success", "failure"], ["success", "success"])):
        for index, outcome in enumerate(outcomes):
            episode(journal, f"evaluation-{2 * block + index:06d}", outcome, block=block)
        journal.append(EvaluationEnded(ordinal=block, first=0, n=2, at=0, env_steps=9, policy_version=4))
    journal.append(Voided(episode="evaluation-000003", by="operator"))
    points = tally(journal.ledger(), rolling_window=5).evaluations
    assert [(point.rate.successes, point.rate.n) for point in points] == [(1, 2), (1, 1)]


def test_what_was_cut_off_is_counted_by_itself_only(journal: Journal) -> None:
    episode(journal, "online-000000", "success")
    before = tally(journal.ledger(), rolling_window=2)
    journal.append(EpisodeCutOff(episode="online-000001", steps=7, lost=0, reason="Stopped by the operator."))
    assert tally(journal.ledger(), rolling_window=2) == replace(before, cut_off=1)
    assert to_json(replace(before, cut_off=1), "online")["cut_off"] == 1


def test_status_has_the_names_that_scripts_rely_on(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    journal = Journal(folder.journal, writable=True)
    journal.append(BaseEvaluated(path="raw", layouts="evaluation", n=2, outcomes=[True, True]))
    journal.append(
        BaseEvaluated(path="latent", layouts="evaluation", n=4, outcomes=[True, False, True, False])
    )
    printed = to_json(count(folder), "ready")
    assert set(printed) >= {
        *("demos", "episodes", "success", "failure", "timeout", "void", "chunks", "env_steps"),
        *("updates", "policy_version", "state", "base_success", "eval"),
    }
    assert (printed["base_success"], printed["state"]) == (0.5, "ready")


def test_a_resting_session_says_how_far_it_is(journal: Journal) -> None:
    assert resting_state(journal.ledger()) == "empty"
    journal.append(BaseTrained(stage="done", demos="d", base_hash="b", episodes=1, stages=[], seconds=1.0))
    assert resting_state(journal.ledger()) == "trained"
    journal.append(PhaseEntered(phase=Phase.FINISHED.value, spent={}))
    assert resting_state(journal.ledger()) == "finished"


def test_long_curves_are_thinned_and_end_at_the_newest_episode(journal: Journal) -> None:
    ledger = journal.ledger()
    for ordinal in range(700):
        for line in lines(ordinal):
            ledger.add(line)
    counts = tally(ledger, rolling_window=50)
    assert len(counts.success_curve) <= 302
    assert counts.success_curve[-1] == (counts.env_steps, 1.0)


def lines(ordinal: int) -> list[Line[Record]]:
    name = f"online-{ordinal:06d}"
    entered = EpisodeCommitted(
        id=name,
        kind=EpisodeKind.ONLINE,
        ordinal=ordinal,
        steps=10,
        chunks=2,
        ending=Ending.SUCCESS,
        policy_version=0,
    )
    labelled = Labelled(episode=name, outcome=Outcome.SUCCESS, by="autopilot")
    return [
        Line(seq=2 * ordinal + 1, time=0.0, record=entered),
        Line(seq=2 * ordinal + 2, time=0.0, record=labelled),
    ]
