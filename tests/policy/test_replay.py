"""The replay follows the journal: labels, relabels, voids and restores reach the learner, in one canonical order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.episode import EpisodeKind, Outcome
from datasets.journal.journal import Ledger
from datasets.observation import FloatArray
from datasets.randomness import stream
from datasets.store import ChunkRecord
from policy.replay import ReplayBuffer, ReplayError, Timeout
from policy.steering.interface import RecordSpec
from tests.policy.steering.toys import header, status

RECORD = RecordSpec(features={"c": (3,), "z": (2,)}, decisions={"dz": (2,)})
GAMMA = 0.9


def numbers(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.standard_normal(shape, dtype=np.float32)


def record(ordinal: int, lengths: tuple[int, ...] = (4, 4, 3), base_hash: str = "toy") -> ChunkRecord:
    rng, chunks = stream(3, "record", ordinal), len(lengths)
    return ChunkRecord(
        header=header(ordinal, base_hash),
        steps=sum(lengths),
        chunk_start=np.cumsum((0, *lengths[:-1]))[:chunks],
        chunk_length=np.array(lengths, np.int64),
        features={"c": numbers(rng, chunks + 1, 3), "z": numbers(rng, chunks + 1, 2)},
        decisions={"dz": numbers(rng, chunks, 2)},
    )


class Shelf:
    """Records by id, and a count of how often each was loaded."""

    def __init__(self, *records: ChunkRecord) -> None:
        self.records = {record.header.id: record for record in records}
        self.loads: list[str] = []

    def load(self, episode: str) -> ChunkRecord:
        self.loads.append(episode)
        return self.records[episode]


def ledger_of(**outcomes: Outcome | None) -> Ledger:
    ledger = Ledger()
    for name, outcome in outcomes.items():
        entry = status(int(name[1:]), 3, outcome)
        ledger.episodes[entry.id] = entry
    return ledger


def change(ledger: Ledger, ordinal: int, outcome: Outcome | None, *, void: bool = False) -> None:
    episode = f"online-{ordinal:06d}"
    ledger.episodes[episode] = replace(ledger.episodes[episode], outcome=outcome, void=void)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(*(record(ordinal) for ordinal in range(6)))


def test_success_pays_on_the_last_executed_step_of_a_shortened_chunk(shelf: Shelf) -> None:
    replay = ReplayBuffer(RECORD, GAMMA)
    replay.sync(ledger_of(e0=Outcome.SUCCESS), shelf.load)
    episode = replay.episode("online-000000")
    np.testing.assert_allclose(episode.reward, [0, 0, GAMMA**2], rtol=1e-6)
    np.testing.assert_allclose(episode.discount, [GAMMA**4, GAMMA**4, 0], rtol=1e-6)


def test_the_value_of_the_first_chunk_is_the_discounted_reward_per_step(shelf: Shelf) -> None:
    replay = ReplayBuffer(RECORD, GAMMA)
    replay.sync(ledger_of(e0=Outcome.SUCCESS), shelf.load)
    episode, value = replay.episode("online-000000"), 0.0
    for reward, discount in zip(episode.reward[::-1], episode.discount[::-1], strict=True):
        value = float(reward + discount * value)
    assert value == pytest.approx(GAMMA**10)


def test_failure_and_terminal_timeout_end_the_return(shelf: Shelf) -> None:
    replay = ReplayBuffer(RECORD, GAMMA, timeout=Timeout.TERMINAL)
    replay.sync(ledger_of(e0=Outcome.FAILURE, e1=Outcome.TIMEOUT), shelf.load)
    for episode in replay.entries:
        assert replay.episode(episode).discount[-1] == 0
        assert not replay.episode(episode).reward.any()


def test_a_bootstrapped_timeout_goes_on_but_a_failure_does_not(shelf: Shelf) -> None:
    replay = ReplayBuffer(RECORD, GAMMA, timeout=Timeout.BOOTSTRAP)
    replay.sync(ledger_of(e0=Outcome.FAILURE, e1=Outcome.TIMEOUT), shelf.load)
    assert replay.episode("online-000000").discount[-1] == 0
    assert replay.episode("online-000001").discount[-1] == pytest.approx(GAMMA**3)


def test_relabel_reaches_the_replay_buffer(shelf: Shelf) -> None:
    ledger, replay = ledger_of(e0=Outcome.FAILURE), ReplayBuffer(RECORD, GAMMA)
    replay.sync(ledger, shelf.load)
    change(ledger, 0, Outcome.SUCCESS)
    report = replay.sync(ledger, shelf.load)
    assert report.relabelled == ("online-000000",)
    assert float(replay.sample(stream(1, "draw"), 64).reward.max()) == pytest.approx(GAMMA**2)


def test_void_and_reopened_episodes_leave_and_a_restored_one_comes_back(shelf: Shelf) -> None:
    ledger, replay = (
        ledger_of(e0=Outcome.SUCCESS, e1=Outcome.FAILURE, e2=Outcome.SUCCESS),
        ReplayBuffer(RECORD),
    )
    replay.sync(ledger, shelf.load)
    before = replay.fingerprint()
    change(ledger, 0, Outcome.SUCCESS, void=True)
    change(ledger, 1, None)
    replay.sync(ledger, shelf.load)
    assert replay.entries == ("online-000002",)
    assert len(replay) == 3
    change(ledger, 0, Outcome.SUCCESS)
    change(ledger, 1, Outcome.FAILURE)
    replay.sync(ledger, shelf.load)
    assert replay.fingerprint() == before
    assert sorted(shelf.loads) == ["online-000000", "online-000001", "online-000002"]


def test_replay_rebuilt_from_the_store_equals_the_running_one(shelf: Shelf) -> None:
    ledger, running = ledger_of(e0=Outcome.FAILURE, e3=Outcome.SUCCESS, e1=None), ReplayBuffer(RECORD)
    running.sync(ledger, shelf.load)
    change(ledger, 1, Outcome.TIMEOUT)
    change(ledger, 0, Outcome.SUCCESS)
    running.sync(ledger, shelf.load)
    change(ledger, 3, Outcome.SUCCESS, void=True)
    for late in (status(5, 3, Outcome.SUCCESS), status(4, 3, Outcome.FAILURE)):
        ledger.episodes[late.id] = late
    running.sync(ledger, shelf.load)
    rebuilt = ReplayBuffer(RECORD)
    rebuilt.sync(ledger, shelf.load)
    assert rebuilt.entries == running.entries
    assert rebuilt.fingerprint() == running.fingerprint()
    one, other = (replay.sample(stream(9, "draw"), 32) for replay in (rebuilt, running))
    assert all(bool((one.features[name] == other.features[name]).all()) for name in one.features)
    assert bool((one.reward == other.reward).all())


def test_a_running_replay_equals_a_rebuilt_one_after_any_history(shelf: Shelf) -> None:
    rng, ledger, running = stream(4, "history"), Ledger(), ReplayBuffer(RECORD, timeout=Timeout.BOOTSTRAP)
    labels = [None, *Outcome]
    for _ in range(300):
        ordinal = int(rng.integers(6))
        entry = status(ordinal, 3, labels[int(rng.integers(len(labels)))])
        ledger.episodes[entry.id] = replace(entry, void=bool(rng.integers(4) == 0))
        if rng.integers(2):
            running.sync(ledger, shelf.load)
            rebuilt = ReplayBuffer(RECORD, timeout=Timeout.BOOTSTRAP)
            rebuilt.sync(ledger, shelf.load)
            assert running.entries == rebuilt.entries == tuple(sorted(rebuilt.entries))
            assert running.fingerprint() == rebuilt.fingerprint()


def test_episodes_can_be_read_ahead_piece_by_piece_and_nothing_is_learnt_from_them_before_the_sync(
    shelf: Shelf,
) -> None:
    ledger = ledger_of(e0=Outcome.SUCCESS, e1=None, e2=Outcome.FAILURE, e3=Outcome.SUCCESS)
    replay, whole = ReplayBuffer(RECORD), ReplayBuffer(RECORD)
    assert [replay.read_some(ledger, shelf.load, patience=0.0) for _ in range(4)] == [2, 1, 0, 0]
    assert not len(replay) and len(shelf.loads) == 3
    replay.sync(ledger, shelf.load)
    whole.sync(ledger, Shelf(*shelf.records.values()).load)
    assert replay.fingerprint() == whole.fingerprint() and len(shelf.loads) == 3


def test_next_features_are_those_of_the_following_decision_and_never_of_another_episode(shelf: Shelf) -> None:
    replay = ReplayBuffer(RECORD)
    replay.sync(ledger_of(e0=Outcome.SUCCESS, e1=Outcome.FAILURE), shelf.load)
    follower = {}
    for held in (shelf.records[episode] for episode in replay.entries):
        for now, then in zip(held.features["c"][:-1], held.features["c"][1:], strict=True):
            follower[now.tobytes()] = then.tobytes()
    batch = replay.sample(stream(2, "draw"), 50)
    for now, then in zip(batch.features["c"].numpy(), batch.next_features["c"].numpy(), strict=True):
        assert follower[now.tobytes()] == then.tobytes()


def test_evaluations_and_demonstrations_stay_out(shelf: Shelf) -> None:
    ledger, replay = ledger_of(e0=Outcome.SUCCESS), ReplayBuffer(RECORD)
    for kind in (EpisodeKind.EVALUATION, EpisodeKind.DEMO):
        ledger.episodes[kind] = replace(ledger.episodes["online-000000"], id=kind, kind=kind)
    replay.sync(ledger, shelf.load)
    assert replay.entries == ("online-000000",)


def test_features_of_another_base_are_refused_with_the_reason_and_loaded_once() -> None:
    shelf = Shelf(record(0), record(1, base_hash="an older base"))
    ledger, replay = ledger_of(e0=Outcome.SUCCESS, e1=Outcome.SUCCESS), ReplayBuffer(RECORD, base_hash="toy")
    replay.sync(ledger, shelf.load)
    report = replay.sync(ledger, shelf.load)
    assert replay.entries == ("online-000000",)
    assert "another base" in report.refused["online-000001"]
    assert len(shelf.loads) == 2


def test_records_of_another_shape_and_empty_ones_are_refused() -> None:
    shelf = Shelf(record(0, ()), record(1))
    replay = ReplayBuffer(RecordSpec(features={"c": (7,)}, decisions={}))
    report = replay.sync(ledger_of(e0=Outcome.FAILURE, e1=Outcome.SUCCESS), shelf.load)
    assert not len(replay)
    assert set(report.refused) == {"online-000000", "online-000001"}


def test_growth_keeps_every_row() -> None:
    shelf = Shelf(*(record(ordinal) for ordinal in range(800)))
    replay = ReplayBuffer(RECORD)
    replay.sync(ledger_of(**{f"e{i}": Outcome.FAILURE for i in range(800)}), shelf.load)
    assert len(replay) == 2400
    np.testing.assert_array_equal(replay.feature("c")[-3:], shelf.records["online-000799"].features["c"][:3])


def test_an_empty_replay_says_what_is_missing() -> None:
    with pytest.raises(ReplayError, match="Label an online episode"):
        ReplayBuffer(RECORD).sample(stream(1, "draw"), 4)
