"""The guides are read beside a session that goes on: stop and brake work from there, and no other key gets through."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from station.guides.pages import find, guides
from station.session.core.events import Pause
from station.session.snapshot import Phase
from station.tui.screens.guides import GuideScreen
from station.tui.screens.help import HelpScreen
from station.tui.screens.home import HomeScreen
from station.tui.screens.leaving import LeaveScreen
from station.tui.screens.noting import NoteScreen
from station.tui.screens.session import SessionScreen
from station.tui.widgets.page import Page, draw
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeFeed
from tests.station.tui.screens.test_screens import shows, until
from tests.station.tui.screens.test_session import headline, session, settled

SMALL = (100, 30)


async def opened(pilot: Pilot[int], *keys: str) -> Page:
    """The guides over the session, once the page can be read."""
    await settled(pilot)
    await pilot.press(*keys or ("f1",))
    await shows(pilot, GuideScreen)
    page = pilot.app.screen.query_one(Page)
    await until(pilot, lambda: bool(page.text.strip()))
    return page


@pytest.mark.slow
async def test_a_page_is_read_searched_and_left(open_app: Open, feed: FakeFeed) -> None:
    async with open_app().run_test(size=SMALL) as pilot:
        page = await opened(pilot)
        assert page.guide is find("day") and "A day's session" in page.text
        await pilot.press("slash", *"PREEMPT kernel", "enter", "enter")
        await until(pilot, lambda: page.guide is find("franka") and "Prepare this computer" in page.text)
        await until(pilot, lambda: page.scroll_offset.y > 0)
        await pilot.press("backspace")
        await until(pilot, lambda: page.guide is find("day"))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, GuideScreen) and not pilot.app.screen.query_one(Input).value
        assert pilot.app.screen.query_one(OptionList).option_count == len(guides())
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, SessionScreen)
    assert feed.sent == [] and feed.stops == 0


@pytest.mark.slow
async def test_stop_and_brake_work_beside_a_guide_and_nothing_else_does(
    open_app: Open, feed: FakeFeed
) -> None:
    async with open_app().run_test(size=SMALL) as pilot:
        await opened(pilot)
        for count, key in enumerate(("x", "X", "ctrl+x", "ctrl+c", "ч"), start=1):
            await pilot.press(key)
            assert feed.stops == count, key
        await pilot.press("s", "f", "r", "u", "v", "e", "ctrl+r", "n")
        assert feed.sent == [] and isinstance(pilot.app.screen, GuideScreen)
        await pilot.press("space")
        assert [type(event) for event in feed.sent] == [Pause]
        feed.play(phase=Phase.PAUSED)
        await settled(pilot)
        await pilot.press("space")
        assert {type(event) for event in feed.sent} == {Pause}, "resuming would move an arm that nobody sees"
        await pilot.press("slash", "x", "ctrl+x")
        assert pilot.app.screen.query_one(Input).value == "x" and feed.stops == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "covering",
    ["f1", pytest.param("p", marks=pytest.mark.slow), pytest.param("question_mark", marks=pytest.mark.slow)],
)
async def test_what_came_up_beneath_another_screen_is_not_answered_before_it_was_read(
    open_app: Open, feed: FakeFeed, covering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.tui.sight.READ", 30.0)
    async with open_app().run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press(covering)
        feed.play(phase=Phase.READY, question=7)
        await settled(pilot)
        sight = session(pilot).attachment.sight
        assert sight is not None and sight.snapshot.phase is Phase.READY
        # as if it had been there for a minute, while nobody could see it
        session(pilot).attachment.sight = replace(sight, asked_since=0.0, named_since=0.0)
        await pilot.press("escape", "r")
        assert feed.sent == []
        assert "read it, then press again" in headline(pilot)


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "below"), [("q", LeaveScreen), ("n", NoteScreen), ("?", HelpScreen)])
async def test_they_open_over_a_dialog_and_help_makes_room_for_them(
    open_app: Open, feed: FakeFeed, keys: str, below: type
) -> None:
    async with open_app().run_test(size=SMALL) as pilot:
        await opened(pilot, keys, "g" if below is HelpScreen else "f1")
        await pilot.press("f1")
        assert isinstance(pilot.app.screen, SessionScreen if below is HelpScreen else below)
    assert feed.sent == []


@pytest.mark.slow
async def test_they_open_where_no_session_is_open(open_app: Open) -> None:
    async with open_app(folder=None).run_test(size=(80, 24)) as pilot:
        await shows(pilot, HomeScreen)
        await pilot.press("question_mark", "g")
        await shows(pilot, GuideScreen)
        await until(pilot, lambda: "First session" in pilot.app.screen.query_one(Page).text)
        await pilot.press("x")
        await pilot.press("q")
        await shows(pilot, HomeScreen)


@pytest.mark.slow
@pytest.mark.parametrize("width", [44, 96])
def test_every_guide_is_drawn_in_the_columns_that_there_are(width: int) -> None:
    for guide in guides():
        drawn = draw(guide, width)
        assert all(line.cell_length == width for line in drawn.lines)
        words = " ".join(line.text for line in drawn.lines)
        assert guide.title in words and not re.search(r"\b[a-z-]+\.md\b", words)


@pytest.mark.slow
async def test_a_late_pause_key_brakes_from_the_guides_too(
    open_app: Open, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.ticking = False
    async with open_app().run_test(size=SMALL) as pilot:
        await opened(pilot)
        monkeypatch.setattr("station.tui.timeliness.Timeliness.doubt", lambda *_: "late")
        await pilot.press("space", "r")
        assert [type(event) for event in feed.sent] == [Pause]
