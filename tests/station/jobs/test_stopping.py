from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datasets.lock import WriterLock
from hardware.latch import StopLatch
from station.jobs import stopping
from station.session.core.events import EventSource, Stop
from station.session.engine.engine import Engine
from station.session.folder import SessionFolder
from station.session.link import address, client
from station.session.link.server import Link
from station.session.snapshot import Phase
from tests.station.conftest import Station, sentences
from tests.station.session.fakes import make_folder, make_parts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionFolder:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return make_folder(tmp_path / "s")


def test_a_session_is_stopped_from_any_terminal_without_an_engine(
    station: Station, folder: SessionFolder
) -> None:
    latch = StopLatch(folder.latch)
    assert not latch.latched
    done = station("stop", folder.path)
    assert done.exit_code == 0, done.output
    assert "Stopped. No engine runs" in sentences(done)
    assert latch.latched and latch.by == "command"
    first = latch.since
    station("stop", folder.path)
    assert latch.since == first
    latch.close()


@contextmanager
def turning(engine: Engine) -> Iterator[None]:
    """An engine that works in a thread of its own meanwhile."""
    over = threading.Event()

    def turn() -> None:
        while not over.is_set():
            engine.turn()

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_running_engine_confirms_the_stop(station: Station, folder: SessionFolder) -> None:
    link = Link(folder)
    with Engine(folder, make_parts(folder), link=link) as engine:
        with turning(engine):
            done = station("stop", folder.path)
        assert (done.exit_code, "The engine confirms it" in done.output) == (0, True), done.output
        assert engine.state.stopped and engine.state.phase is not Phase.ROLLOUT
    link.close()


def test_the_engine_is_told_also_where_the_latch_cannot_be_set(
    station: Station, folder: SessionFolder, tmp_path: Path
) -> None:
    link = Link(folder)
    with Engine(folder, make_parts(folder), link=link) as engine:
        folder.latch.unlink()
        folder.latch.symlink_to(tmp_path / "elsewhere")
        with turning(engine):
            done = station("stop", folder.path)
        assert "is a link to" in done.output and "The engine confirms it" in sentences(done)
        assert engine.state.stopped
    link.close()
    assert not (tmp_path / "elsewhere").exists()


def test_a_stop_that_could_not_be_set_is_not_called_one_where_no_engine_runs(
    station: Station, folder: SessionFolder, tmp_path: Path
) -> None:
    folder.latch.symlink_to(tmp_path / "elsewhere")
    done = station("stop", folder.path)
    said = sentences(done)
    assert done.exit_code == 1
    assert "could not be set" in said and "is a link to" in said and "Stopped." not in said


def test_a_stop_that_nobody_confirms_is_no_success(
    station: Station, folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (address, client):
        monkeypatch.setattr(module, "DIALLING", 0.2)
    listener, _ = address.listen(folder.path)
    done = station("stop", folder.path)
    said = sentences(done)
    assert done.exit_code == 1
    assert "nothing confirms it" in said and "kill -CONT" in said and "emergency stop" in said
    assert "Stopped." not in said and StopLatch(folder.latch).latched
    listener.close()


def test_an_engine_that_answers_and_never_shows_the_stop_has_not_confirmed_it(
    station: Station, folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "PATIENCE", 0.2)
    link = Link(folder)  # no loop behind it turns
    done = station("stop", folder.path)
    assert done.exit_code == 1 and "did not answer within" in sentences(done)
    assert link.inbox.get_nowait().event == Stop(source=EventSource.COMMAND), "it was told"
    link.close()


def test_a_process_that_cannot_be_asked_is_named(station: Station, folder: SessionFolder) -> None:
    with WriterLock(folder.lock):
        done = station("stop", folder.path)
    said = sentences(done)
    assert done.exit_code == 1 and "works on" in said and "cannot be asked" in said
    assert StopLatch(folder.latch).latched


def test_stopping_a_session_that_does_not_exist_names_the_nearest(station: Station) -> None:
    done = station("stop", "no-such-session")
    assert done.exit_code == 2
    assert "There is no session" in done.output
