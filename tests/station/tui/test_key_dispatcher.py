from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from datasets.episode import Outcome
from hardware.cell import ClockSpeed
from station.session.core.events import (
    Go,
    Label,
    OperatorEvent,
    Pause,
    Rearm,
    Restore,
    Resume,
    SetAutopilot,
    SetSpeed,
    UndoLabel,
)
from station.session.snapshot import Counts, Phase, Snapshot, Undo
from station.tui.key_dispatcher import TERMINAL, Echo, KeyDispatcher, Origin, PressStatus
from station.tui.keymap import default_keymap
from station.tui.sight import NAMED, READ, Sight
from tests.station.tui.fakes import FakeFeed, snapshot


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


class Reading(KeyDispatcher):
    """One whose operator has had all the time in the world to read what is shown, unless a sight says otherwise."""

    def press(self, action: str, sight: Sight | Snapshot | None, origin: Origin = TERMINAL) -> Echo | None:
        if isinstance(sight, Snapshot):
            sight = Sight(snapshot=replace(sight, made=self._clock()))
        return super().press(action, sight, origin)


@pytest.fixture
def dispatcher(feed: FakeFeed, clock: Clock) -> Reading:
    return Reading(feed, default_keymap(), clock)


def test_a_label_names_the_episode_that_stood_on_the_screen(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("success", snapshot(episode="online-000007"))
    assert feed.sent == [Label(episode="online-000007", outcome=Outcome.SUCCESS)]


def test_key_repeat_of_a_label_is_one_label(dispatcher: Reading, feed: FakeFeed, clock: Clock) -> None:
    for _ in range(20):
        dispatcher.press("failure", snapshot())
        clock.now += 0.03
    assert len(feed.sent) == 1


def test_the_same_label_key_works_again_after_a_moment(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    dispatcher.press("success", snapshot(episode="online-000001"))
    clock.now += 0.2
    dispatcher.press("success", snapshot(episode="online-000002"))
    assert [event.episode for event in feed.sent if isinstance(event, Label)] == [
        "online-000001",
        "online-000002",
    ]


def test_one_press_that_two_devices_see_is_one_label(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    dispatcher.press("success", snapshot(episode="online-000001"))
    clock.now += 0.4
    assert dispatcher.press("success", snapshot(episode="online-000002"), Origin(device="pedal")) is None
    clock.now += 0.6
    dispatcher.press("success", snapshot(episode="online-000002"), Origin(device="pedal", key="KEY_C"))
    assert [event.episode for event in feed.sent if isinstance(event, Label)] == [
        "online-000001",
        "online-000002",
    ]
    assert dispatcher.echo is not None and str(dispatcher.echo).startswith("KEY_C taken")


def test_two_keys_at_once_name_the_same_episode_and_the_last_of_them_is_shown(
    dispatcher: Reading, feed: FakeFeed
) -> None:
    """One label stands: the engine keeps the last one for an episode that it has not committed yet."""
    dispatcher.press("success", snapshot(episode="online-000001"))
    echo = dispatcher.press(
        "failure", snapshot(episode="online-000001"), Origin(device="pedal", key="KEY_A", time=100.0)
    )
    assert feed.sent == [
        Label(episode="online-000001", outcome=Outcome.SUCCESS),
        Label(episode="online-000001", outcome=Outcome.FAILURE),
    ]
    assert echo is not None and str(echo) == "KEY_A taken … failure for online-000001"


def test_a_press_that_arrives_late_is_judged_by_when_the_key_went_down(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    dispatcher.press("success", snapshot())
    clock.now += 3.0
    dispatcher.press("success", snapshot(), Origin(device="pedal", time=clock.now - 2.9))
    assert len(feed.sent) == 1


def test_a_stop_is_never_taken_for_a_repeat(dispatcher: Reading, feed: FakeFeed) -> None:
    for device in ("", "pedal", "", "hotkeys"):
        dispatcher.press("stop", snapshot(), Origin(device=device))
    assert feed.stops == 4


def test_changing_ones_mind_at_once_is_not_taken_for_key_repeat(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    dispatcher.press("success", snapshot())
    clock.now += 0.05
    dispatcher.press("failure", snapshot())
    assert [event.outcome for event in feed.sent if isinstance(event, Label)] == [
        Outcome.SUCCESS,
        Outcome.FAILURE,
    ]


def test_a_held_pause_key_does_not_go_on_by_itself(dispatcher: Reading, feed: FakeFeed, clock: Clock) -> None:
    dispatcher.press("pause", snapshot())
    clock.now += 0.5
    for _ in range(30):
        dispatcher.press("pause", snapshot(Phase.PAUSED))
        clock.now += 0.03
    assert feed.sent == [Pause()]


def test_the_echo_says_taken_at_once_and_acknowledged_later(dispatcher: Reading, feed: FakeFeed) -> None:
    echo = dispatcher.press("success", snapshot(episode="online-000007"))
    assert str(echo) == "s taken … success for online-000007"
    feed.acknowledge(1)
    assert str(dispatcher.absorb()) == "s acknowledged ✓ success for online-000007"


@pytest.mark.parametrize(
    ("phase", "words"), [(Phase.READY, "start"), (Phase.FAULT, "recover"), (Phase.FINISHED, "continue")]
)
def test_the_echo_of_r_says_what_it_does_here(dispatcher: Reading, phase: Phase, words: str) -> None:
    assert str(dispatcher.press("go", snapshot(phase))) == f"r taken … {words}"


def test_a_refusal_is_the_echo_of_its_own_press_also_after_a_newer_one(
    dispatcher: Reading, feed: FakeFeed
) -> None:
    dispatcher.press("success", snapshot(episode="online-000007"))
    dispatcher.press("evaluate", snapshot())
    feed.acknowledge(2)
    assert str(dispatcher.absorb()).startswith("e acknowledged")
    feed.acknowledge(1, refused="online-000007 is void; restore it before you label it.")
    assert str(dispatcher.absorb()) == "s not now – online-000007 is void; restore it before you label it."


def test_an_unanswered_key_is_said_to_be_unanswered(dispatcher: Reading, clock: Clock) -> None:
    dispatcher.press("success", snapshot())
    clock.now += 2.5
    echo = dispatcher.absorb()
    assert echo is not None and echo.status is PressStatus.UNANSWERED


def test_a_key_that_could_not_be_sent_is_not_said_to_be_taken(dispatcher: Reading, feed: FakeFeed) -> None:
    feed.broken = True
    echo = dispatcher.press("success", snapshot())
    assert echo is not None and echo.status is PressStatus.LOST and "broken" in echo.detail


@pytest.mark.parametrize(
    ("action", "why"),
    [("success", "no episode to label"), ("void", "no episode to label"), ("undo", "no label to undo")],
)
def test_label_keys_before_the_first_episode_say_why_they_do_nothing(
    dispatcher: Reading, feed: FakeFeed, action: str, why: str
) -> None:
    echo = dispatcher.press(action, snapshot(episode=None, counts=Counts()))
    assert echo is not None and echo.status is PressStatus.REFUSED and why in echo.detail
    assert feed.sent == []


def test_go_is_only_taken_when_the_screen_shows_that_something_waits(
    dispatcher: Reading, feed: FakeFeed
) -> None:
    refused = dispatcher.press("go", snapshot(Phase.HOMING))
    assert refused is not None and refused.status is PressStatus.REFUSED
    assert feed.sent == []


def test_go_starts_the_episode_that_is_shown_as_ready(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("go", snapshot(Phase.READY, question=7))
    assert feed.sent == [Go(answers=7)]


def test_go_does_not_override_a_latched_stop(dispatcher: Reading, feed: FakeFeed) -> None:
    echo = dispatcher.press("go", snapshot(Phase.FAULT, stopped=True))
    assert echo is not None and "re-arm first" in echo.detail
    assert feed.sent == []


def test_stop_takes_the_latch_and_not_the_queue(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("stop", None)
    dispatcher.press("stop", None)
    assert feed.stops == 2
    assert feed.sent == []


@pytest.mark.parametrize("void", [True, False])
def test_undo_takes_back_what_the_screen_says_that_it_would(
    dispatcher: Reading, feed: FakeFeed, void: bool
) -> None:
    echo = dispatcher.press(
        "undo", snapshot(episode="online-000010", undo=Undo(episode="online-000009", void=void))
    )
    assert feed.sent == [(Restore if void else UndoLabel)(episode="online-000009")]
    assert echo is not None and "online-000009" in echo.detail


def test_undo_without_anything_to_take_back_says_so(dispatcher: Reading, feed: FakeFeed) -> None:
    echo = dispatcher.press("undo", snapshot(episode="online-000010"))
    assert feed.sent == [] and echo is not None and echo.status is PressStatus.REFUSED


def test_undo_after_a_void_and_a_newer_timeout_leaves_the_void_alone(
    dispatcher: Reading, feed: FakeFeed
) -> None:
    dispatcher.press("void", snapshot(episode="online-000001"))
    newer = snapshot(
        Phase.LABEL, episode="online-000002", label="timeout", undo=Undo(episode="online-000002")
    )
    dispatcher.press("undo", newer)
    assert feed.sent[1:] == [UndoLabel(episode="online-000002")]


def test_void_on_a_void_episode_takes_it_back_in(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("void", snapshot(episode="online-000009", void=True))
    assert feed.sent == [Restore(episode="online-000009")]


def test_a_void_episode_takes_no_label_and_says_why(dispatcher: Reading, feed: FakeFeed) -> None:
    echo = dispatcher.press("success", snapshot(Phase.READY, episode="online-000009", void=True))
    assert feed.sent == []
    assert echo is not None and "online-000009 is void" in str(echo)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ClockSpeed.REAL, ClockSpeed.FAST),
        (ClockSpeed.FAST, ClockSpeed.VIRTUAL),
        (ClockSpeed.VIRTUAL, ClockSpeed.REAL),
    ],
)
def test_the_clock_key_goes_round_the_speeds(
    dispatcher: Reading, feed: FakeFeed, before: ClockSpeed, after: ClockSpeed
) -> None:
    dispatcher.press("clock", snapshot(speed=before))
    assert feed.sent == [SetSpeed(speed=after)]


@pytest.mark.parametrize("action", ["clock", "autopilot"])
def test_a_real_cell_has_neither_another_clock_nor_an_automatic_operator(
    dispatcher: Reading, feed: FakeFeed, action: str
) -> None:
    echo = dispatcher.press(action, snapshot(simulated=False))
    assert echo is not None and echo.status is PressStatus.REFUSED
    assert feed.sent == []


def test_the_automatic_operator_keeps_its_rate_of_mistakes(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("autopilot", snapshot(autopilot=False, mistakes=0.1))
    assert feed.sent == [SetAutopilot(on=True, mistakes=0.1)]


def test_rearming_needs_a_stop_to_rearm_from(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("rearm", snapshot(stopped=False))
    assert feed.sent == []


def test_rearming_is_its_own_event(dispatcher: Reading, feed: FakeFeed) -> None:
    dispatcher.press("rearm", snapshot(Phase.FAULT, stopped=True, question=7))
    assert feed.sent == [Rearm(answers=7)]


def test_an_older_echo_is_not_confused_with_a_newer_press(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    first = dispatcher.press("success", snapshot())
    clock.now += 1
    dispatcher.press("evaluate", snapshot())
    feed.acknowledge(1)
    echo = dispatcher.absorb()
    assert first is not None and echo is not None
    assert (echo.action, echo.status) == ("evaluate", PressStatus.TAKEN)


def test_every_engine_action_makes_exactly_one_event(feed: FakeFeed, clock: Clock) -> None:
    from station.tui.actions import ACTIONS

    ready = replace(
        snapshot(Phase.READY), label="success", episode="online-000009", undo=Undo(episode="online-000009")
    )
    for action in ACTIONS:
        if action.intent is None or action.id in ("stop", "rearm"):
            continue
        before = len(feed.sent)
        Reading(feed, default_keymap(), clock).press(action.id, ready)
        assert len(feed.sent) == before + 1, action.id
        assert isinstance(feed.sent[-1], OperatorEvent)


# --- a press means what the person saw -----------------------------------------------------------------------------


def sight(phase: Phase, clock: Clock, *, shown_for: float, age: float = 0.2, **changes: Any) -> Sight:
    """A state that came up so many seconds ago, in an image of that age."""
    since = clock.now - shown_for
    named = Undo(episode="online-000120")
    image = snapshot(phase, made=clock.now - age, question=7, undo=named, **changes)
    return Sight(snapshot=image, asked_since=since, named_since=since)


STARTING = [
    ("go", Phase.READY, {}),
    ("go", Phase.FAULT, {}),
    ("go", Phase.FINISHED, {}),
    ("evaluate", Phase.FINISHED, {}),
    ("rearm", Phase.FAULT, {"stopped": True}),
]


@pytest.mark.parametrize(("action", "phase", "changes"), STARTING)
def test_what_came_up_a_moment_ago_is_neither_started_nor_cleared(
    dispatcher: Reading, feed: FakeFeed, clock: Clock, action: str, phase: Phase, changes: dict[str, Any]
) -> None:
    echo = dispatcher.press(action, sight(phase, clock, shown_for=READ - 0.1, **changes))
    assert feed.sent == []
    assert (
        echo is not None and echo.status is PressStatus.REFUSED and "read it, then press again" in echo.detail
    )
    clock.now += 1.0
    dispatcher.press(action, sight(phase, clock, shown_for=READ + 0.1, **changes))
    assert len(feed.sent) == 1


@pytest.mark.parametrize(("action", "phase", "changes"), STARTING)
def test_nothing_is_started_or_cleared_from_an_old_image(
    dispatcher: Reading, feed: FakeFeed, clock: Clock, action: str, phase: Phase, changes: dict[str, Any]
) -> None:
    echo = dispatcher.press(action, sight(phase, clock, shown_for=60.0, age=4.0, **changes))
    assert feed.sent == []
    assert echo is not None and "as it was 4.0 s ago" in echo.detail


@pytest.mark.parametrize(("action", "phase", "changes"), [*STARTING, ("success", Phase.LABEL, {})])
def test_a_pedal_that_went_down_long_ago_starts_clears_and_judges_nothing(
    dispatcher: Reading, feed: FakeFeed, clock: Clock, action: str, phase: Phase, changes: dict[str, Any]
) -> None:
    old = Origin(device="pedal", key="KEY_B", time=clock.now - 3.0)
    echo = dispatcher.press(action, sight(phase, clock, shown_for=60.0, age=3.0, **changes), old)
    assert feed.sent == []
    assert echo is not None and "the key went down 3.0 s ago" in echo.detail


def test_the_engine_hears_when_the_key_went_down_and_not_when_the_screen_came_to_it(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    pedal = Origin(device="pedal", key="KEY_B", time=clock.now - 0.6)
    dispatcher.press("go", sight(Phase.READY, clock, shown_for=60.0, age=0.8), pedal)
    assert (feed.sent, feed.pressed) == ([Go(answers=7)], [clock.now - 0.6])


def test_space_goes_on_only_from_a_pause_that_could_be_read(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    for doubtful in (
        sight(Phase.PAUSED, clock, shown_for=READ - 0.1),
        sight(Phase.PAUSED, clock, shown_for=60.0, age=5.0),
        sight(Phase.PAUSED, clock, shown_for=60.0).doubted("the screen was frozen for 5.0 s"),
        sight(Phase.ROLLOUT, clock, shown_for=60.0),
    ):
        dispatcher.press("pause", doubtful)
        clock.now += 5.0
    assert feed.sent == [Pause()] * 4
    dispatcher.press("pause", sight(Phase.PAUSED, clock, shown_for=READ + 0.1))
    assert feed.sent[-1] == Resume(answers=7)


def test_a_second_space_just_after_the_first_brakes_and_is_no_repeat(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    dispatcher.press("pause", sight(Phase.PAUSED, clock, shown_for=5.0))
    clock.now += 0.3
    dispatcher.press("pause", sight(Phase.PAUSED, clock, shown_for=5.3))
    assert feed.sent == [Resume(answers=7), Pause()]
    clock.now += 0.3
    dispatcher.press("pause", sight(Phase.PAUSED, clock, shown_for=5.6))
    assert feed.sent == [Resume(answers=7), Pause()], "held down"


def test_one_space_that_terminal_and_hotkey_both_see_goes_on_and_does_not_brake(
    dispatcher: Reading, feed: FakeFeed, clock: Clock
) -> None:
    dispatcher.press("pause", sight(Phase.PAUSED, clock, shown_for=5.0))
    clock.now += 0.3
    dispatcher.press(
        "pause", sight(Phase.PAUSED, clock, shown_for=5.3), Origin(device="hotkeys", key="<space>")
    )
    assert feed.sent == [Resume(answers=7)]


@pytest.mark.parametrize("action", ["success", "failure", "void", "undo"])
def test_an_episode_that_was_named_only_now_is_not_judged(
    dispatcher: Reading, feed: FakeFeed, clock: Clock, action: str
) -> None:
    echo = dispatcher.press(action, sight(Phase.ROLLOUT, clock, shown_for=NAMED - 0.1))
    assert feed.sent == [] and echo is not None and "online-000120 came up only" in echo.detail
    clock.now += 1.0
    dispatcher.press(action, sight(Phase.ROLLOUT, clock, shown_for=NAMED + 0.1))
    assert len(feed.sent) == 1
