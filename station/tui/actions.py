"""The one table of what an operator can do by key: identity, default key, words, and the event it sends.

Screens, key bar, command palette, help and key configuration all read this table. It knows no widget and no socket;
how a press travels to the engine is `station.tui.key_dispatcher`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from datasets.episode import Outcome
from hardware.cell import ClockSpeed
from station.session.core.events import (
    EvaluateNow,
    Go,
    Label,
    OperatorEvent,
    Pause,
    Rearm,
    Restore,
    Resume,
    SetAutopilot,
    SetSpeed,
    Stop,
    UndoLabel,
    Void,
    WithdrawEvaluation,
)
from station.session.snapshot import Phase, Snapshot


class NotNowError(Exception):
    """The key has no meaning in what the operator sees at this moment; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the operator saw when a key went down."""

    snapshot: Snapshot
    readable: bool = True
    """Whether it is recent enough, and was shown long enough, to be answered; a key in doubt brakes."""


class Group(StrEnum):
    """How help and the key bar sort the actions."""

    EPISODE = "Episode"
    MOTION = "Motion"
    SESSION = "Session"


Intent = Callable[[Seen], OperatorEvent]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One line of the table."""

    id: str
    key: str
    """Default key in Textual's spelling."""
    label: str
    """One or two words for the key bar."""
    help: str
    """One sentence for tooltip, palette and help."""
    group: Group
    intent: Intent | None = None
    """Makes the event; None for what the UI does itself (a dialog, another screen)."""
    hold_off: float = 0.15
    """s; another press within this time of the last one is key repeat."""
    fixed: bool = False
    """May be remapped, but never left without a key."""


def _episode(seen: Seen) -> str:
    if seen.snapshot.episode is None:
        raise NotNowError("no episode to label yet")
    return seen.snapshot.episode


def _not_void(seen: Seen) -> str:
    episode = _episode(seen)
    if seen.snapshot.void:
        raise NotNowError(f"{episode} is void: restore it before you label it")
    return episode


def success(seen: Seen) -> OperatorEvent:
    """The episode on the screen succeeded."""
    return Label(episode=_not_void(seen), outcome=Outcome.SUCCESS)


def failure(seen: Seen) -> OperatorEvent:
    """The episode on the screen failed."""
    return Label(episode=_not_void(seen), outcome=Outcome.FAILURE)


def void(seen: Seen) -> OperatorEvent:
    """Void the episode on the screen, or restore it if void."""
    episode = _episode(seen)
    if seen.snapshot.void:
        return Restore(episode=episode)
    return Void(episode=episode)


def undo(seen: Seen) -> OperatorEvent:
    """Take back the last label or void of the screen's episode, or else the newest of all."""
    found = seen.snapshot.undo
    if found is None:
        raise NotNowError("there is no label to undo")
    return Restore(episode=found.episode) if found.void else UndoLabel(episode=found.episode)


_GO = (Phase.READY, Phase.FAULT, Phase.FINISHED)


def go(seen: Seen) -> OperatorEvent:
    """The scene is set up; also recovers from a fault that has been fixed."""
    if seen.snapshot.stopped:
        raise NotNowError("the stop is latched: re-arm first")
    if seen.snapshot.phase not in _GO:
        raise NotNowError(f"there is nothing to start while the session is in {seen.snapshot.phase.value}")
    return Go(answers=seen.snapshot.question)


def pause(seen: Seen) -> OperatorEvent:
    """Brake and wait; resume only if the pause has been on screen long enough to read."""
    if seen.snapshot.phase is Phase.PAUSED and seen.readable:
        return Resume(answers=seen.snapshot.question)
    return Pause()


def stop(seen: Seen) -> OperatorEvent:
    """Latched stop; the dispatcher sets the latch itself, bypassing the engine."""
    return Stop()


def rearm(seen: Seen) -> OperatorEvent:
    """Allow motion again."""
    if not seen.snapshot.stopped:
        raise NotNowError("the stop is not latched")
    return Rearm(answers=seen.snapshot.question)


def evaluate(seen: Seen) -> OperatorEvent:
    """Request an evaluation block of the task's length next, or withdraw a requested one."""
    if seen.snapshot.evaluating:
        ends = "the evaluation ends already, after this episode" if seen.snapshot.block_ends else ""
        raise NotNowError(ends or "an evaluation is running; its screen's key ends it early")
    if seen.snapshot.queued_evaluation:
        return WithdrawEvaluation()
    return EvaluateNow(answers=seen.snapshot.question)


def clock(seen: Seen) -> OperatorEvent:
    """The next clock speed of a simulated cell."""
    if not seen.snapshot.simulated:
        raise NotNowError("this cell runs in real time only")
    speeds = tuple(ClockSpeed)
    following = (speeds.index(seen.snapshot.speed) + 1) % len(speeds)
    return SetSpeed(speed=speeds[following])


def autopilot(seen: Seen) -> OperatorEvent:
    """Hand the labels to the automatic operator, or take them back."""
    if not seen.snapshot.simulated:
        raise NotNowError("the automatic operator needs a simulated cell")
    return SetAutopilot(on=not seen.snapshot.autopilot, mistakes=seen.snapshot.mistakes)


TOGGLE_HOLD_OFF = 0.7
"""s; longer than the delay before a held key repeats, so a held toggle does not toggle back."""

ACTIONS: tuple[Action, ...] = (
    Action(
        id="success",
        key="s",
        label="success",
        help="The episode succeeded: ends the motion and labels it; in the grace time changes the label.",
        group=Group.EPISODE,
        intent=success,
    ),
    Action(
        id="failure",
        key="f",
        label="failure",
        help="The episode failed: ends the motion and labels it; in the grace time changes the label.",
        group=Group.EPISODE,
        intent=failure,
    ),
    Action(
        id="go",
        key="r",
        label="start",
        help="The scene is set up: start the episode. After a fault is fixed: recover and go home.",
        group=Group.MOTION,
        intent=go,
    ),
    Action(
        id="pause",
        key="space",
        label="pause",
        help="Brake and wait; while the screen shows the pause: continue. In doubt it brakes.",
        group=Group.MOTION,
        intent=pause,
        hold_off=TOGGLE_HOLD_OFF,
    ),
    Action(
        id="undo",
        key="u",
        label="undo",
        help="Take back the label or void of the episode on the screen; if it has none, of the last one labelled.",
        group=Group.EPISODE,
        intent=undo,
        hold_off=TOGGLE_HOLD_OFF,
    ),
    Action(
        id="void",
        key="v",
        label="void",
        help="Exclude the episode from every rate and from learning; again: restore it.",
        group=Group.EPISODE,
        intent=void,
        hold_off=TOGGLE_HOLD_OFF,
    ),
    Action(
        id="stop",
        key="x",
        label="STOP",
        help="Brake now and stay stopped until re-armed. Ctrl+X and Ctrl+C do the same, in text fields too.",
        group=Group.MOTION,
        intent=stop,
        hold_off=0.0,
        fixed=True,
    ),
    Action(
        id="rearm",
        key="ctrl+r",
        label="re-arm",
        help="Allow motion again after a stop.",
        group=Group.MOTION,
        intent=rearm,
    ),
    Action(
        id="evaluate",
        key="e",
        label="evaluate",
        help="Run an evaluation block next; again: withdraw it, or end the one that is running early.",
        group=Group.SESSION,
        intent=evaluate,
        hold_off=TOGGLE_HOLD_OFF,
    ),
    Action(
        id="points",
        key="p",
        label="points",
        help="Show every evaluation point with its interval against the base.",
        group=Group.SESSION,
    ),
    Action(
        id="review",
        key="b",
        label="review",
        help="Look back: play any episode of the session, relabel, void and restore. The session keeps running.",
        group=Group.SESSION,
    ),
    Action(
        id="note",
        key="n",
        label="note",
        help="Write a remark into the journal, about the episode on the screen.",
        group=Group.SESSION,
    ),
    Action(
        id="clock",
        key="c",
        label="clock",
        help="Change the clock of a simulated cell between episodes: 1x, 4x, as fast as it goes.",
        group=Group.SESSION,
        intent=clock,
        hold_off=TOGGLE_HOLD_OFF,
    ),
    Action(
        id="autopilot",
        key="a",
        label="autopilot",
        help="Hand labels and resets to the automatic operator, or take them back.",
        group=Group.SESSION,
        intent=autopilot,
        hold_off=TOGGLE_HOLD_OFF,
    ),
    Action(
        id="keys",
        key="ctrl+k",
        label="take keys",
        help="Take the keys over from another terminal that is attached to this session.",
        group=Group.SESSION,
    ),
    Action(
        id="help",
        key="question_mark",
        label="help",
        help="What the keys do and what the panels show.",
        group=Group.SESSION,
    ),
    Action(
        id="leave",
        key="q",
        label="leave",
        help="Leave this session; asks once whether the engine keeps running without you.",
        group=Group.SESSION,
        fixed=True,
    ),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}
