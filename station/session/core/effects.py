"""What the state machine asks the engine to do: small frozen orders, carried out in the order given."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.episode import Outcome
from hardware.cell import ClockSpeed
from station.session.core.events import EventSource
from station.session.core.state import Block, Round, Slot


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Base of all orders."""


@dataclass(frozen=True, kw_only=True)
class RunPreflight(Effect):
    """Look at everything a start needs; answer with PreflightDone."""


@dataclass(frozen=True, kw_only=True)
class RecoverDevices(Effect):
    """Clear the devices' faults: the operator has read what was wrong and goes on."""


@dataclass(frozen=True, kw_only=True)
class OpenRound(Effect):
    """Write into the journal which episodes come next."""

    round: Round


@dataclass(frozen=True, kw_only=True)
class BeginHoming(Effect):
    """Move the arms of these slots' cells home; answer with Homed."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class ShowLayouts(Effect):
    """Show how the scenes should look."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class BeginRollout(Effect):
    """The scenes are laid out: let the policy move; answer with one MotionEnded for each slot."""

    slots: tuple[Slot, ...]
    batch: int


@dataclass(frozen=True, kw_only=True)
class Brake(Effect):
    """Decelerate and hold; what was begun can go on."""


@dataclass(frozen=True, kw_only=True)
class ResumeMotion(Effect):
    """Drop the rest of the plan, look anew, go on."""


@dataclass(frozen=True, kw_only=True)
class EndMotion(Effect):
    """A key ends this episode now."""

    episode: str
    outcome: Outcome | None
    """The key, stored with the recording; None: void."""


@dataclass(frozen=True, kw_only=True)
class AbortMotion(Effect):
    """Give up every running episode; answer with one CutOff for each."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class JournalLabel(Effect):
    """Write a label; None reopens it."""

    episode: str
    outcome: Outcome | None
    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalVoid(Effect):
    """Write that an episode does not count."""

    episode: str
    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalRestore(Effect):
    """Write that it counts again."""

    episode: str
    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalNote(Effect):
    """Write a remark."""

    text: str
    episode: str | None


@dataclass(frozen=True, kw_only=True)
class JournalSetting(Effect):
    """Write a setting that an operator changed while the session runs."""

    name: str
    value: bool | float | str


@dataclass(frozen=True, kw_only=True)
class JournalStop(Effect):
    """Make sure the latch is set, and write that it was."""

    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalFault(Effect):
    """Write why motion ended."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class RearmLatch(Effect):
    """Allow motion again, and write that somebody did."""

    by: EventSource


@dataclass(frozen=True, kw_only=True)
class ApplySpeed(Effect):
    """Set the clock of simulated cells."""

    speed: ClockSpeed


@dataclass(frozen=True, kw_only=True)
class BeginUpdate(Effect):
    """Begin update block `ordinal`, or go on with it, or redo what a lost checkpoint held; answer with UpdateDone."""

    ordinal: int


@dataclass(frozen=True, kw_only=True)
class SaveCheckpoint(Effect):
    """Put the learner on disk; answer with Checkpointed."""


@dataclass(frozen=True, kw_only=True)
class AskEvaluation(Effect):
    """Write that an evaluation block was asked for, so that a kill does not forget it."""

    episodes: int


@dataclass(frozen=True, kw_only=True)
class OpenEvaluation(Effect):
    """Write that an evaluation block begins."""

    block: Block


@dataclass(frozen=True, kw_only=True)
class CloseEvaluation(Effect):
    """Write that it is over."""

    block: Block
    done: int
    """Episodes that were run; fewer than the block's where it was ended early."""


@dataclass(frozen=True, kw_only=True)
class JournalWithdrawal(Effect):
    """Write that the block that was asked for is not wanted any more."""


@dataclass(frozen=True, kw_only=True)
class JournalEnding(Effect):
    """Write that no more episodes of the block are wanted, so that a kill does not forget it."""

    block: Block


@dataclass(frozen=True, kw_only=True)
class Say(Effect):
    """A sentence for the log."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Refuse(Effect):
    """The event that led here is not obeyed; whoever sent it is told why, and so is the log."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Quit(Effect):
    """End the engine."""
