"""Sources that were imported before: with another mapping, after a verdict, after their files were pruned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datasets.episode import Outcome
from datasets.importers.enter.intake import ImportResult
from datasets.journal.journal import EpisodeStatus
from datasets.journal.records import Labelled, Pruned, Record, Restored, Voided
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
    desk.journal.append(Labelled(episode=first, outcome=Outcome.SUCCESS, by="operator"))
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


def cut_off_before(desk: Desk, before: str, mapping: dict[str, str]) -> None:
    """An import done again, killed before it writes a line."""
    whole = desk.journal.append

    def cut_off(record: Record) -> object:
        if record.op == before:
            raise KeyboardInterrupt
        return whole(record)

    desk.answers[""] |= mapping
    desk.journal.append = cut_off  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        desk.run(again=True)
    del desk.journal.append


STEPS = ["episode", "label", "void", "import"]


@pytest.mark.parametrize("colour", ["bgr", "rgb"], ids=["finished", "taken back"])
@pytest.mark.parametrize("before", STEPS)
def test_an_import_done_again_that_was_cut_off_goes_on_and_keeps_what_people_said(
    desk: Desk, before: str, colour: str
) -> None:
    (first,) = counting(desk)
    desk.journal.append(Labelled(episode=first, outcome=Outcome.FAILURE, by="operator"))
    cut_off_before(desk, before, {"colour": "bgr"})
    assert counting(desk), "the content counts at every instant"
    desk.answers[""] |= {"colour": colour}
    again = only(desk.run(again=True))
    assert counting(desk) == {str(again.episode): Outcome.FAILURE} and len(desk.store.ids()) == 2
    assert (again.episode == first) == (colour == "rgb")
    records = [line.record for line in desk.journal.about(str(again.episode))]
    assert {record.by for record in records if isinstance(record, Labelled)} == {"operator"}
    assert only(desk.run()).finding.notes == ()


@pytest.mark.parametrize("before", STEPS)
def test_a_cut_off_import_tells_a_plain_one_to_say_again(desk: Desk, before: str) -> None:
    (first,) = counting(desk)
    desk.journal.append(Labelled(episode=first, outcome=Outcome.FAILURE, by="operator"))
    cut_off_before(desk, before, {"colour": "bgr"})
    lines = desk.journal.last_seq
    desk.answers[""] = {}
    result = only(desk.run())
    expected = {
        "episode": (),
        "import": (f"imported before as {first}, whose replacement was cut off; to finish it say --again",),
    }
    both = (
        f"imported before as {first}; {first}-2 of the same content counts too; to keep only one say --again"
    )
    assert result.duplicate and result.finding.notes == expected.get(before, (both,))
    assert desk.journal.last_seq == lines


def test_what_people_say_while_two_of_a_content_count_holds_for_the_one_that_stays(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append(Labelled(episode=first, outcome=Outcome.FAILURE, by="operator"))
    cut_off_before(desk, "void", {"colour": "bgr"})
    desk.journal.append(Labelled(episode=f"{first}-2", outcome=Outcome.SUCCESS, by="operator"))
    assert counting(desk) == {first: Outcome.FAILURE, f"{first}-2": Outcome.SUCCESS}
    desk.run(again=True)
    assert counting(desk) == {f"{first}-2": Outcome.SUCCESS}


def test_of_two_that_count_the_one_that_people_void_goes(desk: Desk) -> None:
    (first,) = counting(desk)
    cut_off_before(desk, "void", {"colour": "bgr"})
    desk.journal.append(Voided(episode=first, by="operator"))
    desk.run(again=True)
    assert list(counting(desk)) == [f"{first}-2"]


def test_a_void_that_people_gave_holds_for_a_successor_that_was_cut_off(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append(Voided(episode=first, by="operator"))
    cut_off_before(desk, "void", {"colour": "bgr"})
    assert list(counting(desk)) == [f"{first}-2"]
    desk.run(again=True)
    assert counting(desk) == {}


def test_a_journal_that_voided_first_and_was_cut_off_then_still_yields_its_label(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append(Labelled(episode=first, outcome=Outcome.FAILURE, by="operator"))
    desk.journal.append(Voided(episode=first, by="recorder", reason=f"replaced by {first}-2"))
    assert "say --again" in only(desk.run()).finding.notes[0]
    desk.answers[""] |= {"colour": "bgr"}
    desk.run(again=True)
    assert counting(desk) == {f"{first}-2": Outcome.FAILURE}


def test_a_voided_demonstration_is_named_and_stays_void(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append(Voided(episode=first, by="operator"))
    result = only(desk.run())
    assert result.duplicate and counting(desk) == {}
    assert result.finding.notes == (
        f"imported before as {first}, which was voided (operator); restore it in the review",
    )


def test_what_was_voided_stays_void_when_it_is_imported_again(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append(Labelled(episode=first, outcome=Outcome.FAILURE, by="operator"))
    desk.journal.append(Voided(episode=first, by="operator"))
    same = only(desk.run(again=True))
    assert same.duplicate and same.finding.notes[0].endswith("restore it in the review")
    desk.answers[""] |= {"colour": "bgr"}
    result = only(desk.run(again=True))
    assert counting(desk) == {} and not result.duplicate
    assert status(desk, result).outcome is Outcome.FAILURE
    assert result.finding.notes[0].endswith("restore it in the review")
    desk.journal.append(Restored(episode=str(result.episode), by="operator"))
    assert only(desk.run()).finding.notes == ()


def test_a_pruned_demonstration_comes_back_when_it_is_imported_again(desk: Desk) -> None:
    (first,) = counting(desk)
    desk.journal.append(Voided(episode=first, by="operator"))
    desk.journal.append(Pruned(episodes=[first], by="command"))
    shutil.rmtree(desk.store.root / "episodes" / first)
    result = only(desk.run())
    assert result.refused is None and not result.duplicate
    assert list(counting(desk)) == [result.episode] and result.episode != first
    assert desk.store.load(str(result.episode)).header.id == result.episode
    assert only(desk.run()).duplicate
