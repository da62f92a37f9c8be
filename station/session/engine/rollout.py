"""Runs one episode on each of several cells in lockstep: observe, decide in one batch, act, record.

Neither commits nor labels; that is up to the engine (or `evaluation`). Every inference has the
same number of rows, whether or not some cells are done, so a row's numbers do not depend on its neighbours.

With an overlap of k, a decision is taken on the observation k steps before the planned steps end. It replaces what
follows those k: of its chunk, the first k steps are skipped, because the arm executes the running chunk meanwhile. A
real arm moves on while a thread decides. A simulated one, whose clock stands still then, gets the decision at once
and executes it k steps later, so that a seed still gives one session. The first decision of an episode, and the one
after a pause, find the arm at rest: they plan their whole chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from datasets.episode import Ending
from datasets.observation import FloatArray, Image
from datasets.randomness import stream
from hardware.cell import Cell, CellError, Layout, Step, StoppedError
from policy.remote.error import RemotePolicyError
from policy.steering.interface import Steering, Window
from station.session.engine.partial import PartialLog
from station.session.engine.recorder import EpisodeRecorder
from station.session.engine.thinking import Thinker, Thought, think

_PATIENCE = 0.01
"""s that a turn waits for a late decision."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Start:
    """An episode about to begin on a cell whose scene is set up."""

    episode: str
    cell: Cell
    row: int
    """Its row in the batch."""
    rng: np.random.Generator
    layout: Layout = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An episode whose motion is over."""

    start: Start
    recorder: EpisodeRecorder
    final: dict[str, FloatArray]
    """Features of the final observation."""
    ending: Ending


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Result of one control period."""

    finished: tuple[Finished, ...] = ()
    fault: str = ""
    """Why motion must end; the arms have been braked."""
    stopped: bool = False
    """The stop latch is set."""


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What a decision of these runs is taken on."""

    began: float
    """When, s, monotonic."""
    runs: list[_Run]
    window: Window
    rngs: list[np.random.Generator]
    steps: list[int]
    """Of each run so far."""
    times: list[float]
    """Of each run's newest observation, s."""
    skipped: int
    """Steps of the decided chunk that are skipped: the running one executes them."""


@dataclass(kw_only=True)
class _Run:
    start: Start
    recorder: EpisodeRecorder
    left: int = 0
    """Steps of the plan left to execute."""

    @property
    def name(self) -> str:
        return self.start.episode


class Rollout:
    """Episodes in motion."""

    def __init__(
        self,
        starts: Sequence[Start],
        steering: Steering,
        *,
        batch: int,
        n_obs: int,
        episode_steps: int,
        explore: bool,
        pool: Executor | None = None,
        look_at_decisions: bool = False,
        partial: PartialLog | None = None,
        overlap: int = 0,
    ) -> None:
        """Take the first observations; nothing moves yet.

        Args:
            starts: one per cell, rows below `batch`.
            steering: decides.
            batch: rows of every inference.
            n_obs: observations per window.
            episode_steps: the episode limit.
            explore: the method's exploration, or its evaluation behaviour.
            pool: steps several cells at the same time.
            look_at_decisions: for cells that take no images while they move.
            partial: gets the steps of every finished chunk.
            overlap: planned steps that are left when the next decision is taken.

        Raises:
            CellError: a cell cannot be observed.
        """
        self._steering = steering
        self._batch = batch
        self._episode_steps = episode_steps
        self._explore = explore
        self._pool = pool
        self._look_at_decisions = look_at_decisions
        self._partial = partial
        self._overlap = overlap
        self._thinker = Thinker(steering, explore=explore)
        self._look: _Look | None = None
        """What the thinker thinks about."""
        self._missed: _Look | None = None
        """The newest one whose decision was late."""
        self.decision: float | None = None
        """s that the newest decision took, from its observation to the plan; None before the first."""
        self.late = 0
        """Decisions that came after the overlap was used up; the arm decelerated meanwhile."""
        self._asked = time.monotonic()
        """When the newest observations were asked for."""
        self._runs = [
            _Run(start=start, recorder=EpisodeRecorder(start.cell.spec, start.cell.observe(), n_obs))
            for start in starts
        ]

    @property
    def running(self) -> tuple[str, ...]:
        """Episodes still in motion."""
        return tuple(run.name for run in self._runs)

    @property
    def steps(self) -> int:
        """Steps of the longest running episode."""
        return max((run.recorder.steps for run in self._runs), default=0)

    def newest_images(self) -> dict[str, Image]:
        """Newest images of the first running episode's cell; empty when nothing runs."""
        return self._runs[0].recorder.newest.images if self._runs else {}

    def advance(self) -> Slice:
        """One control period for every running episode; decides where `overlap` steps of a plan are left.

        While a decision is late, nothing is due: a part of a period, without a step.
        """
        try:
            self._decide([run for run in self._runs if run.left <= self._overlap])
            if self._look is not None and not all(run.left for run in self._runs):
                return self._await_decision()
            steps = self._step()
            over = [
                (run, ending)
                for run, step in zip(self._runs, steps, strict=True)
                if (ending := self._take(run, step))
            ]
            return Slice(finished=self._finish(over))
        except CellError as error:
            self.brake()
            return Slice(fault=str(error), stopped=isinstance(error, StoppedError))
        except (_NonFiniteError, RemotePolicyError) as error:
            self.brake()
            return Slice(fault=str(error))

    def end(self, episode: str) -> tuple[Finished, ...]:
        """A key ends this episode; does nothing if it is not running.

        Raises:
            RemotePolicyError: the final observation could not be embedded; the episode is still among those running.
        """
        return self._finish([(run, Ending.OPERATOR) for run in self._runs if run.name == episode])

    def abort(self) -> dict[str, EpisodeRecorder]:
        """Abort all running episodes; returns their recordings."""
        if self._thinker.busy:
            self.brake()
        self._forget_look()
        runs, self._runs = self._runs, []
        return {run.name: run.recorder for run in runs}

    def brake(self) -> None:
        """Decelerate and hold, all cells."""
        for run in self._runs:
            run.start.cell.brake()

    def resume(self) -> None:
        """Discard the rest of the plans and observe again. Raises CellError."""
        self._asked = time.monotonic()
        self._forget_look()
        for run in self._runs:
            run.left = 0
            run.recorder.observed_again(run.start.cell.observe())

    def _decide(self, runs: list[_Run]) -> None:
        if self._look is not None:
            self._take_thought()
        elif runs and runs[0].left and not all(run.start.cell.simulated for run in runs):
            self._look = look = self._look_around(runs)
            self._thinker.begin(look.window, look.rngs, then=partial(self._flush, runs))
        elif runs:
            self._flush(runs)
            look = self._look_around(runs)
            self._post(look, think(self._steering, look.window, look.rngs, explore=self._explore))

    def _flush(self, runs: list[_Run]) -> None:
        if self._partial is not None:
            for run in runs:
                self._partial.flush(run.name, run.recorder)

    def _look_around(self, runs: list[_Run]) -> _Look:
        if self._look_at_decisions:
            self._asked = time.monotonic()
            for run in runs:
                run.recorder.observed_again(run.start.cell.observe())
        times, began = [run.recorder.newest.time for run in runs], time.monotonic()
        if self._asked <= min(times) <= began:  # on this clock: what was done since is part of the arm's wait
            began = min(times)
        return _Look(
            began=began,
            runs=runs,
            window=self._window(runs),
            rngs=self._rngs(runs),
            steps=[run.recorder.steps for run in runs],
            times=times,
            skipped=runs[0].left,
        )

    def _take_thought(self, patience: float = 0.0) -> None:
        """Post what was decided meanwhile, if it is complete."""
        look, thought = self._look, self._thinker.take(patience)
        if look is not None and thought is not None:
            self._look = None
            self._post(look, thought)

    def _await_decision(self) -> Slice:
        """The overlap is used up: the arm decelerates and holds, and obeys stop and keys meanwhile."""
        if self._missed is not self._look:
            self._missed = self._look
            self.late += 1
        for run in self._runs:
            if not run.left:
                run.start.cell.advance()
        self._take_thought(_PATIENCE)
        return Slice()

    def _forget_look(self) -> None:
        self._look = None
        self._thinker.forget()

    def _post(self, look: _Look, thought: Thought) -> None:
        """Give the cells their plans, and the recorders their decisions."""
        for run, steps, seen in zip(look.runs, look.steps, look.times, strict=True):
            if not np.isfinite(thought.decision.actions[run.start.row]).all():
                raise _NonFiniteError(run.name)
            run.recorder.decided(
                _row(thought.features, run), _row(thought.decision.chosen, run), seen=steps, after=run.left
            )
            actions = thought.decision.actions[run.start.row][look.skipped :]
            if look.skipped:
                run.start.cell.replan(actions, after=run.left, seen=seen)
            else:
                run.start.cell.plan(actions)
            run.left += len(actions)
        self.decision = (thought.ready if look.skipped else time.monotonic()) - look.began

    def _step(self) -> list[Step]:
        self._asked = time.monotonic()
        cells = [run.start.cell for run in self._runs]
        found = _at_once(self._pool, cells, lambda cell: cell.advance())
        steps = [step for step in found if step is not None]
        if len(steps) < len(cells):
            raise CellError("A plan ended before its last step. Check the arm's controller, then continue.")
        return steps

    def _take(self, run: _Run, step: Step) -> Ending | None:
        run.recorder.stepped(step)
        run.left -= 1
        return step.ending or (Ending.EPISODE_LIMIT if run.recorder.steps >= self._episode_steps else None)

    def _finish(self, over: Sequence[tuple[_Run, Ending]]) -> tuple[Finished, ...]:
        if not over:
            return ()
        runs = [run for run, _ in over]
        for run in runs:
            run.start.cell.brake()
            run.recorder.forget_unexecuted()
        self._forget_look()
        final = self._steering.features(self._window(runs), self._rngs(runs), explore=self._explore)
        self._runs = [run for run in self._runs if run not in runs]
        return tuple(
            Finished(start=run.start, recorder=run.recorder, final=_row(final, run), ending=ending)
            for run, ending in over
        )

    def _window(self, runs: Sequence[_Run]) -> Window:
        """Rows of `runs` in their places; the other rows are zero and do not matter."""
        images = {}
        seen = {run.start.row: run.recorder.window for run in runs}
        n_obs = len(runs[0].recorder.window)
        for camera in runs[0].recorder.spec.cameras:
            shape = (self._batch, n_obs, camera.height, camera.width, 3)
            images[camera.name] = np.zeros(shape, np.uint8)
            for row, window in seen.items():
                images[camera.name][row] = [look.images[camera.name] for look in window]
        proprioception = np.zeros((self._batch, n_obs, runs[0].recorder.spec.proprioception_dim), np.float32)
        for row, window in seen.items():
            proprioception[row] = [look.proprioception for look in window]
        return Window(images=images, proprioception=proprioception)

    def _rngs(self, runs: Sequence[_Run]) -> list[np.random.Generator]:
        """Row b draws from its own episode's stream; unused rows from a dummy stream."""
        own = {run.start.row: run.start.rng for run in runs}
        return [own.get(row) or stream(0, "padding", row) for row in range(self._batch)]


class _NonFiniteError(Exception):
    def __init__(self, episode: str) -> None:
        super().__init__(
            f"The policy gave actions that are not finite in {episode}. The arm was braked and the episode cut off; "
            "resume from an older checkpoint, or look at the learning rates."
        )


def _at_once(pool: Executor | None, cells: Sequence[Cell], call: Callable[[Cell], Answer]) -> list[Answer]:
    """Each cell's answer, in order; in parallel if there is a pool."""
    return [*(pool.map(call, cells) if pool is not None and len(cells) > 1 else map(call, cells))]


def _row(arrays: dict[str, FloatArray], run: _Run) -> dict[str, FloatArray]:
    return {name: np.array(values[run.start.row]) for name, values in arrays.items()}


class Homing:
    """Arms on their way home."""

    def __init__(self, cells: Sequence[Cell], pool: Executor | None = None) -> None:
        """Start moving. Raises CellError."""
        self._cells = list(cells)
        self._pool = pool
        for cell in self._cells:
            cell.begin_homing()

    def advance(self) -> bool:
        """Continue for about one control period; True once all are home. Raises CellError."""
        found = _at_once(self._pool, self._cells, lambda cell: cell.advance_homing())
        self._cells = [cell for cell, arrived in zip(self._cells, found, strict=True) if not arrived]
        return not self._cells


@contextmanager
def workers(cells: int) -> Iterator[Executor | None]:
    """Threads that step several cells in parallel; none for one cell."""
    if cells < 2:
        yield None
        return
    with ThreadPoolExecutor(cells, thread_name_prefix="cell") as pool:
        yield pool
