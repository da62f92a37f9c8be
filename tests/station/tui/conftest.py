from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from station.tui.app import StationApp
from station.tui.keymap import Keymap, default_keymap
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

Open = Callable[..., StationApp]


@pytest.fixture(autouse=True)
def _the_operator_has_read_the_screen(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that runs in real time waits for no reader; test_key_dispatcher and test_sight say what reading is for."""
    if {"open_app", "engines", "snap_compare"} & set(request.fixturenames):
        for name, seconds in (("READ", 0.0), ("NAMED", 0.0), ("STALE", 1e12)):
            monkeypatch.setattr(f"station.tui.sight.{name}", seconds)
        monkeypatch.setattr("station.tui.key_dispatcher.STALE", 1e12)
        monkeypatch.setattr("station.tui.key_dispatcher.UNANSWERED", 1e12)
        monkeypatch.setattr("station.tui.attachment.READ", 0.0)


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed(snapshot())


@pytest.fixture
def engines(feed: FakeFeed) -> FakeEngines:
    return FakeEngines(feed)


@pytest.fixture
def open_app(engines: FakeEngines, tmp_path: Path) -> Open:
    def opened(keymap: Keymap | None = None, folder: Path | None = tmp_path / "orange-1") -> StationApp:
        return StationApp(
            folder=folder, sessions=tmp_path, engines=engines, keymap=keymap or default_keymap()
        )

    return opened
