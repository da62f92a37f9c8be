"""Everything that can happen to a session, as small frozen records.

The terminal UI, the command line, tests, the automatic operator and a foot pedal send the same operator events.
Every event that concerns an episode names it, so that no key press can label the wrong one; every event that starts
motion or clears something is an `Answer`: it names what the operator saw, and is refused when that has passed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum

from datasets.episode import Ending, EpisodeKind, Outcome
from hardware.cell import ClockSpeed
from hardware.clock import slept

STALE = 1.0
"""s after which a press, or the snapshot it answers, is too old to start motion or clear anything."""


class EventSource(StrEnum):
    """Who sent an operator event; written into the journal as provenance."""

    OPERATOR = "operator"
    AUTOPILOT = "autopilot"
    COMMAND = "command"
    REVIEW = "review"
    """A person reviewing the recording."""
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, kw_only=True)
class OperatorEvent(Event):
    """Base of what a person (or the automatic operator) does."""

    source: EventSource = EventSource.OPERATOR


@dataclass(frozen=True, kw_only=True)
class Answer(OperatorEvent):
    """Base of what starts motion or clears something: it names what the operator saw, and must not be stale."""

    answers: int
    """`Snapshot.question` on the screen: this READY, fault, pause or stop."""


@dataclass(frozen=True, kw_only=True)
class Label(OperatorEvent):
    """success or failure, while the arm moves (ends the motion) or in the grace time (changes the label)."""

    episode: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class UndoLabel(OperatorEvent):
    """Reopen the label of this episode; weights are not rolled back."""

    episode: str


@dataclass(frozen=True, kw_only=True)
class Void(OperatorEvent):
    """Take the episode out of every rate and the replay."""

    episode: str


@dataclass(frozen=True, kw_only=True)
class Restore(OperatorEvent):
    """Undo a void."""

    episode: str


@dataclass(frozen=True, kw_only=True)
class Go(Answer):
    """The scene is reset: start the episode that is waiting. Also: leave finished/fault towards preflight."""


@dataclass(frozen=True, kw_only=True)
class Pause(OperatorEvent):
    """Brake and wait. Never starts anything, whatever the session is doing."""


@dataclass(frozen=True, kw_only=True)
class Resume(Answer):
    """End this pause."""


@dataclass(frozen=True, kw_only=True)
class Stop(OperatorEvent):
    """The latch was set, by any process; the engine learns of it afterwards."""


@dataclass(frozen=True, kw_only=True)
class Rearm(Answer):
    """The deliberate act that allows motion again."""


@dataclass(frozen=True, kw_only=True)
class EvaluateNow(OperatorEvent):
    """Run an evaluation block next; None takes the task's number."""

    episodes: int | None = None
    answers: int | None = None
    """`Snapshot.question`; a finished session, which this sets in motion again, needs it."""


@dataclass(frozen=True, kw_only=True)
class WithdrawEvaluation(OperatorEvent):
    """Withdraw the requested evaluation block that has not begun."""


@dataclass(frozen=True, kw_only=True)
class EndEvaluation(OperatorEvent):
    """End the running evaluation block early; the episodes that are over stay."""


@dataclass(frozen=True, kw_only=True)
class Note(OperatorEvent):
    """A remark for the journal, about an episode or the session."""

    text: str
    episode: str | None = None


@dataclass(frozen=True, kw_only=True)
class SetSpeed(OperatorEvent):
    """Change the clock of a simulated cell; takes effect between episodes."""

    speed: ClockSpeed


@dataclass(frozen=True, kw_only=True)
class SetAutopilot(OperatorEvent):
    """Hand the labels to the automatic operator, or take them back."""

    on: bool
    mistakes: float = 0.0
    """Rate of deliberately wrong labels, 0 .. 1."""


@dataclass(frozen=True, kw_only=True)
class Leave(OperatorEvent):
    """End the engine at the next safe instant, everything committed."""


@dataclass(frozen=True, kw_only=True)
class Tick(Event):
    """The session's clock."""

    now: float
    """s, monotonic."""


@dataclass(frozen=True, kw_only=True)
class PreflightDone(Event):
    """All checks are done; `problems` are the sentences of those that failed."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Homed(Event):
    """All arms are at home."""


@dataclass(frozen=True, kw_only=True)
class MotionEnded(Event):
    """One episode's motion is over and it has been committed, label pending."""

    episode: str
    kind: EpisodeKind
    ending: Ending
    steps: int
    chunks: int
    truth: Outcome | None = None
    """What a simulator saw; the automatic operator's source."""


@dataclass(frozen=True, kw_only=True)
class CutOff(Event):
    """One episode was aborted in motion; its recording is in ``partial/`` and not counted."""

    episode: str
    steps: int
    """Steps kept there."""
    lost: int = 0
    """Steps that could not be written."""


@dataclass(frozen=True, kw_only=True)
class UpdateDone(Event):
    """The update block is over."""

    policy_version: int


@dataclass(frozen=True, kw_only=True)
class Checkpointed(Event):
    """The learner is on disk."""


@dataclass(frozen=True, kw_only=True)
class Faulted(Event):
    """Something made it unsafe or impossible to continue."""

    reason: str
    recoverable: bool = True


@dataclass(frozen=True, kw_only=True)
class DiskFull(Event):
    """The disk refused a write; nothing was lost, the episode is kept in memory."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class SpaceBack(Event):
    """What waited in memory is on disk."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An operator event on its way from a front end to the engine, with what its acknowledgement needs."""

    number: int
    event: OperatorEvent
    pressed: float
    """time.monotonic() of the key press."""
    slept: float = field(default_factory=slept)
    """s that the machine had been suspended by then; time.monotonic() does not count them."""

    @property
    def age(self) -> float:
        """s since the key press, including time suspended."""
        return time.monotonic() - self.pressed + slept() - self.slept
