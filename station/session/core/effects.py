"""What the state machine asks the engine to do: small frozen orders, executed in order."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.episode import Outcome
from datasets.journal.records import Record
from hardware.cell import ClockSpeed
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
    """Journal which episodes come next, and where the time went before them: only the engine's stopwatch knows that."""

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
class Write(Effect):
    """Journal this."""

    record: Record


@dataclass(frozen=True, kw_only=True)
class SetLatch(Effect):
    """Make sure the stop latch is set."""


@dataclass(frozen=True, kw_only=True)
class RearmLatch(Effect):
    """Re-arm the stop latch."""


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
class OpenEvaluation(Effect):
    """Journal that an evaluation block begins, with the experience that it measures: only the journal knows that."""

    block: Block


@dataclass(frozen=True, kw_only=True)
class CloseEvaluation(Effect):
    """Journal that it is over; see `OpenEvaluation`."""

    block: Block
    done: int
    """Episodes run; fewer than the block's if it was ended early."""


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
