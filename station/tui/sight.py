"""What was on the screen when a key went down, since when, and what a person can have read of it. No widget.

A key answers what its presser saw. One that came out of a terminal or a screen that had stopped, or that went down the
moment something new was drawn, answers something else; then it starts nothing and judges nothing, and brakes all the
same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hardware.clock import slept
from station.session.core.events import STALE, Answer, EvaluateNow, Label, OperatorEvent, UndoLabel, Void
from station.session.core.events import Restore as RestoreEpisode
from station.session.snapshot import Phase, Snapshot

READ = 0.7
"""s that a state must have been on the screen before a key may start motion from it or clear it: time to read it."""
NAMED = 0.4
"""s that an episode must have been named on the screen before a key may judge it: a hand that was already moving
meant the one before."""


def late(pressed: float, now: float) -> str:
    """Why a key that went down at `pressed` is too old `now`, both s, monotonic; empty when it is not."""
    return (
        f"the key went down {now - pressed:.1f} s ago: look, then press again"
        if now - pressed > STALE
        else ""
    )


def unread(since: float, pressed: float | None) -> str:
    """Why a key that went down at `pressed` (None: now) cannot answer what is shown `since` then; empty when it can.

    Both s, monotonic.
    """
    shown_for = (time.monotonic() if pressed is None else pressed) - since
    if shown_for >= READ:
        return ""
    return f"this came up only {max(0.0, shown_for):.1f} s before the key: read it, then press again"


class Pulse:
    """Notices when the loop that draws and takes keys stood still: keys typed meanwhile carry no time of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds; those that the machine sleeps through are added."""
        self._clock = clock
        self._beat = self._now()
        self.stood_still = 0.0
        """s of the newest standstill that was too long."""
        self.steady_since = clock()
        """When the newest standstill was over, s of `clock`."""

    def beat(self) -> None:
        """Call it several times a second from the loop, and before a key is answered."""
        now = self._now()
        if now - self._beat > STALE:
            self.stood_still, self.steady_since = now - self._beat, self._clock()
        self._beat = now

    @property
    def complaint(self) -> str:
        """Why a key that is handled now may be an old one, in words; empty when it is not."""
        self.beat()
        if not self.stood_still or self._clock() - self.steady_since > STALE:
            return ""
        return f"the screen was frozen for {self.stood_still:.1f} s: look, then press again"

    def _now(self) -> float:
        return self._clock() + slept()


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was on the screen at one moment."""

    snapshot: Snapshot
    asked_since: float = float("-inf")
    """s, monotonic: since when it has shown this state."""
    named_since: float = float("-inf")
    """s, monotonic: since when it has named this episode."""
    complaint: str = ""
    """Why whatever is pressed now may be meant for something else."""

    def following(self, snapshot: Snapshot, now: float) -> Sight:
        """What the screen shows once this snapshot is drawn."""
        shown = self.snapshot
        same_state = (shown.question, shown.phase) == (snapshot.question, snapshot.phase)
        return Sight(
            snapshot=snapshot,
            asked_since=self.asked_since if same_state and not self.complaint else now,
            named_since=self.named_since if shown.episode == snapshot.episode and not self.complaint else now,
        )

    def doubted(self, complaint: str) -> Sight:
        """The same, when nothing that is pressed now is sure to be meant for it."""
        return replace(self, complaint=complaint or self.complaint)

    def unreadable(self, pressed: float) -> str:
        """Why a key that went down at `pressed` cannot answer this state; empty when it can."""
        age = pressed - self.snapshot.made
        if self.complaint:
            return self.complaint
        if age > STALE:
            return f"the screen shows the engine as it was {age:.1f} s ago: wait for news, then press again"
        return unread(self.asked_since, pressed)

    def unnamed(self, pressed: float) -> str:
        """Why a key that went down at `pressed` cannot mean the episode that is named; empty when it can."""
        if self.complaint:
            return self.complaint
        named_for = pressed - self.named_since
        if named_for < NAMED:
            name = self.snapshot.episode or "this"
            return f"{name} came up only {max(0.0, named_for):.1f} s before the key: look, then press again"
        return ""

    def doubt(self, event: OperatorEvent, pressed: float, now: float) -> str:
        """Why this event is not sent, in words; empty when the operator can have meant it."""
        starts, judges = (
            _starts(event, self.snapshot),
            isinstance(event, Label | Void | RestoreEpisode | UndoLabel),
        )
        if (starts or judges) and (too_late := late(pressed, now)):
            return too_late
        if starts:
            return self.unreadable(pressed)
        return self.unnamed(pressed) if judges else ""


def _starts(event: OperatorEvent, shown: Snapshot) -> bool:
    return isinstance(event, Answer) or (isinstance(event, EvaluateNow) and shown.phase is Phase.FINISHED)
