"""The records of a journal: each is written as it always was, and one that makes no sense cannot be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.lines import Line, decode, encode
from datasets.journal.records import (
    KINDS,
    BaseEvaluated,
    BaseTrained,
    CheckpointSaved,
    DevicesConnected,
    EpisodeCommitted,
    EpisodeCutOff,
    Evaluation,
    EvaluationAsked,
    EvaluationBegun,
    EvaluationEnded,
    EvaluationEnding,
    EvaluationWithdrawn,
    FaultRaised,
    Imported,
    Labelled,
    LimitChanged,
    Noted,
    Other,
    PhaseEntered,
    Pruned,
    Rearmed,
    Record,
    Restored,
    RoundOpened,
    SessionOpened,
    SettingChanged,
    Stopped,
    UpdateBegun,
    Voided,
    read,
)

ON_DISK = Path(__file__).with_name("journal_of_every_kind.jsonl")
"""A line of every kind, as versions up to 0.1.0 wrote it."""
RECORDS: list[Record] = [
    EpisodeCommitted(
        id="online-000012",
        kind=EpisodeKind.ONLINE,
        ordinal=12,
        steps=60,
        chunks=8,
        ending=Ending.EPISODE_LIMIT,
        policy_version=3,
    ),
    EpisodeCommitted(
        id="evaluation-000002",
        kind=EpisodeKind.EVALUATION,
        ordinal=2,
        steps=60,
        chunks=8,
        ending=Ending.OPERATOR,
        policy_version=3,
        block=1,
    ),
    Labelled(episode="online-000012", outcome=Outcome.SUCCESS, by="operator"),
    Labelled(episode="online-000012", outcome=None, by="operator"),
    Voided(episode="online-000012", by="review"),
    Voided(episode="demo-1", by="recorder", reason="replaced by demo-1-2"),
    Restored(episode="online-000012", by="command"),
    Pruned(episodes=["online-000012"], leftovers=["partial/online-000013"], bytes=123456, by="command"),
    EpisodeCutOff(episode="online-000013", steps=17, lost=0, reason="Stopped by the operator."),
    Imported(file="a.h5", fingerprint="f43c", episode="demo-f43c", refused=None, kept=184, dropped=16),
    Imported(
        file="b\udcff.hdf5",
        fingerprint="06c7",
        episode=None,
        refused="no motion",
        kept=0,
        dropped=200,
        key="data/demo_1",
    ),
    BaseTrained(
        demos="06c7ec2835e5df31",
        episodes=2,
        stages=[{"stage": "base", "iterations": 20, "converged": False, "total": 0.475}],
        base_hash="abc",
        seconds=12.5,
    ),
    BaseEvaluated(path="latent", layouts="evaluation", n=2, outcomes=[True, False]),
    UpdateBegun(ordinal=0, through=15, steps=20),
    CheckpointSaved(update=1, policy_version=1, steps=20),
    PhaseEntered(phase="finished", spent={"moving": 0.721, "waiting": 0.0}),
    RoundOpened(
        phase="rollout",
        kind=EpisodeKind.ONLINE,
        first=0,
        layout=0,
        size=1,
        batch=1,
        spent={"other": 0.016},
    ),
    EvaluationAsked(n=20),
    EvaluationWithdrawn(),
    EvaluationBegun(ordinal=1, first=20, n=10, at=6, env_steps=360, policy_version=3),
    EvaluationEnding(ordinal=1),
    EvaluationEnded(ordinal=1, first=20, n=10, at=6, env_steps=360, policy_version=3),
    EvaluationEnded(ordinal=1, first=20, n=10, at=6, env_steps=360, policy_version=3, early=True, done=4),
    SessionOpened(schema=1, task="place-orange-tiny", seed=3, threads=1, torch="2.13.0+cpu"),
    DevicesConnected(
        devices={"arm left": {"model": "xArm6", "serial": "F8", "settings": {"payload kg": 0.5}}},
        accepted=True,
        replaced=[],
    ),
    LimitChanged(name="velocity", value=0.15, before=0.2, loosened=False),
    SettingChanged(name="autopilot", value=True),
    SettingChanged(name="mistakes", value=0.0),
    Noted(text="müde"),
    Noted(text="the juicer has moved", episode="online-000012"),
    Stopped(by="operator"),
    Rearmed(by="operator"),
    FaultRaised(reason="The left arm has collided."),
    Other(name="later", content={"x": [1, 2]}),
]
"""What these lines say."""
LINES = [Line(seq=seq, time=1795995514.25, record=record) for seq, record in enumerate(RECORDS, 1)]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.seq}-{type(line.record).__name__}")
def test_a_record_is_on_disk_byte_for_byte_what_it_was(line: Line[Record]) -> None:
    row = ON_DISK.read_bytes().splitlines(keepends=True)[line.seq - 1]
    assert encode(line) == row
    assert decode(row) == line and type(decode(row).record) is type(line.record)


def test_the_lines_on_disk_are_of_every_kind_and_make_a_journal() -> None:
    variants = {*KINDS.values(), *Evaluation.__subclasses__(), *PhaseEntered.__subclasses__(), Other}
    assert {type(record) for record in RECORDS} == variants - {Evaluation}
    journal = Journal(ON_DISK)
    assert list(journal.lines) == LINES
    ledger = journal.ledger()
    assert [line.seq for line in ledger.lines_of(PhaseEntered)] == [16, 17]
    assert [line.seq for line in ledger.lines_of(RoundOpened)] == [17]
    newest = ledger.last_of(EvaluationEnded)
    assert newest is not None and newest.record.done == 4 and ledger.last_of(EvaluationBegun) == LINES[19]


@pytest.mark.parametrize(
    ("op", "fields", "record"),
    [
        ("void", {"episode": "a", "by": "b", "because": "of"}, Voided(episode="a", by="b")),
        (
            "import",
            {"fingerprint": "f", "episode": "a", "refused": None},
            Imported(fingerprint="f", episode="a", refused=None),
        ),
        ("evaluation", {"stage": "halfway", "n": "many"}, Evaluation(stage="halfway")),
        (
            "base_evaluation",
            {"path": "raw", "n": 2, "outcomes": [1, 0]},
            BaseEvaluated(path="raw", n=2, outcomes=[1, 0]),
        ),
        ("session", {}, SessionOpened()),
    ],
)
def test_lines_of_other_versions_are_read(op: str, fields: dict[str, Any], record: Record) -> None:
    assert read(op, fields) == record


@pytest.mark.parametrize(
    ("op", "fields", "message"),
    [
        ("label", {"episode": "a", "by": "b"}, "its 'outcome' is missing"),
        ("label", {"episode": "a", "outcome": "won", "by": "b"}, "its 'outcome' cannot be 'won'"),
        ("update", {"ordinal": "0", "through": 1, "steps": 1}, "its 'ordinal' cannot be '0'"),
        ("update", {"ordinal": 0, "through": True, "steps": 1}, "its 'through' cannot be 'True'"),
        ("update", {"ordinal": 0, "through": 1, "steps": 1.0}, "its 'steps' cannot be '1.0'"),
        ("update", {"ordinal": 0, "through": 2**53 + 1, "steps": 1}, "its 'through' cannot be"),
        ("cut_off", {"episode": "a", "steps": 2**20 + 1, "reason": ""}, "its 'steps' cannot be"),
        ("base_evaluation", {"path": "raw", "n": 1, "outcomes": ["yes"]}, "its 'outcomes' cannot be"),
        ("phase", {"phase": "rollout", "first": 0}, "its 'kind' is missing"),
        ("note", {"text": 5}, "its 'text' cannot be '5'"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(op: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(op, fields)
