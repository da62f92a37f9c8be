"""Turns a press into one event: which episode it names, whether it is a repeat, and its outcome.

Pure of widgets: the session screen hands in presses and snapshots and shows the echo.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from station.session.core.events import (
    STALE,
    EndEvaluation,
    Go,
    Label,
    OperatorEvent,
    Pause,
    Restore,
    Resume,
    SetAutopilot,
    SetSpeed,
    UndoLabel,
    Void,
    WithdrawEvaluation,
)
from station.session.snapshot import Phase
from station.tui.actions import BY_ID, Action, NotNowError, Seen
from station.tui.feed import Feed, FeedError
from station.tui.keymap import Keymap
from station.tui.sight import Sight

UNANSWERED = 2.0
"""s without an acknowledgement after which the operator is warned."""


SAME_PRESS = 0.5
"""s within which the same action from two devices counts as one press."""
BOUNCE = 0.15
"""s within which a key that goes down twice counts as one press."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a press came from; default: the terminal."""

    device: str = ""
    key: str = ""
    """As the device names it; empty: the terminal's key of the action."""
    time: float | None = None
    """s, monotonic, when it went down; None: now."""


TERMINAL = Origin()


class PressStatus(StrEnum):
    """Status of a press so far."""

    TAKEN = "taken"
    """On its way to the engine."""
    DONE = "acknowledged"
    UNANSWERED = "no answer yet"
    REFUSED = "not now"
    LOST = "not sent"


SIGNS: dict[PressStatus, str] = {
    PressStatus.TAKEN: "…",
    PressStatus.DONE: "✓",
    PressStatus.UNANSWERED: "!",
    PressStatus.REFUSED: "–",
    PressStatus.LOST: "✗",
}


@dataclass(frozen=True, kw_only=True)
class Echo:
    """Feedback to the operator on their last press."""

    action: str
    key: str
    status: PressStatus
    detail: str = ""
    number: int | None = None
    pressed: float = 0.0

    def __str__(self) -> str:
        """``s taken … success for online-000012``."""
        return f"{self.key} {self.status.value} {SIGNS[self.status]} {self.detail}".rstrip()


class KeyDispatcher:
    """One operator's keys on one session."""

    def __init__(self, feed: Feed, keymap: Keymap, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._feed = feed
        self._keymap = keymap
        self._clock = clock
        self._pressed: dict[str, Origin] = {}
        self._sent: OperatorEvent | None = None
        self._undecided: dict[int, Echo] = {}
        """Presses on which the engine has not decided yet."""
        self._echo: Echo | None = None

    @property
    def echo(self) -> Echo | None:
        """The newest press and its status; or an earlier one that has since been refused."""
        return self._echo

    def press(self, action: str, sight: Sight | None, origin: Origin = TERMINAL) -> Echo | None:
        """Turn one press into at most one event; `sight` is what was on the screen.

        Returns the feedback, or None for a repeat, which changes nothing.
        """
        chosen = BY_ID[action]
        now = self._clock() if origin.time is None else origin.time
        before = self._pressed.get(action)
        self._pressed[action] = replace(origin, time=now)
        brakes_again = before is not None and self._brakes_again(chosen, before, origin.device, now)
        if before is not None and not brakes_again and _is_repeat(chosen, before, origin.device, now):
            return None
        return self._show(self._named(self._send(chosen, sight, now, in_doubt=brakes_again), origin))

    def tell_of_stop(self, origin: Origin, trouble: str = "") -> Echo:
        """A device has already set the latch itself: report that, or the `trouble` that prevented it."""
        self._echo = stopped(self._keymap, self._clock(), trouble, origin)
        return self._echo

    def answer(self, key: str, why: str) -> Echo:
        """The key is not in the table: say so."""
        self._echo = Echo(action="", key=key, status=PressStatus.REFUSED, detail=why, pressed=self._clock())
        return self._echo

    def take_keys(self) -> Echo:
        """Request the keys that another front end holds."""
        try:
            self._feed.take_keys()
        except FeedError as reason:
            self._echo = self._refused(BY_ID["keys"], str(reason), self._clock())
            return self._echo
        self._echo = Echo(
            action="keys",
            key=self._keymap.show("keys"),
            status=PressStatus.DONE,
            detail="the keys are asked for",
            pressed=self._clock(),
        )
        return self._echo

    def tell(self, event: OperatorEvent, action: str) -> Echo:
        """Send an event that a dialog made, a note for instance."""
        return self._show(self._post(event, BY_ID[action], self._clock()))

    def absorb(self) -> Echo | None:
        """Read the engine's decisions; returns the current echo.

        A refusal replaces a newer press that was obeyed: it must be read.
        """
        answers = self._feed.answers()
        for number in [number for number in self._undecided if number in answers]:
            decided = self._undecided.pop(number)
            if answers[number]:
                self._echo = replace(decided, status=PressStatus.REFUSED, detail=answers[number])
            elif self._echo is not None and self._echo.number == number:
                self._echo = replace(decided, status=PressStatus.DONE)
        echo = self._echo
        if (
            echo is not None
            and echo.status is PressStatus.TAKEN
            and self._clock() - echo.pressed > UNANSWERED
        ):
            self._echo = replace(echo, status=PressStatus.UNANSWERED)
        return self._echo

    def _show(self, echo: Echo) -> Echo:
        self._echo = echo
        if echo.number is not None:
            self._undecided[echo.number] = echo
        return echo

    def _brakes_again(self, action: Action, before: Origin, device: str, now: float) -> bool:
        """Whether the operator pressed pause again right after resuming: not a repeat, but a brake."""
        if action.id != "pause" or not isinstance(self._sent, Resume) or before.time is None:
            return False
        return device == before.device and now - before.time > BOUNCE

    def _send(self, action: Action, sight: Sight | None, now: float, *, in_doubt: bool) -> Echo:
        if action.id == "stop":
            return stopped(self._keymap, now, self._feed.stop())
        if sight is None or action.intent is None:
            return self._refused(action, "nothing is shown yet", now)
        handled = self._clock()
        readable = not in_doubt and not sight.unreadable(now) and handled - now <= STALE
        try:
            event = action.intent(Seen(snapshot=sight.snapshot, readable=readable))
        except NotNowError as reason:
            return self._refused(action, str(reason), now)
        doubt = sight.doubt(event, now, handled)
        if doubt:
            return self._refused(action, doubt, now)
        return self._post(event, action, now, sight.snapshot.phase)

    def _named(self, echo: Echo, origin: Origin) -> Echo:
        return replace(echo, key=origin.key) if origin.key else echo

    def _post(self, event: OperatorEvent, action: Action, now: float, phase: Phase | None = None) -> Echo:
        """Send it; `phase`: the one it answers."""
        key = self._keymap.show(action.id)
        try:
            number = self._feed.send(event, now)
        except FeedError as reason:
            return Echo(action=action.id, key=key, status=PressStatus.LOST, detail=str(reason), pressed=now)
        self._sent = event
        return Echo(
            action=action.id,
            key=key,
            status=PressStatus.TAKEN,
            detail=_words(event, action, phase),
            number=number,
            pressed=now,
        )

    def _refused(self, action: Action, why: str, now: float) -> Echo:
        key = self._keymap.show(action.id)
        return Echo(action=action.id, key=key, status=PressStatus.REFUSED, detail=why, pressed=now)


def stopped(keymap: Keymap, now: float, trouble: str = "", origin: Origin = TERMINAL) -> Echo:
    """The echo of a stop; `trouble`: why it could not be set."""
    return Echo(
        action="stop",
        key=origin.key or keymap.show("stop"),
        status=PressStatus.LOST if trouble else PressStatus.DONE,
        detail=trouble or "stop latched",
        pressed=now,
    )


def _is_repeat(action: Action, before: Origin, device: str, now: float) -> bool:
    """Whether a press is key repeat, or the same press seen by a second device."""
    hold_off = action.hold_off if device == before.device or not action.hold_off else SAME_PRESS
    return before.time is not None and abs(now - before.time) < max(hold_off, action.hold_off)


_WORDS: dict[type[OperatorEvent], str] = {
    Pause: "brake and wait",
    Resume: "continue",
    WithdrawEvaluation: "evaluation withdrawn",
    EndEvaluation: "evaluation ends early",
}

_GOING_ON: dict[Phase | None, str] = {Phase.FAULT: "recover", Phase.FINISHED: "continue"}
"""What `Go` does where it starts no episode."""


def _words(event: OperatorEvent, action: Action, phase: Phase | None) -> str:
    match event:
        case Go() if phase in _GOING_ON:
            words = _GOING_ON[phase]
        case Label(episode=episode, outcome=outcome):
            words = f"{outcome.value} for {episode}"
        case UndoLabel(episode=episode):
            words = f"label of {episode} reopened"
        case Void(episode=episode):
            words = f"{episode} void"
        case Restore(episode=episode):
            words = f"{episode} counts again"
        case SetSpeed(speed=speed):
            words = f"clock {speed.value} from the next episode on"
        case SetAutopilot(on=on):
            words = f"automatic operator {'on' if on else 'off'}"
        case _:
            words = _WORDS.get(type(event), action.label)
    return words
