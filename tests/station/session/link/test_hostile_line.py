"""Who looks at a session runs nobody's code, calls no stranger, and waits for nobody for ever."""

from __future__ import annotations

import errno
import json
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from station.jobs.remote import engine, live_state
from station.session.folder import SessionFolder
from station.session.link import address, client
from station.session.link.address import LinkError, NoEngineError, SilentEngineError
from station.session.link.client import Client
from station.session.link.server import Link
from tests.station.session.fakes import make_folder

PATIENCE = 30.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionFolder:
    # a room of its own: what stands in the user's real one is no business of a test
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return make_folder(tmp_path / "s")


class Runs:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._mark,)


@contextmanager
def answering(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[list[int]]:
    """Let everybody in and answer them; how many came."""
    callers: list[int] = []

    def serve() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            callers.append(1)
            with end:
                answer(end)

    thread = threading.Thread(target=serve)
    thread.start()
    yield callers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_folder_that_names_an_engine_leads_nobody_to_it(folder: SessionFolder, tmp_path: Path) -> None:
    trap = socket.socket(socket.AF_UNIX)
    trap.bind(str(tmp_path / "trap"))
    trap.listen()
    facts = {"pid": os.getpid(), "address": str(tmp_path / "trap")}
    folder.engine.write_text(json.dumps(facts))
    (folder.path / "engine.key").write_bytes(b"k" * 32)
    with answering(trap, lambda _: None) as callers:
        with pytest.raises(NoEngineError, match="No engine runs"):
            Client.connect(folder.path)
        assert live_state(folder) is None
    assert not callers


def test_an_answer_that_is_a_pickle_is_not_read(folder: SessionFolder, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hostile = pickle.dumps(Runs(mark))
    assert pickle.loads(hostile) is None and mark.exists()
    mark.unlink()
    listener, _ = address.listen(folder.path)
    with (
        answering(listener, lambda end: end.sendall(len(hostile).to_bytes(4, "big") + hostile)),
        pytest.raises(LinkError, match="does not speak as this station does"),
    ):
        Client.connect(folder.path)
    assert not mark.exists()


def test_an_engine_of_an_older_station_is_named_with_what_to_do(folder: SessionFolder) -> None:
    listener, _ = address.listen(folder.path)
    with (
        answering(listener, lambda end: end.sendall(b"\0\0\0\x1f#CHALLENGE#" + bytes(20))),
        pytest.raises(LinkError, match=rf"Process {os.getpid()} listens .*kill {os.getpid()}"),
    ):
        Client.connect(folder.path)


def test_another_users_process_is_not_listened_to(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    assert address.require_own(one) == os.getpid()
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with one, other, pytest.raises(LinkError, match="was ignored"):
        address.require_own(one)


def test_what_is_no_socket_of_ours_is_not_called(folder: SessionFolder) -> None:
    listener, place = address.listen(folder.path)
    listener.close()
    place.unlink()
    place.touch()
    with pytest.raises(LinkError, match=r"is not a socket of yours\. Remove it"):
        Client.connect(folder.path)


def test_the_room_of_all_addresses_belongs_to_the_user_alone(folder: SessionFolder, tmp_path: Path) -> None:
    room = tmp_path / f"station-{os.geteuid()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    room.symlink_to(elsewhere)
    with pytest.raises(LinkError, match="belongs to you alone"):
        Link(folder)
    room.unlink()
    room.mkdir()
    room.chmod(0o770)
    with pytest.raises(LinkError, match="belongs to you alone"):
        Link(folder)
    assert not list(elsewhere.iterdir())


def test_nobody_waits_for_an_engine_that_is_mute(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (address, client):
        monkeypatch.setattr(module, "DIALLING", 0.2)
    listener, _ = address.listen(folder.path)  # which the system answers for, and nobody else
    began = time.monotonic()
    with pytest.raises(SilentEngineError, match=rf"process {os.getpid()}.*kill -CONT {os.getpid()}"):
        Client.connect(folder.path)
    assert live_state(folder) == "silent"
    with pytest.raises(SilentEngineError), engine(folder):
        pass
    assert time.monotonic() - began < PATIENCE
    listener.close()


def test_nobody_waits_at_a_door_before_which_others_wait(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "DIALLING", 0.2)
    listener, where = address.listen(folder.path)
    listener.listen(0)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for end in waiting:
        end.setblocking(False)
    assert any(end.connect_ex(str(where)) == errno.EAGAIN for end in waiting)
    with pytest.raises(SilentEngineError, match="does not answer"):
        Client.connect(folder.path)
    for end in (*waiting, listener):
        end.close()


def test_an_engine_hangs_up_on_who_speaks_nonsense_and_serves_the_others(folder: SessionFolder) -> None:
    link = Link(folder)
    stranger, _ = address.dial(folder.path)
    stranger.settimeout(PATIENCE)
    stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with suppress(ConnectionResetError):
        while stranger.recv(4096):
            pass
    friend = Client.connect(folder.path)
    assert friend.alive
    friend.close()
    stranger.close()
    link.close()
