"""A verdict on the past takes the engine's way where one runs: a session never has two writers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from datasets.episode import Outcome
from datasets.errors import StationError, UsageError
from datasets.journal.journal import Journal
from datasets.lock import WriterLock
from station.jobs.verdicts import give, give_all
from station.session.core.events import EventSource, Label, OperatorEvent
from station.session.folder import SessionFolder
from station.session.link.server import Link
from tests.station.recorded import recorded


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return recorded(tmp_path / "orange-1")


def test_a_running_engine_writes_the_line_itself(folder: SessionFolder) -> None:
    heard: list[OperatorEvent] = []

    def obey() -> None:
        event = link.inbox.get(timeout=30).event
        heard.append(event)
        assert isinstance(event, Label)
        Journal(folder.journal, writable=True).append(
            "label", episode=event.episode, outcome=event.outcome.value, by=event.source.value
        )

    with WriterLock(folder.lock):
        link = Link(folder)
        engine = threading.Thread(target=obey)
        engine.start()
        give(folder, "online-000001", "success", source=EventSource.REVIEW)
        engine.join()
        link.close()
    assert heard == [Label(episode="online-000001", outcome=Outcome.SUCCESS, source=EventSource.REVIEW)]
    status = Journal(folder.journal).ledger().episodes["online-000001"]
    assert (status.outcome, status.by) == (Outcome.SUCCESS, "review")


def test_an_engine_that_does_not_do_it_is_told_of_and_nothing_is_written(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(give.__globals__["wait_for"], "__kwdefaults__", {"about": "", "patience": 0.2})
    before = folder.journal.read_bytes()
    with WriterLock(folder.lock):
        link = Link(folder)
        with pytest.raises(StationError, match="did not do it"):
            give(folder, "online-000001", "success", source=EventSource.REVIEW)
        link.close()
    assert folder.journal.read_bytes() == before


def test_a_misspelt_verdict_or_episode_changes_nothing(folder: SessionFolder) -> None:
    before = folder.journal.read_bytes()
    for name, verdict in (("online-000001", "sucess"), ("online-1", "success")):
        with pytest.raises(UsageError):
            give(folder, name, verdict, source=EventSource.COMMAND)
    assert folder.journal.read_bytes() == before


def test_undo_gives_a_demonstration_its_recorders_label_back_before_it_takes_that_one(
    folder: SessionFolder,
) -> None:
    Journal(folder.journal, writable=True).append("label", episode="demo-b", outcome="success", by="recorder")
    given = [
        give(folder, "demo-b", verdict, source=EventSource.REVIEW)
        for verdict in ("failure", "undo", "undo", "undo")
    ]
    assert given == ["failure", "success", "undo", "success"]
    assert Journal(folder.journal).ledger().episodes["demo-b"].outcome is Outcome.SUCCESS


def test_where_there_is_no_label_undo_says_so_and_writes_nothing(folder: SessionFolder) -> None:
    before = folder.journal.read_bytes()
    with pytest.raises(UsageError, match="no label"):
        give(folder, "demo-b", "undo", source=EventSource.REVIEW)
    assert folder.journal.read_bytes() == before


def test_many_are_labelled_in_one_go_and_only_those_that_are_meant(folder: SessionFolder) -> None:
    before = Journal(folder.journal).last_seq
    give_all(folder, ["demo-a", "online-000001"], "success", source=EventSource.COMMAND)
    ledger = Journal(folder.journal).ledger()
    assert {name: ledger.episodes[name].outcome for name in ("demo-a", "online-000001")} == {
        "demo-a": Outcome.SUCCESS,
        "online-000001": Outcome.SUCCESS,
    }
    assert ledger.through == before + 2


def test_a_void_episode_takes_no_label_whoever_gives_it(folder: SessionFolder) -> None:
    give(folder, "online-000001", "void", source=EventSource.REVIEW)
    before = folder.journal.read_bytes()
    for verdict in ("success", "undo"):
        with pytest.raises(UsageError, match="is void; restore it"):
            give(folder, "online-000001", verdict, source=EventSource.REVIEW)
    assert folder.journal.read_bytes() == before
