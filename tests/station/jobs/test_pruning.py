"""Nothing is deleted but what was named and confirmed, and the journal says what went."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datasets.episode import EpisodeKind
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCutOff, Pruned, UpdateBegun
from datasets.lock import WriterLock
from datasets.store import EpisodeStore
from station.cli import app
from station.jobs import pruning
from station.jobs.verdicts import give
from station.session.core.events import EventSource
from station.session.core.state import Rules
from station.session.engine.resume import adopt, enter_partials, state_of
from station.session.folder import SessionFolder
from station.session.status import count
from tests.station.conftest import Station
from tests.station.recorded import episode, leave_partial, recorded


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demo-b and online-000001 are void."""
    folder = recorded(tmp_path_factory.mktemp("recorded") / "orange-1")
    for name in ("demo-b", "online-000001"):
        give(folder, name, "void", source=EventSource.COMMAND)
    return folder.path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> SessionFolder:
    shutil.copytree(whole, tmp_path / "orange-1")
    return SessionFolder.open(tmp_path / "orange-1")


def files(folder: SessionFolder) -> dict[Path, bytes]:
    return {
        path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.name != "lock"
    }


def names(folder: SessionFolder) -> list[str]:
    return [*EpisodeStore(folder.demos).ids(), *EpisodeStore(folder.episodes).ids()]


def test_a_dry_run_says_what_would_go_and_deletes_nothing(station: Station, folder: SessionFolder) -> None:
    before = files(folder)
    said = station("prune", folder.path, "--older-than", 0, "--dry-run")
    assert said.exit_code == 0
    for name in ("demo-b", "online-000001", "online-000003-20261120T120000"):
        assert name in said.stdout
    assert "online-000000" not in said.stdout
    assert files(folder) == before


def test_a_no_deletes_nothing_and_a_yes_what_was_named(folder: SessionFolder) -> None:
    before = files(folder)
    words = ["prune", str(folder.path), "--older-than", "0"]
    assert CliRunner().invoke(app, words, input="n\n").exit_code == 1
    assert files(folder) == before
    assert CliRunner().invoke(app, words, input="y\n").exit_code == 0
    assert names(folder) == ["demo-a", "online-000000", "online-000002"]
    assert not any(folder.partial.iterdir())


def test_counts_and_labels_stay_and_the_journal_names_what_went(
    station: Station, folder: SessionFolder
) -> None:
    before, lines = count(folder), folder.journal.read_bytes()
    done = json.loads(station("prune", folder.path, "--older-than", 0, "--yes", "--json").stdout)
    assert done["deleted"] and done["bytes"] > 0
    assert count(folder) == replace(before, cut_off=1), "what a killed engine had left"
    assert folder.journal.read_bytes().startswith(lines)
    ledger = Journal(folder.journal).ledger()
    (line,) = ledger.lines_of(Pruned)
    assert line.record.episodes == ["demo-b", "online-000001"]
    assert line.record.bytes == done["bytes"]
    assert ledger.episodes["online-000001"].outcome == "failure"
    assert "2 void episodes pruned; no loss" in station("verify", folder.path).stdout


def test_what_was_pruned_cannot_be_restored_by_command_or_engine(
    station: Station, folder: SessionFolder
) -> None:
    station("prune", folder.path, "--older-than", 0, "--yes")
    assert "pruned" in station("label", folder.path, "online-000001", "restore").output
    state = state_of(Journal(folder.journal).ledger(), Rules(), blocks_done=0, policy_version=0, now=0.0)
    assert "online-000001" not in state.verdicts and "online-000001" in state.pruned
    assert state.next_online == 3


def test_what_a_killed_engine_left_is_said_to_have_been_cut_off_before_it_goes(
    station: Station, folder: SessionFolder
) -> None:
    leave_partial(folder, "online-000003", pieces=3)
    said = station("prune", folder.path, "--older-than", 0, "--yes").stdout
    assert "2 episodes cut off, " in said
    assert not any(folder.partial.iterdir())
    ledger = Journal(folder.journal).ledger()
    cut_off = [line.record for line in ledger.lines_of(EpisodeCutOff)]
    assert [record.steps for record in cut_off if record.episode == "online-000003"] == [15]
    state = state_of(ledger, Rules(), blocks_done=0, policy_version=0, now=0.0)
    assert "online-000003" in state.cut_off
    assert count(folder).cut_off == 2


def test_an_episode_without_a_line_whose_copy_still_lies_there_is_not_said_to_have_been_cut_off(
    folder: SessionFolder,
) -> None:
    name = "online-000003"
    whole = episode(name, EpisodeKind.ONLINE, 3)
    store = EpisodeStore(folder.episodes, writable=True)
    store.commit(whole)
    copy = leave_partial(folder, name, pieces=2)
    wanted = pruning.plan(folder, before=time.time() + 1)
    pruning.carry_out(folder, replace(wanted, partial=()))
    journal = Journal(folder.journal, writable=True)
    assert adopt(store, journal) == [name] and copy.is_dir()
    assert enter_partials(folder.partial, journal, store) == [] and not copy.exists()
    state = state_of(journal.ledger(), Rules(), blocks_done=0, policy_version=0, now=0.0)
    assert name in state.pending and name not in state.cut_off
    give(folder, name, "failure", source=EventSource.COMMAND)
    give(folder, name, "void", source=EventSource.COMMAND)


def test_a_folder_that_a_person_put_beside_the_leftovers_stays(folder: SessionFolder) -> None:
    mine = folder.partial / "my notes"
    mine.mkdir()
    (mine / "read me.txt").write_text("look at the gripper")
    pruning.carry_out(folder, pruning.plan(folder, before=time.time() + 1))
    assert [*folder.partial.iterdir()] == [mine] and [*mine.iterdir()]


def test_what_is_young_stays(station: Station, folder: SessionFolder) -> None:
    leftover = next(folder.partial.iterdir())
    for path in leftover.iterdir():
        os.utime(path, (time.time() - 40 * 86400,) * 2)
    assert json.loads(station("prune", folder.path, "--yes", "--json").stdout)["void"] == []
    assert not leftover.exists()
    assert len(names(folder)) == 5


def test_who_just_voided_an_episode_hears_that_it_is_too_young_and_how_to_take_it(
    station: Station, folder: SessionFolder
) -> None:
    said = " ".join(station("prune", folder.path, "--dry-run").stdout.split())
    assert "2 void episodes stay: voided less than 30 days ago; --older-than 0 takes those too." in said
    assert "Nothing was voided" not in said
    give(folder, "demo-b", "restore", source=EventSource.COMMAND)
    assert "1 void episode stays: " in station("prune", folder.path, "--dry-run").stdout
    old = station("prune", folder.path, "--older-than", 0, "--dry-run").stdout
    assert "1 void episode, " in old and "1 episode cut off, " in old


def test_what_a_resumed_learner_may_still_ask_for_stays(station: Station, folder: SessionFolder) -> None:
    journal = Journal(folder.journal, writable=True)
    before_the_void = next(line.seq for line in journal.lines if line.op == "void") - 1
    journal.append(UpdateBegun(ordinal=0, through=before_the_void, steps=5))
    assert pruning.plan(folder, before=time.time() + 1).needed == ("online-000001",)
    for ordinal in range(1, 4):
        journal.append(UpdateBegun(ordinal=ordinal, through=journal.last_seq, steps=5))
    assert pruning.plan(folder, before=time.time() + 1).needed == ()


def test_nothing_is_pruned_while_an_engine_works(station: Station, folder: SessionFolder) -> None:
    before = files(folder)
    with WriterLock(folder.lock):
        refused = station("prune", folder.path, "--older-than", 0, "--yes")
    assert refused.exit_code == 3
    assert files(folder) == before


def test_what_changed_between_question_and_answer_is_not_deleted(folder: SessionFolder) -> None:
    confirmed = pruning.plan(folder, before=time.time() + 1)
    give(folder, "online-000001", "restore", source=EventSource.COMMAND)
    gone = pruning.carry_out(folder, confirmed)
    assert [piece.episode for piece in gone.void] == ["demo-b"]
    assert "online-000001" in names(folder)


def test_a_crash_amid_pruning_is_finished_by_pruning_again(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: pruning.Piece) -> None:
        raise KeyboardInterrupt

    wanted = pruning.plan(folder, before=time.time() + 1)
    with monkeypatch.context() as dying:
        dying.setattr(pruning, "_delete", die)
        with pytest.raises(KeyboardInterrupt):
            pruning.carry_out(folder, wanted)
    assert Journal(folder.journal).ledger().episodes["demo-b"].pruned
    pruning.carry_out(folder, pruning.plan(folder, before=time.time() + 1))
    assert names(folder) == ["demo-a", "online-000000", "online-000002"]
