"""Builds what front ends see: one Snapshot from the engine's parts, cheap enough for ten a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from datasets.journal.journal import Journal
from datasets.log_lines import clocked
from datasets.observation import Image
from hardware.cell import Layout
from station.session.core.judging import shown_episode, undoable
from station.session.core.scheduler import goal_reached
from station.session.core.state import State
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.gauges import Gauges
from station.session.engine.instructions import instruction
from station.session.engine.learner import Learner
from station.session.engine.motion import Motion
from station.session.engine.stopwatch import Stopwatch
from station.session.folder import SessionFolder
from station.session.snapshot import Counts, Phase, Snapshot
from station.session.status import tally

_LOG_KEPT = 200
_LOG_SHOWN = 30
_COUNT_SHARE = 20.0
"""Counting may take at most one part in this many of the engine's time."""
_TILES_EVERY = 0.2
"""s between camera reads while the arm is at rest."""


class Counter:
    """The counts of the running session, recomputed only when the journal has grown, and not too often."""

    def __init__(self, journal: Journal, rolling_window: int, clock: Callable[[], float]) -> None:
        """Counts by the same code as ``station status``."""
        self._journal = journal
        self._window = rolling_window
        self._clock = clock
        self._through = -1
        self._next = float("-inf")
        self._counts = Counts()

    def counts(self) -> Counts:
        """At most a moment old."""
        now = self._clock()
        if self._journal.last_seq != self._through and now >= self._next:
            self._through = self._journal.last_seq
            self._counts = tally(self._journal.ledger(), rolling_window=self._window)
            self._next = now + _COUNT_SHARE * (self._clock() - now)
        return self._counts


@dataclass(kw_only=True)
class _Images:
    """The last images taken for the screen, and what they were taken for."""

    tiles: dict[str, Image]
    taken: float
    target: dict[str, Image]
    target_for: Layout | None


class View:
    """Everything in a snapshot besides the state."""

    def __init__(
        self,
        folder: SessionFolder,
        parts: EngineDependencies,
        *,
        motion: Motion,
        learner: Learner,
        journal: Journal,
        stopwatch: Stopwatch,
        clock: Callable[[], float],
    ) -> None:
        """Read-only."""
        self._folder = folder
        self._parts = parts
        self._motion = motion
        self._stopwatch = stopwatch
        self._clock = clock
        self._counter = Counter(journal, parts.settings.rolling_window, clock)
        self._gauges = Gauges(folder, parts, learner, clock)
        self._log: deque[str] = deque(maxlen=_LOG_KEPT)
        self._number = 0
        self._images = _Images(tiles={}, taken=float("-inf"), target={}, target_for=None)

    def say(self, sentence: str) -> None:
        """A line for the log."""
        self._log.append(clocked(sentence))

    def snapshot(self, state: State, *, images: bool = True) -> Snapshot:
        """The session now; without `images`, no camera is read."""
        self._number += 1
        counts = self._counter.counts()
        shown = shown_episode(state)
        verdict = state.verdicts.get(shown) if shown else None
        block = state.block
        return Snapshot(
            number=self._number,
            session=self._folder.name,
            task=self._folder.task_name,
            phase=state.phase,
            question=state.question,
            made=self._clock(),
            instruction=instruction(state),
            reason=state.reason,
            evaluating=state.evaluating,
            block_done=_done_of_block(state),
            block_size=block.n if block else 0,
            block_ends=state.block_ends,
            queued_evaluation=state.wanted_block or 0,
            goal_open=state.phase is Phase.FINISHED and not goal_reached(state),
            episode=shown,
            label=verdict.outcome.value if verdict and verdict.outcome else None,
            void=verdict is not None and verdict.void,
            undo=undoable(state),
            step=self._motion.step,
            episode_steps=self._parts.settings.episode_steps,
            grace_left=_grace_left(state, self._clock()),
            episodes_goal=state.rules.episodes,
            speed=state.wanted_speed or state.speed,
            simulated=self._parts.simulated,
            autopilot=state.autopilot,
            mistakes=state.mistakes,
            stopped=state.stopped,
            rearmed=state.rearmed,
            recoverable=state.recoverable,
            disk_full=state.disk_full,
            resume_phase=state.resume_phase,
            asked_to_pause=state.asked_to_pause,
            tiles=self._tiles(state) if images else {},
            target=self._target(state) if images else {},
            counts=counts,
            steering=self._gauges.steering(),
            health=self._gauges.health(self._motion.decision),
            ledger=self._stopwatch.ledger(state, counts.chunks, counts.episodes),
            log=tuple(self._log)[-_LOG_SHOWN:],
        )

    def _tiles(self, state: State) -> dict[str, Image]:
        """Images of a moving arm are free; reading cameras at rest costs time, so it is done less often."""
        now = self._clock()
        if state.running or now - self._images.taken >= _TILES_EVERY:
            self._images.tiles = self._motion.images() or self._images.tiles
            self._images.taken = now
        return self._images.tiles

    def _target(self, state: State) -> dict[str, Image]:
        targets = self._motion.targets
        if state.phase is not Phase.READY or not targets:
            return {}
        if self._images.target_for != targets[0]:
            self._images.target = self._motion.target_images()
            self._images.target_for = targets[0]
        return self._images.target


def _done_of_block(state: State) -> int:
    if state.block is None:
        return 0
    unfinished = len(state.open_slots) if state.round and state.round.evaluation else 0
    return max(0, state.next_evaluation - state.block.first - unfinished)


def _grace_left(state: State, now: float) -> float | None:
    if state.phase is not Phase.LABEL or state.grace_ends is None:
        return None
    return max(0.0, state.grace_ends - now)
