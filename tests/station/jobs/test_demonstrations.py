"""Which demonstrations a base is trained from, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.journal.journal import Journal
from datasets.journal.records import Voided
from station.jobs.demonstrations import choose, in_words, nothing_in_words, remember_unlabelled
from station.session.folder import SessionFolder
from station.tasks.config import DemonstrationSettings
from tests.station.conftest import Station
from tests.station.recorded import recorded

SETTINGS = DemonstrationSettings()


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return recorded(tmp_path / "orange-1")


def test_what_is_used_and_what_is_left_out_is_said(folder: SessionFolder) -> None:
    chosen = choose(Journal(folder.journal).ledger(), SETTINGS)
    assert [status.id for status in chosen.used] == ["demo-a"]
    assert in_words(chosen) == "1 demonstration (1 success); left out: 1 without a verdict"


def test_nothing_to_train_on_is_answered_with_what_would_make_it_usable(folder: SessionFolder) -> None:
    Journal(folder.journal, writable=True).append(Voided(episode="demo-a", by="review", reason=""))
    chosen = choose(Journal(folder.journal).ledger(), SETTINGS)
    said = nothing_in_words(folder.path, chosen)
    assert "can use none of them: 1 without a verdict, 1 void" in said
    for remedy in ("--where 'demo and pending' success", "--unlabelled", "use_unlabelled = true"):
        assert remedy in said


def test_the_operators_word_on_demonstrations_without_a_verdict_is_kept(folder: SessionFolder) -> None:
    journal = Journal(folder.journal, writable=True)

    def used(settings: DemonstrationSettings = SETTINGS) -> int:
        return len(choose(journal.ledger(), settings).used)

    assert used(DemonstrationSettings(use_unlabelled=True)) == 2
    remember_unlabelled(journal, SETTINGS, True)
    remember_unlabelled(journal, SETTINGS, None)
    assert used() == 2
    remember_unlabelled(journal, SETTINGS, False)
    assert used(DemonstrationSettings(use_unlabelled=True)) == 1, "the newest word counts"


def test_many_recordings_are_labelled_by_a_sentence_once_confirmed(
    station: Station, folder: SessionFolder
) -> None:
    def outcomes() -> list[str | None]:
        return [one.outcome for one in Journal(folder.journal).ledger().episodes.values()]

    before, words = outcomes(), ("label", folder.path, "--where", "demo or failure", "success")
    unconfirmed = station(*words)
    assert unconfirmed.exit_code == 1
    assert "4 recordings found; success would change 3 of them (2 failure, 1 pending)" in unconfirmed.output
    assert outcomes() == before
    assert station(*words, "--yes").exit_code == 0
    assert outcomes() == ["success"] * 5
    assert station(*words, "--yes").exit_code == 0, "what is so already is no mistake"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--where", "steps>99", "success"), 1, "No recording matches"),
        (("--where", "demo", "undo"), 2, "undo takes back the label of one episode"),
        (("--where", "demo", "demo-a", "success"), 2, "--where"),
        (("success",), 2, "EPISODE VERDICT"),
    ],
)
def test_labelling_many_says_what_is_wrong(
    station: Station, folder: SessionFolder, words: tuple[str, ...], code: int, sentence: str
) -> None:
    before = folder.journal.read_bytes()
    result = station("label", folder.path, *words)
    assert result.exit_code == code and sentence in " ".join(result.output.split())
    assert folder.journal.read_bytes() == before
