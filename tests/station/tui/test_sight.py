"""What a press may mean after the screen had stopped, or when what it shows has only just come up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from station.session.core.events import Go, Pause, Resume
from station.session.snapshot import Phase
from station.tui.attachment import Attachment, LineStatus
from station.tui.key_dispatcher import PressStatus
from station.tui.keymap import default_keymap
from station.tui.sight import READ, Pulse
from tests.station.tui.fakes import FakeEngines, FakeFeed, snapshot


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Looking:
    """A screen whose loop turns five times a second, and what it has sent."""

    def __init__(self) -> None:
        self.clock, self.feed = Clock(), FakeFeed(snapshot())
        self.engines = FakeEngines(self.feed)
        self.attachment = Attachment(Path("orange-1"), self.engines, default_keymap(), clock=self.clock)
        self.attachment.take(self.feed)

    def show(self, phase: Phase, seconds: float, **changes: Any) -> None:
        """The engine says so for as long, and the loop draws it."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.feed.play(phase=phase, made=self.clock.now, simulated=False, **changes)
            self.attachment.poll()
            self.clock.now += 0.2

    def press(self, action: str) -> str:
        echo = self.attachment.press(action)
        assert echo is not None
        return echo.detail if echo.status is PressStatus.REFUSED else ""


@pytest.fixture
def looking() -> Looking:
    return Looking()


def test_a_loop_that_stood_still_is_noticed_and_forgotten_after_a_moment() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    for _ in range(20):
        clock.now += 0.3
        assert pulse.complaint == ""
    clock.now += 6.0
    assert "was frozen for 6.0 s" in pulse.complaint
    clock.now += 0.5
    assert pulse.complaint
    clock.now += 0.6
    assert pulse.complaint == ""


def test_a_machine_that_slept_makes_the_screen_one_that_had_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse(Clock())
    monkeypatch.setattr("station.tui.sight.slept", lambda: 1e9)
    assert "was frozen" in pulse.complaint


def test_space_that_was_typed_while_the_screen_had_stopped_brakes_and_does_not_go_on(
    looking: Looking,
) -> None:
    looking.show(Phase.ROLLOUT, 3.0)
    looking.clock.now += 5.0
    looking.show(Phase.PAUSED, 0.4, question=8)
    looking.press("pause")
    assert looking.feed.sent == [Pause()]
    looking.show(Phase.PAUSED, 2.0, question=8)
    looking.press("pause")
    assert looking.feed.sent == [Pause(), Resume(answers=8)]


@pytest.mark.parametrize(("action", "phase"), [("go", Phase.READY), ("success", Phase.LABEL)])
def test_what_was_typed_while_the_screen_had_stopped_starts_and_judges_nothing(
    looking: Looking, action: str, phase: Phase
) -> None:
    looking.show(phase, 3.0)
    looking.clock.now += 5.0
    assert "the screen was frozen for 5" in looking.press(action)
    assert looking.feed.sent == []
    looking.show(phase, 2.0)
    assert looking.press(action) == "" and len(looking.feed.sent) == 1


def test_the_second_of_two_quick_keys_does_not_clear_the_fault_that_came_up_between_them(
    looking: Looking,
) -> None:
    looking.show(Phase.READY, 3.0, question=4)
    looking.press("go")
    looking.show(Phase.FAULT, 0.4, question=5, reason="Collision (C31).")
    assert "read it, then press again" in looking.press("go")
    looking.show(Phase.FAULT, READ, question=5, reason="Collision (C31).")
    looking.press("go")
    assert looking.feed.sent == [Go(answers=4), Go(answers=5)]


def test_an_engine_that_shows_nothing_new_is_started_from_by_no_key(looking: Looking) -> None:
    looking.show(Phase.READY, 3.0)
    looking.feed.ticking = False
    for _ in range(10):
        looking.clock.now += 0.2
        looking.attachment.poll()
    assert "as it was" in looking.press("go")
    assert looking.feed.sent == []


def test_what_another_engine_showed_is_answered_by_no_key(looking: Looking) -> None:
    looking.show(Phase.READY, 3.0, question=4)
    looking.attachment.take(FakeFeed())
    assert "before the engine was started" in looking.press("go")


def test_enter_starts_no_engine_whose_loss_could_not_be_read_yet(looking: Looking) -> None:
    looking.show(Phase.READY, 3.0)
    looking.feed.alive, looking.engines.feed = False, None
    looking.attachment.poll()
    assert "read what happened" in looking.attachment.restart()
    assert looking.attachment.line is LineStatus.LOST
    for _ in range(6):
        looking.clock.now += 0.2
        looking.attachment.poll()
    assert looking.attachment.restart() == "" and looking.attachment.line is LineStatus.SEEKING
