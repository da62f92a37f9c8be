"""Once through a real pseudo-terminal: bytes in, escape sequences out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
PATIENCE = 90.0
ROOT = Path(__file__).parents[3]


class Terminal:
    """The operator's side of a pseudo-terminal."""

    def __init__(self, columns: int, rows: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
        os.close(theirs)
        self.text = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} never appeared"
            if not select.select([self._ours], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:
                data = b""
            assert data, f"the terminal closed before {words!r}"
            self.text += re.sub(r"\x1b\[[0-9;?<>=]*[a-zA-Z]", "", data.decode(errors="replace"))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal(120, 36)
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
