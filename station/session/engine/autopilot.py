"""The automatic operator: presses the keys a person would, using the simulator's ground truth.

Sends the same events as a person, through the same machine. Never re-arms, never leaves a fault, never changes a
label that a person has taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets.episode import EpisodeKind, Outcome
from datasets.randomness import stream
from station.session.core.events import EventSource, Go, Label, MotionEnded, OperatorEvent
from station.session.core.state import State
from station.session.snapshot import Phase


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a simulator saw of an episode."""

    episode: str
    kind: EpisodeKind
    ordinal: int
    outcome: Outcome

    @classmethod
    def of(cls, event: MotionEnded) -> Truth | None:
        """That of an episode that has just ended; None if no simulator knows it."""
        if event.truth is None:
            return None
        ordinal = int(event.episode.rpartition("-")[2])
        return cls(episode=event.episode, kind=event.kind, ordinal=ordinal, outcome=event.truth)


class Autopilot:
    """Reacts to states; called on every turn of the engine's loop."""

    def __init__(self, seed: int) -> None:
        """Mistakes are drawn from `seed`, one stream per episode."""
        self._seed = seed
        self._unjudged: dict[str, Truth] = {}

    def saw(self, truth: Truth) -> None:
        """An episode has ended and has no label yet."""
        self._unjudged[truth.episode] = truth

    def answer(self, state: State) -> tuple[OperatorEvent, ...]:
        """What to press now; nothing while switched off."""
        if not state.autopilot or state.stopped:
            return ()
        labels = tuple(self._labels(state))
        if labels or state.phase is not Phase.READY:
            return labels
        return (Go(answers=state.question, source=EventSource.AUTOPILOT),)

    def leaves(self, state: State) -> str:
        """What needs a person, as a sentence: an episode whose label was taken back; else empty."""
        if not state.autopilot or state.phase is not Phase.LABEL:
            return ""
        left = next((name for name in state.pending if name not in self._unjudged), None)
        return f"{left} needs a label: its own was taken back." if left else ""

    def _labels(self, state: State) -> list[Label]:
        labels = []
        for name in [name for name in self._unjudged if name in state.verdicts]:
            truth = self._unjudged.pop(name)
            if state.verdicts[name].pending:
                outcome = self._verdict(truth, state.mistakes)
                labels.append(Label(episode=name, outcome=outcome, source=EventSource.AUTOPILOT))
        return labels

    def _verdict(self, truth: Truth, mistakes: float) -> Outcome:
        """The truth, or now and then its opposite; evaluations are always judged truly."""
        if truth.kind is EpisodeKind.EVALUATION or mistakes <= 0.0:
            return truth.outcome
        if stream(self._seed, "mistake", truth.ordinal).random() >= mistakes:
            return truth.outcome
        return Outcome.FAILURE if truth.outcome is Outcome.SUCCESS else Outcome.SUCCESS
