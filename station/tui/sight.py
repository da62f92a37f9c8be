"""What was on screen when a key went down, since when, and whether a person can have read it. No widget.

A key answers what its presser saw. One that comes from a frozen terminal or screen, or that went down the
moment something new was drawn, answers something else; it then starts and labels nothing, but still
brakes.
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
"""s that a state must be on screen before a key may start motion from it or clear it: time to read it."""
NAMED = 0.4
"""s that an episode must be named on screen before a key may label it: a hand already moving
meant the previous one."""


def late(pressed: float, now: float) -> str:
    """Why a key that went down at `pressed` is too old `now`, both s, monotonic; else empty."""
    return (
        f"the key went down {now - pressed:.1f} s ago: look, then press again"
        if now - pressed > STALE
        else ""
    )


def unread(since: float, pressed: float | None) -> str:
    """Why a key that went down at `pressed` (None: now) cannot answer what is shown `since` then; else empty.

    Both s, monotonic.
    """
    shown_for = (time.monotonic() if pressed is None else pressed) - since
    if shown_for >= READ:
        return ""
    return f"this came up only {max(0.0, shown_for):.1f} s before the key: read it, then press again"


def unnamed(name: str, since: float, pressed: float | None) -> str:
    """Why a key that went down at `pressed` (None: now) cannot mean `name`, which is shown `since` then; else empty.

    Both s, monotonic.
    """
    shown_for = (time.monotonic() if pressed is None else pressed) - since
    if shown_for >= NAMED:
        return ""
    return f"{name} came up only {max(0.0, shown_for):.1f} s before the key: look, then press again"


class Pulse:
    """Detects stalls of the loop that draws and handles keys: keys typed meanwhile carry no time of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds; suspended time is added."""
        self._clock = clock
        self._beat = self._now()
        self.stood_still = 0.0
        """Length of the newest stall, s."""
        self.steady_since = clock()
        """When the newest stall ended, s of `clock`."""

    def beat(self) -> None:
        """Call several times a second from the loop, and before handling a key."""
        now = self._now()
        if now - self._beat > STALE:
            self.stood_still, self.steady_since = now - self._beat, self._clock()
        self._beat = now

    @property
    def complaint(self) -> str:
        """Why a key handled now may be an old one, in words; else empty."""
        self.beat()
        if not self.stood_still or self._clock() - self.steady_since > STALE:
            return ""
        return f"the screen was frozen for {self.stood_still:.1f} s: look, then press again"

    def _now(self) -> float:
        return self._clock() + slept()


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was on screen at one moment."""

    snapshot: Snapshot
    asked_since: float = float("-inf")
    """Since when it has shown this state, s, monotonic."""
    named_since: float = float("-inf")
    """Since when it has named this episode, s, monotonic."""
    complaint: str = ""
    """Why a key pressed now may be meant for something else."""

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
        """The same, with a reason to doubt that a key pressed now answers it."""
        return replace(self, complaint=complaint or self.complaint)

    def unreadable(self, pressed: float) -> str:
        """Why a key that went down at `pressed` cannot answer this state; else empty."""
        age = pressed - self.snapshot.made
        if self.complaint:
            return self.complaint
        if age > STALE:
            return f"the screen shows the engine as it was {age:.1f} s ago: wait for news, then press again"
        return unread(self.asked_since, pressed)

    def unnamed(self, pressed: float) -> str:
        """Why a key that went down at `pressed` cannot mean the named episode; else empty."""
        return self.complaint or unnamed(self.snapshot.episode or "this", self.named_since, pressed)

    def doubt(self, event: OperatorEvent, pressed: float, now: float) -> str:
        """Why this event is not sent, in words; empty if the operator can have meant it."""
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
