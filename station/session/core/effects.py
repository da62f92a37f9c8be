"""What the state machine asks the engine to do: small frozen orders, executed in order."""

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
    """Check everything a start needs; answer with PreflightDone."""


@dataclass(frozen=True, kw_only=True)
class RecoverDevices(Effect):
    """Clear the devices' faults: the operator has read the problem and continues."""


@dataclass(frozen=True, kw_only=True)
class OpenRound(Effect):
    """Journal which episodes come next."""

    round: Round


@dataclass(frozen=True, kw_only=True)
class BeginHoming(Effect):
    """Move the arms of these slots' cells home; answer with Homed."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class ShowLayouts(Effect):
    """Show the target layouts of the scenes."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class BeginRollout(Effect):
    """The scenes are set up: run the policy; answer with one MotionEnded per slot."""

    slots: tuple[Slot, ...]
    batch: int


@dataclass(frozen=True, kw_only=True)
class Brake(Effect):
    """Decelerate and hold; motion can resume."""


@dataclass(frozen=True, kw_only=True)
class ResumeMotion(Effect):
    """Discard the rest of the plan, observe again, continue."""


@dataclass(frozen=True, kw_only=True)
class EndMotion(Effect):
    """A key ends this episode now."""

    episode: str
    outcome: Outcome | None
    """The key, stored with the recording; None: void."""


@dataclass(frozen=True, kw_only=True)
class AbortMotion(Effect):
    """Abort every running episode; answer with one CutOff each."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class JournalLabel(Effect):
    """Write a label; None reopens it."""

    episode: str
    outcome: Outcome | None
    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalVoid(Effect):
    """Journal that an episode does not count."""

    episode: str
    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalRestore(Effect):
    """Journal that it counts again."""

    episode: str
    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalNote(Effect):
    """Write a remark."""

    text: str
    episode: str | None


@dataclass(frozen=True, kw_only=True)
class JournalSetting(Effect):
    """Journal a setting that the operator changed during the session."""

    name: str
    value: bool | float | str


@dataclass(frozen=True, kw_only=True)
class JournalStop(Effect):
    """Make sure the latch is set, and journal it."""

    by: EventSource


@dataclass(frozen=True, kw_only=True)
class JournalFault(Effect):
    """Journal why motion was halted."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class RearmLatch(Effect):
    """Re-arm the latch, and journal it."""

    by: EventSource


@dataclass(frozen=True, kw_only=True)
class ApplySpeed(Effect):
    """Set the clock of simulated cells."""

    speed: ClockSpeed


@dataclass(frozen=True, kw_only=True)
class BeginUpdate(Effect):
    """Begin or resume update block `ordinal`, or redo what a lost checkpoint held; answer with UpdateDone."""

    ordinal: int


@dataclass(frozen=True, kw_only=True)
class SaveCheckpoint(Effect):
    """Checkpoint the learner; answer with Checkpointed."""


@dataclass(frozen=True, kw_only=True)
class AskEvaluation(Effect):
    """Journal that an evaluation block was requested, so that it survives a kill."""

    episodes: int


@dataclass(frozen=True, kw_only=True)
class OpenEvaluation(Effect):
    """Journal that an evaluation block begins."""

    block: Block


@dataclass(frozen=True, kw_only=True)
class CloseEvaluation(Effect):
    """Journal that it is over."""

    block: Block
    done: int
    """Episodes run; fewer than the block's if it was ended early."""


@dataclass(frozen=True, kw_only=True)
class JournalWithdrawal(Effect):
    """Journal that the requested block was withdrawn."""


@dataclass(frozen=True, kw_only=True)
class JournalEnding(Effect):
    """Journal that the block ends early, so that it survives a kill."""

    block: Block


@dataclass(frozen=True, kw_only=True)
class Say(Effect):
    """A sentence for the log."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Refuse(Effect):
    """The event is refused; its sender and the log get the reason."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Quit(Effect):
    """End the engine."""
