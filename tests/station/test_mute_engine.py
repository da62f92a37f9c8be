"""Every command ends in time, and says what to do, when the session's engine is suspended or hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.channel import Channel
from datasets.errors import StationError
from datasets.lock import WriterLock
from station.jobs import stopping
from station.jobs.remote import wait_for
from station.session.core.events import Note
from station.session.folder import SessionFolder
from station.session.link import address, client
from station.session.link.address import LinkError
from station.session.link.client import Client
from station.session.link.server import FROM_ENGINE, TO_ENGINE, Hello, Link
from station.tui.engines import LocalEngines
from station.tui.feed import FeedError
from tests.station.conftest import Station, sentences

LIMIT = 30.0
"""s, on a busy machine; each command asks once or twice and waits 0.3 s for an answer."""


@pytest.fixture
def mute(session: SessionFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionFolder]:
    """A session whose engine is suspended: it holds the lock, and the system takes calls in its name."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path))
    for module in (address, client):
        monkeypatch.setattr(module, "DIALLING", 0.3)
    monkeypatch.setattr(stopping, "PATIENCE", 0.3)
    listener, _ = address.listen(session.path)
    with WriterLock(session.lock):
        yield session
    listener.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status", "SESSION"), 0, "silent"),
        (("status",), 0, "silent"),
        (("stop", "SESSION"), 1, "nothing confirms it"),
        (("label", "SESSION", "DEMO", "success"), 1, "kill -CONT"),
        (("eval", "SESSION"), 1, "kill -CONT"),
        (("run", "SESSION", "--headless", "--autopilot", "--episodes", "1"), 3, "is being written by"),
        (("review", "SESSION", "--list"), 0, ""),
        (("verify", "SESSION"), 0, ""),
        (("prune", "SESSION", "--yes"), None, ""),
        (("export", "SESSION", "--out", "OUT"), 0, ""),
        (("train", "SESSION"), 3, "is being written by"),
        (("import", "SESSION", "RECORDINGS"), 3, "is being written by"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_no_command_hangs_behind_a_mute_engine(
    station: Station, mute: SessionFolder, tmp_path: Path, words: tuple[str, ...], code: int | None, said: str
) -> None:
    demo = min(path.name for path in (mute.demos / "episodes").iterdir())
    places = {
        "SESSION": mute.path,
        "DEMO": demo,
        "OUT": tmp_path / "out",
        "RECORDINGS": mute.path / "recordings",
    }
    began = time.monotonic()
    done = station(*(places.get(word, word) for word in words))
    assert time.monotonic() - began < LIMIT
    assert code in (None, done.exit_code), done.output
    assert said in sentences(done)


def test_a_screen_says_that_the_engine_is_mute_in_place_of_starting_another(mute: SessionFolder) -> None:
    with pytest.raises(FeedError, match=r"does not answer .*kill -CONT"):
        LocalEngines().attach(mute.path)


def test_who_waits_for_an_engine_gives_up_when_it_shows_nothing_new(
    session: SessionFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("station.jobs.remote.SILENCE", 0.2)
    link = Link(session)
    asked = Client.connect(session.path)
    with pytest.raises(StationError, match="has shown nothing"):
        wait_for(asked, session, lambda _: False, number=0, patience=None)
    asked.close()
    link.close()


def test_an_engine_that_takes_nothing_more_holds_up_nobody_who_sends(
    session: SessionFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(client, "_SENDING", 0.2)
    listener, _ = address.listen(session.path)
    dialled, _ = address.dial(session.path)
    end, _ = listener.accept()
    end.sendall(b"".join(FROM_ENGINE.encode(Hello(pid=1))))
    told = Client(session, Channel(dialled, says=TO_ENGINE, hears=FROM_ENGINE))
    long = [Note(text="x" * 500_000) for _ in range(20)]  # far more than any socket keeps
    with pytest.raises(LinkError, match="accepts no more"):
        list(map(told.send, long))
    told.close()
    end.close()
    listener.close()
