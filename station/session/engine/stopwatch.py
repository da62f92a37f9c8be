"""Where a session's time went: sums wall time per kind of phase, across engines, through the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from datasets.journal.journal import Line
from datasets.journal.records import PhaseEntered
from station.session.core.state import State
from station.session.snapshot import Phase, TimeLedger

KINDS = ("moving", "waiting", "labelling", "updating", "other")

_KIND = {
    Phase.HOMING: "moving",
    Phase.ROLLOUT: "moving",
    Phase.EVALUATE: "moving",
    Phase.READY: "waiting",
    Phase.PAUSED: "waiting",
    Phase.FAULT: "waiting",
    Phase.LABEL: "labelling",
    Phase.UPDATE: "updating",
}


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """Distance to the goal when this engine started."""

    time: float
    chunks: int
    episodes: int


class Stopwatch:
    """Seconds per kind of time."""

    def __init__(self, phases: Iterable[Line[PhaseEntered]], clock: Callable[[], float]) -> None:
        """Continues from the journal's phase lines."""
        self._clock = clock
        self._last = clock()
        self._kind = "other"
        self._total = dict.fromkeys(KINDS, 0.0)
        self._since = dict.fromkeys(KINDS, 0.0)
        self._start: _Mark | None = None
        for line in phases:
            for kind, seconds in line.record.spent.items():
                self._total[kind] = self._total.get(kind, 0.0) + seconds

    def enter(self, phase: Phase) -> None:
        """The session enters `phase` now."""
        now = self._clock()
        self._since[self._kind] += now - self._last
        self._last = now
        # a finished session takes no one's time
        self._kind = "idle" if phase is Phase.FINISHED else _KIND.get(phase, "other")
        self._since.setdefault(self._kind, 0.0)

    def spent(self) -> dict[str, float]:
        """Seconds per kind since the last call; for the journal."""
        self._roll()
        spent = {kind: round(self._since[kind], 3) for kind in KINDS if self._since[kind] > 0.0}
        for kind, seconds in self._since.items():
            self._total[kind] = self._total.get(kind, 0.0) + seconds
        self._since = dict.fromkeys(KINDS, 0.0)
        self._since.setdefault(self._kind, 0.0)
        return spent

    def ledger(self, state: State, chunks: int, episodes: int) -> TimeLedger:
        """The totals, and the time to the goal at this engine's pace so far."""
        self._roll()
        sums = {kind: self._total[kind] + self._since[kind] for kind in KINDS}
        return TimeLedger(**sums, eta=self._eta(state, chunks, episodes))

    def _roll(self) -> None:
        now = self._clock()
        self._since[self._kind] += now - self._last
        self._last = now

    def _eta(self, state: State, chunks: int, episodes: int) -> float | None:
        if self._start is None:
            self._start = _Mark(time=self._clock(), chunks=chunks, episodes=episodes)
        elapsed = self._clock() - self._start.time
        rules = state.rules
        left = [
            elapsed * max(0, goal - done) / (done - before)
            for goal, done, before in (
                (rules.chunks, chunks, self._start.chunks),
                (rules.episodes, episodes, self._start.episodes),
            )
            if goal and done > before
        ]
        return min(left) if left else None
