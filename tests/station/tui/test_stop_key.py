"""The stop is heard whatever the keyboard says, and no key means nothing without a word about it."""

from __future__ import annotations

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input

from station.session.core.events import Label, Pause
from station.session.snapshot import Phase
from station.tui.keymap import Keymap, default_keymap
from station.tui.keystrokes import Stroke
from station.tui.screens.evaluation import EvaluationScreen
from station.tui.screens.help import HelpScreen
from station.tui.screens.leaving import LeaveScreen
from station.tui.screens.noting import NoteScreen
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeEngines, FakeFeed
from tests.station.tui.screens.test_session import headline, settled


async def send(pilot: Pilot[int], key: str, character: str | None, position: str) -> None:
    """A key of which the terminal tells where it lies."""
    stroke = Stroke(key, character, position)
    stroke.set_sender(pilot.app)
    pilot.app.post_message(stroke)
    await pilot.pause()


@pytest.mark.slow
async def test_every_spelling_of_the_stop_is_the_stop(open_app: Open, feed: FakeFeed) -> None:
    spellings = ["x", "X", "ctrl+x", "ctrl+c", "alt+x", "ctrl+shift+x", "ч", "Ч", "ctrl+ч", "χ", "ס", "ㅌ"]
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        for count, key in enumerate(spellings, start=1):
            await pilot.press(key)
            assert feed.stops == count, key
        assert "stop latched" in headline(pilot)
    assert feed.sent == []


@pytest.mark.slow
@pytest.mark.parametrize("opened", ["?", "q", "n", "p"])
async def test_ctrl_c_and_another_layout_stop_from_what_lies_over_the_session(
    open_app: Open, feed: FakeFeed, opened: str
) -> None:
    over = {"?": HelpScreen, "q": LeaveScreen, "n": NoteScreen, "p": EvaluationScreen}[opened]
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press(opened)
        assert isinstance(pilot.app.screen, over)
        await pilot.press("ctrl+c", "ctrl+ч")
        assert feed.stops == 2
        if opened == "n":
            await pilot.press("x", "ч", "X")
            assert pilot.app.screen.query_one(Input).value == "xчX" and feed.stops == 2
        else:
            await pilot.press("X", "ч")
            assert feed.stops == 4


@pytest.mark.slow
async def test_the_place_of_a_key_stops_and_brakes_and_does_nothing_else(
    open_app: Open, feed: FakeFeed
) -> None:
    keymap = Keymap({**default_keymap().keys, "pause": ("b",), "review": ()})
    async with open_app(keymap=keymap).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await send(pilot, "ы", "ы", "s")
        await send(pilot, "к", "к", "r")
        assert feed.sent == [] and "no such key; x or Ctrl+X stops" in headline(pilot)
        await send(pilot, "и", "и", "b")
        assert [type(event) for event in feed.sent] == [Pause]
        await send(pilot, "й", "й", "x")
        assert feed.stops == 1
        feed.play(phase=Phase.PAUSED)
        await settled(pilot)
        await send(pilot, "и", "и", "b")
        assert {type(event) for event in feed.sent} == {Pause}, "to resume would start the arm"


async def test_a_capital_letter_is_its_key(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("S")
        assert [type(event) for event in feed.sent] == [Label]
        await pilot.press("Q")
        assert isinstance(pilot.app.screen, LeaveScreen)


@pytest.mark.parametrize(
    "key",
    [
        *("k", "ы", "escape"),
        *(pytest.param(key, marks=pytest.mark.slow) for key in ("z", "7", "f7", "ctrl+g", "alt+s", "left")),
    ],
)
async def test_every_key_that_means_nothing_is_answered(open_app: Open, feed: FakeFeed, key: str) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press(key)
        assert "no such key; x or Ctrl+X stops" in headline(pilot)
    assert feed.sent == [] and feed.stops == 0


async def test_a_key_that_means_nothing_in_a_dialog_is_answered_too(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("q", "j")
        assert [each.message for each in pilot.app._notifications] == ["j: no such key; x or Ctrl+X stops"]
        await pilot.press("j")
        assert len(pilot.app._notifications) <= 1


async def test_pasted_text_is_no_key(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        pilot.app.post_message(Paste("success"))
        await pilot.pause()
        assert "pasted text does nothing here" in headline(pilot)
    assert feed.sent == [] and feed.stops == 0


@pytest.mark.slow
async def test_ctrl_c_stops_nothing_where_no_session_is_open(open_app: Open, engines: FakeEngines) -> None:
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+c")
        assert engines.latched == [] and pilot.app.is_running


async def test_an_action_answers_to_each_of_its_keys(open_app: Open, feed: FakeFeed) -> None:
    keymap = Keymap({**default_keymap().keys, "success": ("j", "f1"), "stop": ("k", "f12")})
    async with open_app(keymap=keymap).run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("f1")
        assert [type(event) for event in feed.sent] == [Label]
        await pilot.press("k", "K", "f12", "л", "ctrl+x")
        assert feed.stops == 5
        await pilot.press("x")
        assert feed.stops == 5 and "no such key; k or Ctrl+X stops" in headline(pilot)
