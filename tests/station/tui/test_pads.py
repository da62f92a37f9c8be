"""Pedals and hotkeys on the session screen: the same table, one event a press, and a stop that waits for nobody."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from datasets.episode import Outcome
from hardware.keys.interface import KeyPress, KeySource, KeySourceError
from station.key_devices import KeyDevice
from station.session.core.events import Label
from station.session.snapshot import Phase
from station.tui.app import StationApp
from station.tui.keymap import default_keymap
from station.tui.pads import Pads
from station.tui.screens.help import HelpScreen
from station.tui.screens.noting import NoteScreen
from station.tui.screens.session import SessionScreen
from station.tui.sight import Sight
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot
from tests.station.tui.screens.test_session import headline, session, settled

PEDAL = "usb-PCsensor_FootSwitch-event-kbd"
ACTIONS = {"KEY_A": "failure", "KEY_B": "stop", "KEY_C": "success", "KEY_D": "note"}


class FakePedal(KeySource):
    """Pressed by the test, in the listener's thread."""

    def __init__(self, trouble: str = "") -> None:
        self.device = PEDAL
        self.trouble = trouble
        self.closed = threading.Event()
        self._presses: queue.SimpleQueue[KeyPress] = queue.SimpleQueue()

    def open(self) -> str:
        if self.trouble:
            raise KeySourceError(self.trouble)
        return "pedal"

    def read(self, timeout: float) -> KeyPress | None:
        try:
            return self._presses.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        self.closed.set()

    def press(self, key: str) -> None:
        self._presses.put(KeyPress(device=PEDAL, key=key, time=time.monotonic()))


def app_with(pedal: FakePedal, engines: FakeEngines, folder: Path) -> StationApp:
    return StationApp(
        folder=folder / "orange-1",
        sessions=folder,
        engines=engines,
        keymap=default_keymap(),
        refresh=20.0,
        pads=Pads([KeyDevice(name=PEDAL, actions=ACTIONS)], lambda _: pedal),
    )


async def reached(pilot: Pilot[int], holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20.0
    while not holds() and time.monotonic() < deadline:
        await pilot.pause(0.01)
    return holds()


async def test_a_pedal_labels_the_episode_on_the_screen(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path
) -> None:
    pedal = FakePedal()
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        pedal.press("KEY_C")
        assert await reached(pilot, lambda: bool(feed.sent))
        assert feed.sent == [Label(episode="online-000120", outcome=Outcome.SUCCESS)]
        assert "KEY_C taken" in headline(pilot)
    assert pedal.closed.is_set()


async def test_one_press_that_pedal_and_terminal_both_see_is_one_label(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "station.tui.key_dispatcher.SAME_PRESS", 60.0
    )  # a busy machine takes its time between the two
    pedal = FakePedal()
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        pedal.press("KEY_C")
        await pilot.press("s")
        await reached(pilot, lambda: bool(feed.sent))
        pedal.press("KEY_A")
        assert await reached(pilot, lambda: len(feed.sent) > 1)
        outcomes = [event.outcome for event in feed.sent if isinstance(event, Label)]
        assert outcomes == [Outcome.SUCCESS, Outcome.FAILURE]


async def test_a_stop_by_pedal_is_latched_while_the_screen_is_busy(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path
) -> None:
    pedal = FakePedal()
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        pedal.press("KEY_B")
        deadline = time.monotonic() + 20.0
        while not feed.stops and time.monotonic() < deadline:
            time.sleep(0.001)  # noqa: ASYNC251 - the UI's own loop hangs, which is the point
        assert feed.stops == 1
        assert await reached(pilot, lambda: "stop latched" in headline(pilot))
        assert (feed.stops, feed.sent) == (1, [])


@pytest.mark.parametrize("trouble", ["", "the latch is a link"])
async def test_a_stop_by_pedal_without_an_engine_is_reported(tmp_path: Path, trouble: str) -> None:
    pedal, engines = FakePedal(), FakeEngines(None)
    engines.trouble = trouble
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        assert await reached(pilot, lambda: isinstance(pilot.app.screen, SessionScreen))
        pedal.press("KEY_B")
        assert await reached(pilot, lambda: bool(pilot.app._notifications))
        [told] = pilot.app._notifications
        assert told.message.startswith("KEY_B") and (trouble or "stop latched") in told.message
        assert told.severity == ("error" if trouble else "warning")
        assert engines.latched == [tmp_path / "orange-1"]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "character"), [("x", "x"), ("X", "X"), ("ctrl+x", None), ("ctrl+c", None)])
async def test_a_stop_typed_while_the_screen_is_busy_is_latched_by_the_terminals_reader(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path, key: str, character: str | None
) -> None:
    async with app_with(FakePedal(), engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        app = pilot.app
        assert isinstance(app, StationApp)
        app.stop_unasked(Key("s", "s"))
        assert feed.stops == 0
        app.stop_unasked(Key(key, character))
        assert feed.stops == 1


async def test_a_letter_of_a_note_does_not_stop(feed: FakeFeed, engines: FakeEngines, tmp_path: Path) -> None:
    pedal = FakePedal()
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        pedal.press("KEY_D")
        app = pilot.app
        assert isinstance(app, StationApp)
        assert await reached(pilot, lambda: isinstance(app.focused, Input))
        app.stop_unasked(Key("x", "x"))
        assert feed.stops == 0
        app.stop_unasked(Key("ctrl+x", None))
        assert feed.stops == 1


async def test_a_label_by_pedal_names_what_stood_on_the_screen_when_the_foot_went_down(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path
) -> None:
    pedal = FakePedal()
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        app = pilot.app
        assert isinstance(app, StationApp)
        app._pad_pressed("success", KeyPress(device=PEDAL, key="KEY_C", time=time.monotonic()))
        session(pilot).attachment.sight = Sight(snapshot=snapshot(episode="online-000121"))
        assert await reached(pilot, lambda: bool(feed.sent))
        assert feed.sent == [Label(episode="online-000120", outcome=Outcome.SUCCESS)]


@pytest.mark.slow
async def test_a_pedal_works_while_a_note_is_written_but_opens_no_second_one(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path
) -> None:
    pedal = FakePedal()
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        pedal.press("KEY_D")
        assert await reached(pilot, lambda: isinstance(pilot.app.screen, NoteScreen))
        depth = len(pilot.app.screen_stack)
        pedal.press("KEY_D")
        pedal.press("KEY_A")
        assert await reached(pilot, lambda: bool(feed.sent))
        assert feed.sent == [Label(episode="online-000120", outcome=Outcome.FAILURE)]
        assert len(pilot.app.screen_stack) == depth


@pytest.mark.slow
async def test_a_pedal_that_is_not_there_is_told_of_and_the_terminal_works_on(
    feed: FakeFeed, engines: FakeEngines, tmp_path: Path
) -> None:
    feed.snapshot = snapshot(Phase.ROLLOUT)
    pedal = FakePedal(trouble=f"{PEDAL}: it is not plugged in.")
    async with app_with(pedal, engines, tmp_path).run_test(size=(100, 40)) as pilot:
        await settled(pilot)
        assert await reached(pilot, lambda: bool(pilot.app._notifications))
        assert "it is not plugged in" in next(iter(pilot.app._notifications)).message
        await pilot.press("f")
        assert feed.sent == [Label(episode="online-000120", outcome=Outcome.FAILURE)]
        await pilot.press("question_mark")
        screen = pilot.app.screen
        assert isinstance(screen, HelpScreen)
        told = " ".join(str(line.render()) for line in screen.query("Static").results())
        assert PEDAL in told and "KEY_B stop" in told and "not plugged in" in told
