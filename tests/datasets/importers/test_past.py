"""Sources that were imported before: with another mapping, after a verdict, after their files were pruned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datasets.episode import Outcome
from datasets.importers.intake import ImportResult
from datasets.journal import EpisodeStatus
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, SPECS


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One demonstration, imported."""
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    sources.aloha(desk.inbox / "episode_0.hdf5")
    desk.run()
    return desk


def counting(desk: Desk) -> dict[str, Outcome | None]:
    """Demonstrations that count at present, and their labels."""
    episodes = desk.journal.ledger().episodes.values()
    return {status.id: status.outcome for status in episodes if not status.void}


def only(results: list[ImportResult]) -> ImportResult:
    (result,) = results
    return result


def status(desk: Desk, result: ImportResult) -> EpisodeStatus:
    return desk.journal.ledger().episodes[str(result.episode)]


def test_another_mapping_changes_nothing_by_itself_and_says_what_would(desk: Desk) -> None:
    lines = desk.journal.last_seq
    desk.answers[""] |= {"colour": "bgr", "rate": "20"}
    result = only(desk.run())
    assert result.duplicate and desk.journal.last_seq == lines
    assert result.finding.notes == (
        "imported before with another mapping (colour rgb, now bgr); to replace it say --again",
    )


def test_an_import_that_is_done_again_replaces_what_is_now_understood_otherwise(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append("label", episode=first, outcome="success", by="operator")
    desk.answers[""] |= {"colour": "bgr"}
    again = only(desk.run(again=True))
    assert not again.duplicate
    assert counting(desk) == {str(again.episode): Outcome.SUCCESS}, "a label that people gave stays"
    assert status(desk, again).ordinal == 1
    assert desk.store.load(str(again.episode)).images["front"][0, 0, 0, 0] == sources.BLUE
    assert only(desk.run()).episode == again.episode
    assert only(desk.run()).finding.notes == ()
    assert desk.store.verify().ok


def test_going_back_to_a_mapping_restores_its_episode_instead_of_making_a_third(desk: Desk) -> None:
    (first,) = counting(desk)
    for colour, there in (("bgr", 2), ("rgb", 2), ("bgr", 2)):
        desk.answers[""] |= {"colour": colour}
        result = only(desk.run(again=True))
        assert list(counting(desk)) == [result.episode]
        assert len(desk.store.ids()) == there
        assert (result.episode == first) == (colour == "rgb")


def test_an_import_that_is_done_again_unchanged_adds_nothing(desk: Desk) -> None:
    lines = desk.journal.last_seq
    assert only(desk.run(again=True)).duplicate
    assert desk.journal.last_seq == lines


@pytest.mark.parametrize("before", ["void", "episode", "import"])
def test_an_import_done_again_that_was_cut_off_goes_on(desk: Desk, before: str) -> None:
    (first,) = counting(desk)
    desk.answers[""] |= {"colour": "bgr"}
    whole = desk.journal.append

    def cut_off(op: str, **fields: object) -> object:
        if op == before:
            raise KeyboardInterrupt
        return whole(op, **fields)

    desk.journal.append = cut_off  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        desk.run(again=True)
    del desk.journal.append
    assert (list(counting(desk)) == [first]) == (before == "void")
    again = only(desk.run(again=True))
    assert list(counting(desk)) == [again.episode] and len(desk.store.ids()) == 2


def test_a_voided_demonstration_is_named_and_stays_void(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append("void", episode=first, by="operator")
    result = only(desk.run())
    assert result.duplicate and counting(desk) == {}
    assert result.finding.notes == (
        f"imported before as {first}, which was voided (operator); restore it in the review",
    )


def test_what_was_voided_stays_void_when_it_is_imported_again(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append("label", episode=first, outcome="failure", by="operator")
    desk.journal.append("void", episode=first, by="operator")
    same = only(desk.run(again=True))
    assert same.duplicate and same.finding.notes[-1].endswith("restore it in the review")
    desk.answers[""] |= {"colour": "bgr"}
    result = only(desk.run(again=True))
    assert counting(desk) == {} and not result.duplicate
    assert status(desk, result).outcome is Outcome.FAILURE
    assert result.finding.notes[-1].endswith("restore it in the review")
    desk.journal.append("restore", episode=str(result.episode), by="operator")
    assert only(desk.run()).finding.notes == ()


def test_a_pruned_demonstration_comes_back_when_it_is_imported_again(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append("void", episode=first, by="operator")
    desk.journal.append("prune", episodes=[first], by="command")
    shutil.rmtree(desk.store.root / "episodes" / first)
    result = only(desk.run())
    assert result.refused is None and not result.duplicate
    assert list(counting(desk)) == [result.episode] and result.episode != first
    assert desk.store.load(str(result.episode)).header.id == result.episode
    assert only(desk.run()).duplicate
