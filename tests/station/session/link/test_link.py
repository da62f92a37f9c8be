"""The line between engine and front ends: acknowledgements, newest snapshots, who holds the keys, stop."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets.episode import Outcome
from datasets.errors import ExitCode
from datasets.journal.records import Noted
from datasets.lock import WriterLock
from hardware.latch import StopLatch
from station.jobs.remote import wait_for
from station.session.core.events import Envelope, EventSource, Go, Label, Note, Pause
from station.session.engine.engine import Engine
from station.session.engine.launch import serve
from station.session.engine.options import EngineOptions
from station.session.folder import SCHEMA, NewerSchemaError, SessionError, SessionFolder
from station.session.link import server as link_module
from station.session.link.address import LinkError
from station.session.link.client import Client, _dial
from station.session.link.server import Link
from station.session.snapshot import Phase, Snapshot
from station.tasks.session_settings import SessionSettings
from tests.station.session.answering import answering, go, resume
from tests.station.session.fakes import make_folder, make_parts, never_ending

PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return make_folder(tmp_path / "s")


@pytest.fixture
def link(folder: SessionFolder) -> Iterator[Link]:
    made = Link(folder)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _a_busy_machine_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a key and the turn of the engine that takes it in; what an old key does is told in test_intake."""
    monkeypatch.setattr("station.session.core.intake.STALE", 3600.0)


def decide(link: Link, *, refused: str = "") -> Envelope:
    """Take one event in, as an engine would."""
    envelope = link.inbox.get(timeout=PATIENCE)
    link.answer(envelope.number, refused)
    return envelope


def eventually(true: Callable[[], bool], client: Client) -> None:
    """Wait for news until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "nothing came"
        client.wait(0.05)


def acked(client: Client, number: int) -> bool:
    return any(ack.number == number for ack in client.acks)


def image(number: int) -> Snapshot:
    return Snapshot(
        number=number, session="s", task="tiny", phase=Phase.READY, instruction="Go.", log=("x" * 100_000,)
    )


def test_an_event_is_answered_when_the_engine_has_decided_and_not_before(
    folder: SessionFolder, link: Link
) -> None:
    client = Client.connect(folder.path)
    first, second = client.send(Go(answers=1), pressed=12.5), client.send(Go(answers=2))
    taken = decide(link, refused="Not done: look again.")
    assert (taken.number, taken.event, taken.pressed) == (first, Go(answers=1), 12.5)
    eventually(lambda: acked(client, first), client)
    assert client.acks[-1].refused == "Not done: look again."
    assert not acked(client, second)
    decide(link)
    eventually(lambda: acked(client, second), client)
    assert client.acks[-1].refused == ""
    client.close()


def test_an_answer_goes_to_whoever_asked(folder: SessionFolder, link: Link) -> None:
    screen, command = Client.connect(folder.path), Client.connect(folder.path)
    number = command.send(Label(episode="online-000000", outcome=Outcome.SUCCESS, source=EventSource.COMMAND))
    decide(link, refused="There is no such episode.")
    eventually(lambda: acked(command, number), command)
    decided = screen.send(Pause())
    decide(link)
    eventually(lambda: acked(screen, decided), screen)
    assert [ack.number for ack in screen.acks] == [decided]
    for client in (screen, command):
        client.close()


def test_a_front_end_gets_the_newest_snapshot_and_holds_nobody_up(folder: SessionFolder, link: Link) -> None:
    client = Client.connect(folder.path)
    number = client.send(go())
    decide(link)
    eventually(lambda: acked(client, number), client)
    began = time.monotonic()
    for index in range(300):
        link.publish(image(index))
    assert time.monotonic() - began < 20.0
    eventually(lambda: (shown := client.latest()) is not None and shown.number == 299, client)
    client.close()


def test_one_front_end_holds_the_keys_and_another_may_take_them(folder: SessionFolder, link: Link) -> None:
    first, second = Client.connect(folder.path), Client.connect(folder.path)
    number = first.send(Pause())
    decide(link)
    eventually(lambda: acked(first, number), first)
    refused = second.send(Pause())
    eventually(lambda: acked(second, refused), second)
    assert "Take them over" in second.acks[-1].refused
    second.take_keys()
    eventually(lambda: second.holds_keys, second)
    taken = second.send(Pause())
    decide(link)
    eventually(lambda: acked(second, taken), second)
    assert not second.acks[-1].refused
    eventually(lambda: not first.holds_keys, first)
    for client in (first, second):
        client.close()


def test_the_keys_are_with_the_screen_that_looks_first(folder: SessionFolder, link: Link) -> None:
    command, first, second = (Client.connect(folder.path) for _ in range(3))
    eventually(lambda: command.holds_keys and first.holds_keys and second.holds_keys, second)
    link.publish(image(0))
    eventually(lambda: first.latest() is not None, first)
    eventually(lambda: not (command.holds_keys or second.holds_keys), second)
    eventually(lambda: second.latest() is not None, second)
    refused = second.send(Pause())
    eventually(lambda: acked(second, refused), second)
    assert "Take them over" in second.acks[-1].refused
    assert first.holds_keys and not second.holds_keys
    for client in (command, first, second):
        client.close()


def test_the_keys_of_a_screen_that_goes_are_with_another_that_looks(
    folder: SessionFolder, link: Link
) -> None:
    holder, command, watching = (Client.connect(folder.path) for _ in range(3))
    eventually(lambda: holder.holds_keys and command.holds_keys and watching.holds_keys, watching)
    link.publish(image(1))
    eventually(lambda: holder.latest() is not None and not command.holds_keys, command)
    eventually(lambda: watching.latest() is not None and not watching.holds_keys, watching)
    # its press is answered after it was seen to look
    refused = watching.send(Pause())
    eventually(lambda: acked(watching, refused), watching)
    assert "Take them over" in watching.acks[-1].refused
    holder.close()
    eventually(lambda: watching.holds_keys, watching)
    assert not command.holds_keys
    for client in (command, watching):
        client.close()


def test_the_keys_of_a_screen_that_goes_are_free_where_nobody_looks(
    folder: SessionFolder, link: Link
) -> None:
    holder, command = Client.connect(folder.path), Client.connect(folder.path)
    eventually(lambda: holder.holds_keys and command.holds_keys, command)
    link.publish(image(1))
    eventually(lambda: holder.latest() is not None and not command.holds_keys, command)
    holder.close()
    eventually(lambda: command.holds_keys, command)
    command.close()


def test_a_command_and_a_stop_need_no_keys(folder: SessionFolder, link: Link) -> None:
    first, second = Client.connect(folder.path), Client.connect(folder.path)
    number = second.send(Label(episode="online-000000", outcome=Outcome.SUCCESS, source=EventSource.COMMAND))
    decide(link)
    eventually(lambda: acked(second, number), second)
    second.stop()
    decide(link)
    eventually(lambda: len(second.acks) == 2, second)
    assert not any(ack.refused for ack in second.acks)
    for client in (first, second):
        client.close()


def test_stop_sets_the_latch_without_an_engine(folder: SessionFolder) -> None:
    link = Link(folder)
    client = Client.connect(folder.path)
    link.close()
    client.stop()
    assert StopLatch(folder.latch).latched
    client.close()


def test_a_gone_engine_is_a_sentence(folder: SessionFolder) -> None:
    with pytest.raises(LinkError, match="No engine runs"):
        Client.connect(folder.path)
    with pytest.raises(SessionError, match="no session"):
        Client.connect(folder.path / "elsewhere")
    link = Link(folder)
    client = Client.connect(folder.path)
    link.close()
    eventually(lambda: not client.alive, client)
    with pytest.raises(LinkError, match="gone"):
        client.send(go())


def test_a_line_that_ends_is_not_closed_under_the_hands_of_whoever_sends(folder: SessionFolder) -> None:
    link = Link(folder)
    client = Client.connect(folder.path)
    with client._sending:
        link.close()
        eventually(lambda: not client.alive, client)
        assert not client._line.closed
    eventually(lambda: client._line.closed, client)
    with pytest.raises(LinkError, match="gone"):
        client.send(go())


def test_a_second_engine_is_refused_with_the_pid_of_the_first(
    folder: SessionFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with WriterLock(folder.lock), caplog.at_level(logging.ERROR):
        code = serve(
            folder.path, EngineOptions(headless=True), lambda made, latch: make_parts(made, latch=latch)
        )
    assert code == ExitCode.LOCKED
    assert str(os.getpid()) in caplog.text


def test_a_session_of_a_newer_station_is_refused_and_not_touched(folder: SessionFolder) -> None:
    file = folder.path / "session.toml"
    file.write_text(file.read_text().replace(f"schema = {SCHEMA}", f"schema = {SCHEMA + 1}"))
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    with pytest.raises(NewerSchemaError, match="newer"):
        SessionFolder.open(folder.path)
    code = serve(folder.path, EngineOptions(headless=True), lambda made, latch: make_parts(made, latch=latch))
    assert code == ExitCode.REFUSED
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_a_session_is_not_made_where_something_is(folder: SessionFolder) -> None:
    with pytest.raises(SessionError, match="exists already"):
        make_folder(folder.path)


def test_a_session_runs_over_the_line_and_answers_each_press(folder: SessionFolder, link: Link) -> None:
    with Engine(folder, make_parts(folder), link=link) as engine:
        client = Client.connect(folder.path)
        ready = shown(engine, client, lambda snapshot: snapshot.phase is Phase.READY)
        assert ready.episode is None
        number = client.send(answering(go(), ready))
        snapshot = shown(engine, client, lambda snapshot: snapshot.episode is not None)
        assert snapshot.episode == "online-000000"
        assert acked(client, number) and not client.acks[-1].refused
        client.close()


@pytest.mark.parametrize(("simulated", "phase"), [(False, Phase.PAUSED), (True, Phase.ROLLOUT)])
def test_losing_the_last_screen_pauses_a_real_arm_and_not_a_simulated_one(
    tmp_path: Path, simulated: bool, phase: Phase
) -> None:
    folder = make_folder(tmp_path / "s", SessionSettings(episode_steps=100_000))
    link = Link(folder)
    with Engine(folder, make_parts(folder, simulated=simulated), link=link) as engine:
        never_ending(engine)
        client = Client.connect(folder.path)
        shown(engine, client, lambda snapshot: snapshot.phase is Phase.READY)
        client.send(answering(go(), engine.state))
        shown(engine, client, lambda snapshot: snapshot.phase is Phase.ROLLOUT)
        client.close()
        turn_until(engine, lambda: not link.watchers)
        engine.turn()
        assert engine.state.phase is phase
    link.close()


def test_an_image_that_nobody_takes_for_three_seconds_tells_that_nobody_looks(
    folder: SessionFolder, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(link_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    client = Client.connect(folder.path)
    link.publish(image(0))
    eventually(lambda: client.latest() is not None and link.watchers == 1, client)
    link.publish(image(1))
    now[0] += 2.9
    assert link.watchers == 1
    now[0] += 0.2
    assert link.watchers == 0
    client.close()


@pytest.mark.slow
def test_a_screen_that_no_longer_looks_counts_as_gone_until_it_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "UNSEEN", 2.0)
    folder = make_folder(tmp_path / "s", SessionSettings(episode_steps=100_000))
    link = Link(folder)
    with Engine(folder, make_parts(folder, simulated=False), link=link) as engine:
        never_ending(engine)
        client = Client.connect(folder.path)
        shown(engine, client, lambda snapshot: snapshot.phase is Phase.READY)
        client.send(answering(go(), engine.state))
        looking_until = time.monotonic() + 3.0
        shown(engine, client, lambda _: time.monotonic() > looking_until)
        assert engine.state.phase is Phase.ROLLOUT
        turn_until(engine, lambda: engine.state.phase is Phase.PAUSED)
        assert link.attached and not link.watchers
        shown(engine, client, lambda snapshot: snapshot.phase is Phase.PAUSED)
        client.send(answering(resume(), engine.state))
        shown(engine, client, lambda snapshot: snapshot.phase is Phase.ROLLOUT)
        client.close()
    link.close()


def test_a_screen_that_nobody_can_see_counts_as_gone_at_once_and_comes_back_when_it_is_seen(
    folder: SessionFolder, link: Link
) -> None:
    client = Client.connect(folder.path)
    link.publish(image(0))
    eventually(lambda: client.latest() is not None and link.watchers == 1, client)
    assert client.unseen() is not None
    eventually(lambda: link.watchers == 0, client)
    link.publish(image(1))
    eventually(lambda: (seen := client.unseen()) is not None and seen.number == 1, client)
    assert link.watchers == 0
    client.latest()
    eventually(lambda: link.watchers == 1 and client.holds_keys, client)
    client.close()


def test_a_key_from_a_screen_that_nobody_can_see_starts_no_real_arm(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    link = Link(folder)
    with Engine(folder, make_parts(folder, simulated=False), link=link) as engine:
        client = Client.connect(folder.path)
        shown(engine, client, lambda snapshot: snapshot.phase is Phase.READY)
        client.unseen()
        turn_until(engine, lambda: not link.watchers)
        number = client.send(answering(go(), engine.state))
        turn_until(engine, lambda: acked(client, number))
        assert "nobody is looking at a screen" in client.acks[-1].refused
        assert engine.state.phase is Phase.READY
        client.close()
    link.close()


def test_a_command_that_waits_for_the_engine_is_no_screen_that_somebody_looks_at(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s", SessionSettings(episode_steps=100_000))
    link, over = Link(folder), threading.Event()
    with Engine(folder, make_parts(folder, simulated=False), link=link) as engine:
        never_ending(engine)
        command = Client.connect(folder.path)
        errand = (command, folder, lambda _: over.is_set())
        words = {"patience": None, "number": 0}
        waiting = threading.Thread(target=wait_for, args=errand, kwargs=words, daemon=True)
        waiting.start()
        turn_until(engine, lambda: command.newest is not None)
        assert link.attached == 1 and not link.watchers
        for _ in range(20):
            engine.turn()
        assert engine.state.phase is Phase.PREFLIGHT, "a real arm goes home only before somebody's eyes"
        screen = Client.connect(folder.path)
        shown(engine, screen, lambda snapshot: snapshot.phase is Phase.READY)
        turn_until(engine, lambda: screen.holds_keys and not command.holds_keys)
        screen.send(answering(go(), engine.state))
        shown(engine, screen, lambda snapshot: snapshot.phase is Phase.ROLLOUT)
        screen.close()
        turn_until(engine, lambda: engine.state.phase is Phase.PAUSED)
        assert waiting.is_alive() and link.attached == 1
        over.set()
        waiting.join()
        command.close()
    link.close()


def test_the_keys_of_one_front_end_work_while_another_reads_nothing(
    folder: SessionFolder, link: Link
) -> None:
    stuck = _dial(folder.path)
    turn = time.monotonic() + 1.0
    while time.monotonic() < turn:
        link.publish(image(0))
    client = Client.connect(folder.path)
    client.take_keys()
    eventually(lambda: client.holds_keys, client)
    number = client.send(Pause())
    decide(link)
    eventually(lambda: acked(client, number), client)
    assert not client.acks[-1].refused
    client.close()
    stuck.close()


def test_a_note_from_the_line_is_in_the_journal(folder: SessionFolder, link: Link) -> None:
    with Engine(folder, make_parts(folder), link=link) as engine:
        client = Client.connect(folder.path)
        client.send(Note(text="light is low"))
        turn_until(engine, lambda: engine.session.journal.lines[-1].record == Noted(text="light is low"))
        client.close()


def shown(engine: Engine, client: Client, wanted: Callable[[Snapshot], bool]) -> Snapshot:
    """Turn the engine until the front end shows what is wanted."""
    found: list[Snapshot] = []

    def seen() -> bool:
        snapshot = client.latest()
        if snapshot is not None and wanted(snapshot):
            found.append(snapshot)
        return bool(found)

    turn_until(engine, seen)
    return found[0]


def turn_until(engine: Engine, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"stuck in {engine.state.phase}"
        engine.turn()


def test_a_stop_tells_when_neither_latch_nor_engine_took_it(folder: SessionFolder, tmp_path: Path) -> None:
    link = Link(folder)
    client = Client.connect(folder.path, timeout=5.0)
    folder.latch.symlink_to(tmp_path / "elsewhere")
    assert client.stop() == "", "the engine takes it"
    link.close()
    deadline = time.monotonic() + 5.0
    while client.alive and time.monotonic() < deadline:
        client.wait(0.05)
    assert "is a link" in client.stop()
    folder.latch.unlink()
    assert client.stop() == "", "the latch takes it"
    client.close()
