"""Once through a real pseudo-terminal: bytes in, escape sequences out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.station.tui.terminal import Terminal

SCRIPT = """
from pathlib import Path
from station.tui.app import StationApp
from station.tui.keymap import default_keymap
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

feed = FakeFeed(snapshot())
app = StationApp(folder=Path("orange-1"), sessions=Path("."), engines=FakeEngines(feed), keymap=default_keymap())
code = app.run()
print("SENT", [type(event).__name__ for event in feed.sent], "STOPS", feed.stops, "CODE", code)
"""


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal(["-c", SCRIPT])
    yield terminal
    terminal.close()


def test_keys_travel_through_a_real_terminal(terminal: Terminal) -> None:
    terminal.wait_for("MOVING")
    terminal.type("s")
    terminal.wait_for("s taken")
    terminal.type("\x18")
    terminal.wait_for("stop latched")
    terminal.type("q")
    terminal.wait_for("Leave this session?")
    terminal.type("k")
    terminal.wait_for("SENT ['Label'] STOPS 1 CODE 0")
