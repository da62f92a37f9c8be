from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from station.tui.app import StationApp
from station.tui.keymap import Keymap, default_keymap
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

Open = Callable[..., StationApp]


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
            folder=folder, sessions=tmp_path, engines=engines, keymap=keymap or default_keymap(), refresh=20.0
        )

    return opened
