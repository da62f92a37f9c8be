"""The session at one instant: a frozen value that only `machine.step` turns into the next one.

Holds facts, not plans: `scheduler` computes what comes next, so a resumed session, whose facts come
from store and journal, continues exactly like one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from datasets.episode import EpisodeKind, Outcome
from hardware.cell import ClockSpeed
from station.session.core.events import EventSource
from station.session.snapshot import Phase


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is constant while the engine runs."""

    cells: int = 1
    grace: float = 2.0
    """s"""
    episodes: int = 0
    """Goal; 0 for none."""
    chunks: int = 0
    """Goal; 0 for none."""
    evaluation_every: int = 0
    evaluation_episodes: int = 20
    final_evaluation_episodes: int = 0
    simulated: bool = True
    """Whether all cells are simulated, so that an episode that was cut off can be rerun exactly."""


def episode_id(kind: EpisodeKind, ordinal: int) -> str:
    """``online-000012``."""
    return f"{kind.value}-{ordinal:06d}"


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One episode of a round, not yet run."""

    episode: str
    kind: EpisodeKind
    ordinal: int
    """Numbers the episodes of a kind; part of the id."""
    layout: int
    """Index of the start layout in the seeded schedule; also of the random stream."""
    row: int
    """Its row in the batch; fixed, so that a resumed round computes the same numbers."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One episode for each cell; labels, updates and checkpoints follow when all of them are over."""

    slots: tuple[Slot, ...]
    batch: int
    """Rows of every inference, even when some cells are done."""

    @property
    def evaluation(self) -> bool:
        """Whether it belongs to an evaluation block."""
        return self.slots[0].kind is EpisodeKind.EVALUATION


@dataclass(frozen=True, kw_only=True)
class Block:
    """An evaluation block: n episodes without exploration, on the first n evaluation layouts."""

    ordinal: int
    first: int
    """Ordinal of its first episode."""
    n: int
    at: int
    """Online episodes begun before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is known about an episode whose motion is over."""

    kind: EpisodeKind
    chunks: int
    outcome: Outcome | None = None
    """None: label pending."""
    void: bool = False

    @property
    def pending(self) -> bool:
        """Whether it still needs a label; demonstrations may stay unlabelled."""
        return self.outcome is None and not self.void and self.kind is not EpisodeKind.DEMO


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Online episodes that are not void."""

    episodes: int = 0
    chunks: int = 0


class Verdicts(Mapping[str, Verdict]):
    """Every committed episode; immutable. Queries made every tick do not scan them."""

    def __init__(
        self,
        past: Mapping[str, Verdict] | None = None,
        *,
        pending: tuple[str, ...] | None = None,
        counted: Counted | None = None,
    ) -> None:
        """`pending` and `counted` are those of `past`, counted here when not given."""
        self._past = past or {}
        self._newer: dict[str, Verdict] = {}
        """Entered or changed since; few compared with a long session's past."""
        everything = [] if pending is not None and counted is not None else list(self._past.items())
        waiting = (name for name, verdict in everything if verdict.pending)
        self.pending = tuple(sorted(waiting if pending is None else pending))
        """Episodes awaiting a label, by name: a restart asks for them in the same order."""
        online = [verdict for _, verdict in everything if _counts(verdict)]
        self.counted = counted or Counted(episodes=len(online), chunks=sum(v.chunks for v in online))

    def having(self, name: str, verdict: Verdict) -> Verdicts:
        """The same with one entered or changed."""
        before, pending = self.get(name), tuple(other for other in self.pending if other != name)
        more = _counts(verdict) - (before is not None and _counts(before))
        changed = Verdicts(
            self._past,
            pending=(*pending, name) if verdict.pending else pending,
            counted=Counted(
                episodes=self.counted.episodes + more,
                chunks=self.counted.chunks + more * verdict.chunks,
            ),
        )
        changed._newer = {**self._newer, name: verdict}
        return changed

    def __getitem__(self, name: str) -> Verdict:
        """Raises KeyError."""
        return self._newer[name] if name in self._newer else self._past[name]

    def __contains__(self, name: object) -> bool:
        """Whether it has been committed."""
        return name in self._newer or name in self._past

    def __iter__(self) -> Iterator[str]:
        """Their ids, in order of entry."""
        yield from self._past
        yield from (name for name in self._newer if name not in self._past)

    def __len__(self) -> int:
        """How many."""
        return sum(1 for _ in self)


def _counts(verdict: Verdict) -> bool:
    return verdict.kind is EpisodeKind.ONLINE and not verdict.void


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """A key that ended a motion, held until the episode is committed."""

    outcome: Outcome | None
    """None: void."""
    source: EventSource


@dataclass(frozen=True, kw_only=True)
class State:
    """The session at one instant."""

    rules: Rules = field(default_factory=Rules)
    phase: Phase = Phase.PREFLIGHT
    now: float = 0.0
    """s, monotonic, of the last tick."""
    resume_phase: Phase | None = None
    """The phase that a pause returns to; None while not paused."""
    asked_to_pause: bool = False
    """The operator paused, or no one is watching: free disk space does not end the pause."""
    reason: str = ""
    question: int = 0
    """Numbers what a press answers: this READY, this fault, this pause, this stop. Counted by `machine.step`."""
    verdicts: Verdicts = field(default_factory=Verdicts)
    """Every committed episode."""
    cut_off: frozenset[str] = frozenset()
    """Episodes aborted in motion; they cannot be labelled and their names are never reused."""
    pruned: frozenset[str] = frozenset()
    """Episodes whose files were deleted; they stay void."""
    round: Round | None = None
    running: frozenset[str] = frozenset()
    """Episodes in motion."""
    keyed: Mapping[str, Keyed] = field(default_factory=dict)
    last: str | None = None
    """The episode that ran last."""
    newest: str | None = None
    """The episode that the newest journal line about one names; None for one that was cut off."""
    grace_ends: float | None = None
    """When the grace time of the newest label ends, s."""
    next_online: int = 0
    next_evaluation: int = 0
    fresh: bool = False
    """Online episodes ended since the last update block began."""
    updates_begun: int = 0
    updates_done: int = 0
    home: bool = False
    """Real arms have homed since their last motion."""
    unsaved: bool = False
    """The learner has changed since its last checkpoint."""
    policy_version: int = 0
    block: Block | None = None
    block_ends: bool = False
    """The current block was ended early: no more of its episodes begin."""
    newest_block: Block | None = None
    """The last one begun, complete or not."""
    wanted_block: int | None = None
    """Episodes of a requested evaluation block."""
    beyond_goal: bool = False
    """The goal is reached and the operator continues: until the next start, or a void drops the count below it."""
    only_evaluate: bool = False
    """End when the requested evaluation block is complete."""
    autopilot: bool = False
    mistakes: float = 0.0
    speed: ClockSpeed = ClockSpeed.REAL
    wanted_speed: ClockSpeed | None = None
    stopped: bool = False
    rearmed: bool = False
    """The stop was released and nothing else is wrong: the fault waits only for the operator to continue."""
    recoverable: bool = True
    disk_full: bool = False
    leaving: bool = False

    @property
    def open_slots(self) -> tuple[Slot, ...]:
        """Episodes of the round that are not finished."""
        if self.round is None:
            return ()
        over = self.block_ends and self.round.evaluation
        return tuple(
            slot
            for slot in self.round.slots
            if slot.episode not in self.verdicts
            and slot.episode not in self.cut_off
            and (not over or slot.episode in self.running)
        )

    @property
    def next_slots(self) -> tuple[Slot, ...]:
        """The open ones that fit the cells."""
        return self.open_slots[: self.rules.cells]

    @property
    def homing_slots(self) -> tuple[Slot, ...]:
        """Those whose cells home: the next ones, or the finished ones."""
        return self.next_slots or (self.round.slots[: self.rules.cells] if self.round else ())

    @property
    def learning(self) -> bool:
        """Whether an update block is in progress."""
        return self.updates_done < self.updates_begun

    @property
    def pending(self) -> tuple[str, ...]:
        """Episodes awaiting a label."""
        return self.verdicts.pending

    @property
    def asked(self) -> str | None:
        """The one to label first: one of the round, if any is pending."""
        slots = self.round.slots if self.round else ()
        in_round = (slot.episode for slot in slots if slot.episode in self.pending)
        return next(in_round, self.pending[0] if self.pending else None)

    @property
    def blocks_begun(self) -> int:
        """Evaluation blocks so far."""
        return self.newest_block.ordinal + 1 if self.newest_block else 0

    @property
    def has_goal(self) -> bool:
        """Whether the engine ends by itself."""
        return bool(self.rules.episodes or self.rules.chunks or self.only_evaluate)

    @property
    def evaluating(self) -> bool:
        """Whether an evaluation block is running."""
        return self.block is not None
