"""A verdict on the past takes the engine's way where one runs: a session never has two writers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from datasets.episode import Outcome
from datasets.errors import StationError, UsageError
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCutOff, Labelled, Pruned, Voided
from datasets.lock import WriterLock
from station.jobs.verdicts import event_of, give, give_all
from station.session.core.effects import Refuse
from station.session.core.events import EventSource, Label, OperatorEvent
from station.session.core.machine import step
from station.session.core.state import Rules
from station.session.engine.resume import state_of
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
            Labelled(episode=event.episode, outcome=event.outcome, by=event.source.value)
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
    Journal(folder.journal, writable=True).append(
        Labelled(episode="demo-b", outcome=Outcome.SUCCESS, by="recorder")
    )
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


REFUSED = {
    "an unknown one": ("online-000009", "success"),
    "one that was cut off": ("online-000007", "void"),
    "a pruned one": ("demo-a", "restore"),
    "a void one": ("online-000001", "success"),
    "a void one, to undo": ("online-000001", "undo"),
    "a void one, to void": ("online-000001", "void"),
    "one that is not void": ("online-000002", "restore"),
    "one without a label": ("demo-b", "undo"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_command_and_a_key_are_refused_in_the_same_words(folder: SessionFolder, name: str) -> None:
    episode, verdict = REFUSED[name]
    journal = Journal(folder.journal, writable=True)
    for gone in ("demo-a", "online-000001"):
        journal.append(Voided(episode=gone, by="operator"))
    journal.append(Pruned(episodes=["demo-a"], by="command"))
    journal.append(EpisodeCutOff(episode="online-000007", steps=3, reason="The link is lost."))
    before = folder.journal.read_bytes()
    with pytest.raises(UsageError) as refused:
        give(folder, episode, verdict, source=EventSource.COMMAND)
    assert folder.journal.read_bytes() == before
    state = state_of(journal.ledger(), Rules(), blocks_done=0, policy_version=0, now=0.0)
    pressed = event_of(episode, verdict, EventSource.OPERATOR)
    assert step(state, pressed) == (state, (Refuse(text=str(refused.value)),))
