"""What an operator types behind --where, and what is answered to a slip of the finger."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import EpisodeStatus
from datasets.selection import Facts, SelectionError, Where

TODAY = date(2026, 11, 20)


def episode(
    outcome: Outcome | None = Outcome.SUCCESS,
    *,
    kind: EpisodeKind = EpisodeKind.ONLINE,
    version: int = 3,
    steps: int = 40,
    created: datetime | None = datetime(2026, 11, 19, 22, 30, tzinfo=UTC),
    void: bool = False,
) -> Facts:
    status = EpisodeStatus(
        id="online-000012",
        kind=kind,
        ordinal=12,
        steps=steps,
        chunks=5,
        ending=Ending.OPERATOR,
        policy_version=version,
        outcome=outcome,
        void=void,
        by="operator",
        seq=1,
    )
    return Facts(status=status, created=created, method="zprl")


def means(text: str, facts: Facts) -> bool:
    return Where.parse(text, today=TODAY, zone=UTC)(facts)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", True),
        ("success and version>=3 and date>=2026-11-01 and online", True),
        ("success and version > 3", False),
        ("failure or timeout", False),
        ("not failure", True),
        ("not (success and online)", False),
        ("failure or success and version=3", True),
        ("(failure or success) and version!=3", False),
        ("date>=yesterday", True),
        ("date>=today", False),
        ("date=2026-11-19", True),
        ("date>=2026-11-19T23:00", False),
        ("outcome=success and kind!=demo", True),
        ("id=online-000012", True),
        ("method='zprl'", True),
        ("by == \"someone else\"", False),
        ("steps<41 and steps>=40 and ordinal=12 and chunks<=5", True),
        ("ending=operator and labelled and not void and not pending", True),
    ],
)  # fmt: skip
def test_a_sentence_means_what_it_says(text: str, meant: bool) -> None:
    assert means(text, episode()) is meant


def test_a_pending_label_is_neither_success_nor_failure() -> None:
    pending = episode(None)
    assert means("pending and outcome=pending", pending)
    assert not means("success or failure or timeout or labelled", pending)


def test_days_are_those_of_the_reader_and_not_of_greenwich() -> None:
    evening = episode(created=datetime(2026, 11, 19, 23, 30, tzinfo=UTC))
    here = timezone(timedelta(hours=2))
    assert not Where.parse("date>=2026-11-20", zone=UTC)(evening)
    assert Where.parse("date>=2026-11-20", zone=here)(evening)


def test_an_episode_without_a_date_is_in_no_period() -> None:
    assert not means("date>=2000-01-01 or date<2000-01-01", episode(created=None))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("sucess", "Did you mean 'success'"),
        ("versoin>=3", "Did you mean 'version'"),
        ("outcome=failed", "Did you mean 'failure'"),
        ("version>=new", "compared with a number"),
        ("version", "must be compared"),
        ("outcome>success", "= or !="),
        ("date>=2026-13-01", "is not a date"),
        ("date>=tomorrow", "is not a date"),
        ("success online", "join conditions"),
        ("(success", "a '\\)' is missing"),
        ("success and", "at its end"),
        ("steps>=3x", "cannot be read"),
        ("__import__('os').system('id')", "cannot be read"),
        ("__import__", "unknown"),
        ("success; online", "cannot be read"),
    ],
)
def test_a_slip_is_answered_with_what_would_be_understood(text: str, answer: str) -> None:
    with pytest.raises(SelectionError, match=answer):
        Where.parse(text, today=TODAY)


def test_deep_nesting_is_a_sentence_and_no_overflow() -> None:
    with pytest.raises(SelectionError, match="too deeply"):
        Where.parse("(" * 10_000 + "success" + ")" * 10_000)
    assert means("not " * 10_000 + "success", episode())


@given(st.text(alphabet="()<>=!'\"-T:. 0129 andortsuceyvi", max_size=40))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    try:
        where = Where.parse(text, today=TODAY, zone=UTC)
    except SelectionError:
        return
    assert where(episode()) in (True, False)
