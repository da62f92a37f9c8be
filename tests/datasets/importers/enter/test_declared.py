"""Demonstrations whose source says nothing of success get the verdict that whoever imports them declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.episode import Outcome
from datasets.journal.records import Labelled, Voided
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk

SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.FAILURE


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, sources.SPECS["aloha"], sources.ANSWERS["aloha"])
    sources.aloha(desk.inbox / "episode_0.hdf5")
    return desk


def labels(desk: Desk) -> list[tuple[Outcome | None, str]]:
    return [(one.outcome, one.by) for one in desk.journal.ledger().episodes.values()]


def test_what_was_imported_without_a_verdict_is_labelled_by_importing_it_again_with_one(desk: Desk) -> None:
    desk.run()
    assert [outcome for outcome, _ in labels(desk)] == [None]
    (known,) = desk.run(declared=SUCCESS)
    assert known.duplicate and "now a success" in " ".join(known.finding.notes)
    desk.run(declared=FAILURE)
    assert labels(desk) == [(FAILURE, "import")]
    last = desk.journal.last_seq
    desk.run(declared=FAILURE)
    desk.run()
    assert desk.journal.last_seq == last


def test_what_people_judged_holds_whatever_is_declared(desk: Desk) -> None:
    (result,) = desk.run(declared=FAILURE)
    desk.journal.append(Labelled(episode=str(result.episode), outcome=Outcome.SUCCESS, by="command"))
    desk.run(declared=FAILURE)
    assert labels(desk) == [(SUCCESS, "command")]
    desk.answers[""] |= {"colour": "bgr"}
    desk.run(declared=FAILURE, again=True)
    assert [outcome for outcome, _ in labels(desk)] == [SUCCESS, SUCCESS]


def test_a_declared_verdict_goes_with_the_demonstration_that_replaces_an_old_one(desk: Desk) -> None:
    desk.run(declared=SUCCESS)
    desk.answers[""] |= {"colour": "bgr"}
    desk.run(again=True)
    assert labels(desk)[1] == (SUCCESS, "import")


def test_a_void_demonstration_is_not_labelled_by_what_is_declared(desk: Desk) -> None:
    (result,) = desk.run()
    desk.journal.append(Voided(episode=str(result.episode), by="review", reason=""))
    desk.run(declared=SUCCESS)
    assert [outcome for outcome, _ in labels(desk)] == [None]


def test_a_verdict_of_the_source_is_never_overridden(tmp_path: Path) -> None:
    desk = Desk(tmp_path, sources.SPECS["robomimic"])
    sources.robomimic(desk.inbox / "set.hdf5")
    assert [result.finding.success for result in desk.run(declared=SUCCESS)] == [True, False]
    assert labels(desk) == [(SUCCESS, "recorder"), (FAILURE, "recorder")]
