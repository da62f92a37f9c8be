"""Once through a real pseudo-terminal: bytes in, escape sequences out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.station.tui.terminal import ROOT, Terminal

pytestmark = pytest.mark.realtime

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


HANGS = """
import sys, time
from pathlib import Path
from station.tui.app import StationApp
from station.tui.keymap import default_keymap
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

class Feed(FakeFeed):
    until = time.monotonic() + 3.0

    def latest(self):
        if time.monotonic() > self.until:
            print("hangs now", file=sys.__stdout__, flush=True)
            time.sleep(60.0)
        return super().latest()

    def stop(self):
        Path(sys.argv[1]).touch()
        return ""

engines = FakeEngines(Feed(snapshot()))
StationApp(folder=Path("orange-1"), sessions=Path("."), engines=engines, keymap=default_keymap()).run()
"""


def now_and_then(press: Callable[[], None], seconds: float = 1.5) -> Callable[[], None]:
    """Presses again once so many seconds have passed since the last time."""
    last = time.monotonic()

    def again() -> None:
        nonlocal last
        if time.monotonic() - last > seconds:
            last = time.monotonic()
            press()

    return again


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal(["-c", SCRIPT])
    yield terminal
    terminal.close()


def test_keys_travel_through_a_real_terminal(terminal: Terminal) -> None:
    terminal.wait_for("MOVING")
    # a key that goes down before the episode could be read, or while a busy screen stands still, is refused
    terminal.wait_for("s taken", meanwhile=now_and_then(lambda: terminal.type("s")))
    (flags,) = re.findall(r"\x1b\[=(\d+);1u", terminal.raw)
    assert int(flags) & 0b100, "the terminal was not asked where on the keyboard a key lies"
    terminal.type("\x18")
    terminal.wait_for("stop latched")
    terminal.type("q")
    terminal.wait_for("Leave this session?")
    terminal.type("k")
    terminal.wait_for("CODE 0")
    assert re.search(
        r"SENT \['Label'(, 'Label')*\] STOPS 2 CODE 0", terminal.text
    )  # once by the terminal's reader, once by the screen


@pytest.mark.slow
@pytest.mark.parametrize("key", ["x", "X", "\x18", "\x03"])
def test_a_stop_does_not_wait_for_a_screen_that_hangs(key: str, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    terminal = Terminal(["-c", HANGS, str(stopped)])
    try:
        terminal.wait_for("hangs now")
        terminal.type(key)
        deadline = time.monotonic() + 10.0
        while not stopped.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stopped.exists()
    finally:
        terminal.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Terminal, number: signal.Signals) -> None:
    before = terminal.settings
    terminal.wait_for("MOVING")
    assert terminal.settings != before
    terminal.process.send_signal(number)
    terminal.wait_for(f"CODE {128 + number}")
    assert terminal.settings == before
    for mode in ("\x1b[?1049l", "\x1b[?25h", "\x1b[?1000l", "\x1b[?2004l"):
        assert mode in terminal.raw


@pytest.mark.slow
def test_a_terminal_is_not_asked_where_the_mouse_is(terminal: Terminal) -> None:
    terminal.wait_for("MOVING")
    assert "\x1b[?1000h" in terminal.raw
    assert not {"\x1b[?1002h", "\x1b[?1003h", "\x1b[?1015h"} & set(re.findall(r"\x1b\[\?\d+h", terminal.raw))


@pytest.mark.slow
def test_a_browsers_tab_is_not_asked_where_the_mouse_is() -> None:
    size = {"COLUMNS": "120", "ROWS": "36"}
    tab = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            **size,
            "PYTHONPATH": str(ROOT),
            "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        },
    )
    drawn = b""
    with tab:
        assert tab.stdout is not None
        while b"MOVING" not in drawn:
            drawn += (data := os.read(tab.stdout.fileno(), 1 << 16))
            assert data, "it ended before it had drawn anything"
        tab.kill()
    assert b"\x1b[?1000h" in drawn
    assert not {b"\x1b[?1002h", b"\x1b[?1003h"} & set(re.findall(rb"\x1b\[\?\d+h", drawn))


@pytest.mark.slow
def test_what_a_slow_line_tears_apart_is_no_label_and_the_stop_comes_through(terminal: Terminal) -> None:
    terminal.wait_for("MOVING")
    for piece in ("\x1b[11", "5;;115", "\x1b", "[<35;12;40", "M", "\x1b[200~sss", "\x1b[201~", "\xff"):
        terminal.type(piece)
        time.sleep(0.1)
    terminal.type("\u0447")
    terminal.wait_for("stop latched")
    terminal.type("Q")
    terminal.wait_for("Leave this session?")
    terminal.type("K")
    terminal.wait_for("SENT [] STOPS 2 CODE 0")
