"""A key that cannot be meant for the screen on which it would act does nothing there, and is answered."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from textual.app import App
from textual.events import Key
from textual.pilot import Pilot

from station.session.core.events import Leave
from station.session.snapshot import Phase
from station.tui import sight
from station.tui.app import StationApp
from station.tui.attachment import NO_ANSWER, Attachment
from station.tui.keymap import default_keymap
from station.tui.screens.home import HomeScreen
from station.tui.screens.leaving import LeaveScreen
from station.tui.screens.noting import NoteScreen
from station.tui.screens.work import WorkScreen
from station.tui.sight import Pulse
from station.tui.timeliness import Timeliness
from station.tui.widgets.headline import call_without
from tests.station.session.fakes import make_folder
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot
from tests.station.tui.screens.test_session import headline, settled

_DONE = ("python", "-c", "pass")


async def _typed_at(pilot: Pilot[int], key: str, at: float) -> None:
    """One key that went down then."""
    event = Key(key, key if len(key) == 1 else None)
    event.time = at
    pilot.app.post_message(event)
    await pilot.pause()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the app has told; on a busy machine a notice may be gone again before a test looks."""
    words: list[str] = []
    monkeypatch.setattr(StationApp, "notify", lambda _, message, **__: words.append(message))
    return words


@pytest.mark.slow
async def test_a_key_that_went_down_before_a_dialog_came_up_does_not_answer_it(
    open_app: Open, feed: FakeFeed, said: list[str]
) -> None:
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        before = time.monotonic()
        await pilot.press("q")
        await _typed_at(pilot, "e", before)
        assert isinstance(pilot.app.screen, LeaveScreen) and feed.sent == []
        assert "came up" in " ".join(said)
        await pilot.press("e")
        await settled(pilot)
        assert feed.sent == [Leave()]


async def test_a_key_that_went_down_while_a_dialog_lay_over_the_session_is_none_of_the_sessions(
    open_app: Open, feed: FakeFeed
) -> None:
    feed.snapshot = snapshot(Phase.LABEL)
    async with open_app().run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("n")
        assert isinstance(pilot.app.screen, NoteScreen)
        before = time.monotonic()
        await pilot.press("escape")
        await _typed_at(pilot, "s", before)
        assert feed.sent == [] and "s not now" in " ".join(headline(pilot).split())
        await _typed_at(pilot, "x", before)
        assert feed.stops == 1, "a stop is heard however old it is"


async def test_enter_that_went_down_before_a_job_was_done_does_not_go_on_to_an_arm_that_moves(
    open_app: Open, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(sight, "READ", 1e9)
    gone: list[str] = []
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        screen = WorkScreen("training", _DONE, onward=lambda: gone.append("on"), back=lambda: None)
        await pilot.app.push_screen(screen)
        await pilot.app.workers.wait_for_complete()
        await pilot.press("enter")
        assert gone == [] and "only just ended" in " ".join(said)
        monkeypatch.setattr(sight, "READ", 0.0)
        await pilot.press("enter")
        assert gone == ["on"]


async def test_a_key_out_of_a_screen_that_stood_still_does_nothing_on_any_screen(
    open_app: Open, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(Pulse, "complaint", "the screen was frozen for 5.0 s: look, then press again")
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        home = pilot.app.screen
        await pilot.press("n")
        assert pilot.app.screen is home and "was frozen for 5.0 s" in " ".join(said)


async def test_enter_on_a_session_that_has_only_just_come_up_in_the_list_opens_nothing(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(sight, "READ", 1e9)
    make_folder(tmp_path / "s")
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        home = pilot.app.screen
        assert isinstance(home, HomeScreen)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert home.chosen is not None
        await pilot.press("enter", "t")
        assert pilot.app.screen is home and "The list has changed" in " ".join(said)
        monkeypatch.setattr(sight, "READ", 0.0)
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen is not home


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _key(name: str, at: float) -> Key:
    event = Key(name, name if len(name) == 1 else None)
    event.time = at
    return event


async def test_a_standstill_of_the_loop_is_noticed_without_a_screen_of_a_session() -> None:
    clock = _Clock()
    timeliness = Timeliness(clock)
    async with App[None]().run_test() as pilot:
        screen = pilot.app.screen
        assert timeliness.doubt(_key("n", 100.0), screen) == ""
        clock.now = 103.0
        assert "was frozen for 3.0 s" in timeliness.doubt(_key("n", 103.0), screen)
        clock.now = 107.0
        timeliness.beat()


async def test_a_screen_that_never_met_an_engine_does_not_say_that_one_is_gone(engines: FakeEngines) -> None:
    clock, engines.feed = _Clock(), None
    attachment = Attachment(Path("orange-1"), engines, default_keymap(), start=False, clock=clock)
    assert call_without(attachment, None, default_keymap()).badge == "LOOKING"
    clock.now += NO_ANSWER + 0.1
    attachment.seek()
    shown = call_without(attachment, None, default_keymap())
    assert (
        shown.badge == "NO ENGINE"
        and shown.sentence.startswith("No engine answers")
        and len(shown.sentence) <= 84
    )


def test_one_that_did_not_start_and_one_that_went_are_told_apart(
    engines: FakeEngines, feed: FakeFeed
) -> None:
    clock, engines.feed = _Clock(), None
    attachment = Attachment(Path("orange-1"), engines, default_keymap(), clock=clock)
    attachment.seek()
    engines.death = "exit code 2"
    attachment.seek()
    shown = call_without(attachment, None, default_keymap())
    assert "did not start" in shown.sentence and "gone" not in shown.sentence and len(shown.sentence) <= 84
    clock.now += 2.0
    assert attachment.restart() == ""
    attachment.take(feed)
    attachment.poll()
    feed.alive = False
    attachment.poll()
    assert "Engine gone" in call_without(attachment, None, default_keymap()).sentence
