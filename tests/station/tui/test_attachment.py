from __future__ import annotations

from pathlib import Path

import pytest

from station.session.core.events import Pause
from station.session.snapshot import Phase
from station.tui.attachment import CONNECTING, NO_ANSWER, SILENCE, Attachment, LineStatus
from station.tui.audience import Audience
from station.tui.key_dispatcher import PressStatus
from station.tui.keymap import default_keymap
from station.tui.widgets.headline import call_without
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot

FOLDER = Path("orange-1")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed(snapshot())


@pytest.fixture
def engines(feed: FakeFeed) -> FakeEngines:
    return FakeEngines(feed)


def attached(engines: FakeEngines, clock: Clock, *, start: bool = True) -> Attachment:
    attachment = Attachment(FOLDER, engines, default_keymap(), start=start, clock=clock)
    found = attachment.seek()
    if found is not None:
        attachment.take(found)
    return attachment


def test_a_running_engine_is_attached_to_and_not_started_again(engines: FakeEngines, clock: Clock) -> None:
    attachment = attached(engines, clock)
    assert attachment.line is LineStatus.LIVE
    assert engines.started == []


def test_watching_alone_starts_no_engine(engines: FakeEngines, clock: Clock) -> None:
    engines.feed = None
    attachment = attached(engines, clock, start=False)
    assert attachment.seek() is None
    assert engines.started == []


def test_a_screen_that_may_start_no_engine_says_that_none_answers_and_starts_one_when_asked(
    engines: FakeEngines, clock: Clock
) -> None:
    engines.feed = None
    attachment = attached(engines, clock, start=False)
    clock.now += NO_ANSWER + 0.1
    assert attachment.seek() is None
    assert attachment.line is LineStatus.LOST
    assert engines.started == []
    attachment.restart()
    attachment.seek()
    assert engines.started == [FOLDER]


def test_a_silent_engine_is_told_from_a_dead_one_and_from_a_live_one(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    attachment = attached(engines, clock)
    feed.ticking = False
    attachment.poll()
    clock.now += SILENCE + 1
    attachment.poll()
    assert attachment.line is LineStatus.SILENT
    feed.play()
    attachment.poll()
    assert attachment.line is LineStatus.LIVE
    feed.alive = False
    attachment.poll()
    assert attachment.line is LineStatus.LOST


def test_an_engine_that_connects_real_devices_is_not_called_silent_before_that_has_taken_too_long(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    feed.snapshot, feed.ticking = snapshot(Phase.PREFLIGHT, simulated=False), False
    attachment = attached(engines, clock)
    attachment.poll()
    clock.now += SILENCE + 1
    attachment.poll()
    assert attachment.line is LineStatus.SILENT
    shown = call_without(attachment, None, default_keymap())
    assert (shown.badge, shown.below) == ("CHECKING", "no news for 7 s")
    clock.now += CONNECTING
    assert call_without(attachment, None, default_keymap()).badge == "SILENT"


def test_keys_still_travel_to_a_silent_engine(engines: FakeEngines, feed: FakeFeed, clock: Clock) -> None:
    attachment = attached(engines, clock)
    feed.ticking = False
    attachment.poll()
    clock.now += SILENCE + 1
    attachment.poll()
    attachment.press("pause")
    attachment.press("stop")
    assert (feed.sent, feed.stops) == ([Pause()], 1)


@pytest.mark.parametrize("action", ["success", "failure", "void"])
def test_no_episode_is_judged_while_the_screen_of_a_silent_engine_names_none(
    engines: FakeEngines, feed: FakeFeed, clock: Clock, action: str
) -> None:
    attachment = attached(engines, clock)
    feed.ticking = False
    attachment.poll()
    clock.now += SILENCE + 1
    attachment.poll()
    echo = attachment.press(action)
    assert feed.sent == []
    assert echo is not None and "no news from the engine" in echo.detail
    feed.play()
    attachment.poll()
    clock.now += 3.0
    attachment.press(action)
    assert len(feed.sent) == 1


def test_only_one_snapshot_is_drawn_however_often_it_is_looked_at(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    attachment = attached(engines, clock)
    feed.ticking = False
    assert attachment.poll() is not None
    assert attachment.poll() is None


def test_a_restart_is_only_done_when_the_engine_is_lost(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    attachment = attached(engines, clock)
    attachment.restart()
    assert attachment.line is LineStatus.LIVE
    feed.alive, engines.feed = False, None
    attachment.poll()
    attachment.restart()
    attachment.seek()
    assert engines.started == [FOLDER]


def test_another_terminal_that_holds_the_keys_is_noticed(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    attachment = attached(engines, clock)
    feed.holds_keys = False
    assert attachment.watching
    attachment.take_keys()
    assert not attachment.watching


def test_leaving_while_the_engine_starts_ends_the_one_that_was_started_here(
    engines: FakeEngines, clock: Clock
) -> None:
    engines.feed = None
    attachment = attached(engines, clock)
    assert attachment.line is LineStatus.STARTING and engines.started == [FOLDER]
    attachment.close()
    assert engines.ended == [FOLDER]


def test_leaving_while_an_engine_is_being_started_ends_it_once_it_is_there(
    engines: FakeEngines, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.feed = None
    attachment = Attachment(FOLDER, engines, default_keymap(), clock=clock)
    start = engines.start

    def slowly(folder: Path) -> None:
        attachment.close()
        engines.ended.clear()  # there was none yet
        start(folder)

    monkeypatch.setattr(engines, "start", slowly)
    attachment.seek()
    assert engines.started == engines.ended == [FOLDER]


def test_leaving_an_engine_that_was_seen_or_that_another_started_leaves_it_alone(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    engines.feed = None
    waiting = attached(engines, clock, start=False)
    starting = attached(engines, clock)
    starting.take(feed)
    for attachment in (waiting, starting):
        attachment.close()
    assert engines.ended == []


def test_a_screen_that_nobody_can_see_does_not_tell_the_engine_that_somebody_looks(
    engines: FakeEngines, clock: Clock
) -> None:
    there = [Audience(anybody=False, remark="Nobody is attached.")]
    feed = FakeFeed(snapshot(simulated=False))
    attachment = Attachment(FOLDER, engines, default_keymap(), clock=clock, audience=lambda: there[0])
    attachment.take(feed)
    assert attachment.poll() is not None and feed.looked_away == 1
    assert attachment.unseen == "Nobody is attached."
    there[0] = Audience()
    attachment.poll()
    assert feed.looked_away == 1 and attachment.unseen == ""


def test_a_stop_that_could_not_be_set_is_not_called_one(engines: FakeEngines, clock: Clock) -> None:
    engines.feed = None
    engines.trouble = "stop.latch is a link."
    attachment = attached(engines, clock)
    echo = attachment.press("stop")
    assert echo is not None and echo.status is PressStatus.LOST and "is a link" in str(echo)
    assert attachment.stop_at_once() == "stop.latch is a link."


def test_a_stop_that_neither_latch_nor_engine_took_is_not_called_one(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    feed.trouble = "The engine is gone."
    echo = attached(engines, clock).press("stop")
    assert echo is not None and echo.status is PressStatus.LOST and "The engine is gone" in str(echo)


def test_the_last_words_of_an_engine_are_shown_though_its_line_broke_before(
    engines: FakeEngines, feed: FakeFeed, clock: Clock
) -> None:
    attachment = attached(engines, clock)
    feed.alive = False
    attachment.poll()
    assert (attachment.line, attachment.why) == (LineStatus.LOST, "it ended or was killed")
    engines.death = "exit code 1: the folder is gone"
    attachment.poll()
    assert attachment.why == "exit code 1: the folder is gone"
