"""The session engine: one loop that takes events, carries out the machine's orders, and does a slice of work.

A slice is one control period of all cells, or one gradient step, so that keys are answered in between. Owns cells,
store, journal and learner while it lives; what it is made of comes in as `EngineDependencies`. `launch` runs one
in a process of its own.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from datasets.journal.records import PhaseEntered
from hardware.cell import CellError, ClockSpeed
from hardware.latch import StopLatch
from station.session.core.effects import (
    ApplySpeed,
    BeginHoming,
    BeginRollout,
    Effect,
    Refuse,
    RunPreflight,
    Say,
)
from station.session.core.events import (
    Answer,
    DiskFull,
    Envelope,
    Event,
    EventSource,
    Faulted,
    Go,
    MotionEnded,
    OperatorEvent,
    Pause,
    Rearm,
    SetAutopilot,
    SpaceBack,
    Tick,
)
from station.session.core.intake import objection
from station.session.core.machine import begin, step
from station.session.core.pausing import MOVING
from station.session.core.state import State
from station.session.engine.autopilot import Truth
from station.session.engine.commentary import Commentary
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.episode_writer import EpisodeWriter
from station.session.engine.gauges import disk_checks
from station.session.engine.learning import Learning
from station.session.engine.motion import Motion
from station.session.engine.open_session import open_folder
from station.session.engine.options import EngineOptions
from station.session.engine.partial import PartialLog
from station.session.engine.pending_writes import PendingWrites
from station.session.engine.records import Records
from station.session.engine.rollout import workers
from station.session.engine.roster import Roster
from station.session.engine.stopwatch import Stopwatch
from station.session.engine.view import View
from station.session.engine.vigil import Vigil
from station.session.folder import SessionFolder
from station.session.link.server import Link
from station.session.place import Place
from station.session.snapshot import Phase, Snapshot

_PUBLISH_EVERY = 0.1
_RETRY_EVERY = 0.5
_IDLE = 0.02
_MOVED_BY_KEYS = MOVING | {Phase.HOMING}

_log = logging.getLogger(__name__)


class Engine:
    """One session, alive. Use as a context manager, under the session's writer lock."""

    def __init__(
        self,
        folder: SessionFolder,
        parts: EngineDependencies,
        options: EngineOptions | None = None,
        *,
        link: Link | None = None,
        latch: StopLatch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the folder and bring the learner up to date; nothing moves before `turn`.

        Raises:
            JournalError, StoreError, LearnerError: the session cannot be resumed. DiskFullError.
        """
        self.folder = folder
        self.options = options or EngineOptions()
        self.session = open_folder(folder, parts, self.options, clock)
        self._place = Place(folder)
        self.state: State = self.session.state
        self._parts = parts
        self._link = link
        self._clock = clock
        self._latch = latch or StopLatch(folder.latch)
        self._inbox: queue.SimpleQueue[Envelope] = link.inbox if link else queue.SimpleQueue()
        self._events: deque[Event] = deque()
        self._pending = PendingWrites()
        self._partial = PartialLog(folder.partial)
        self._writer = EpisodeWriter(
            self.session.store, self.session.journal, self._pending, self._events.append, self._partial
        )
        self.session.learner.chunks = self._writer.chunks
        self._closing = ExitStack()
        self._published = self._retried = float("-inf")
        self._waits_since: float | None = None
        self._opening: tuple[Effect, ...] = ()
        """Effects of the first phase, held until someone is watching."""
        self._refused = ""
        """Why the newest event was refused, if it was."""
        self._motion = self._make_motion()
        self._vigil = Vigil(self._motion.wrong, clock)
        self._stopwatch = Stopwatch(self.session.journal.ledger().lines_of(PhaseEntered), clock)
        self._records = Records(self.session.journal, self._pending, self._stopwatch.spent)
        self._view = self._make_view()
        self._roster = Roster(
            self.session.journal,
            self._records.write,
            self._say,
            session=folder.path,
            accept=self.options.accept_devices,
        )
        self._learning = Learning(self.session.learner, self._events.append)
        self._commentary = Commentary(self.session.journal, self.session.checkpoints, self._say)
        self._orders = self._order_table()
        self._begin()

    @property
    def over(self) -> bool:
        """Whether there is nothing more to do in this process."""
        if self.state.leaving:
            return not self._writer.busy and not self._events
        if not self.options.headless:
            return False
        return bool(self.abandoned) or (self.state.phase is Phase.FINISHED and not self._pending.full)

    @property
    def abandoned(self) -> str:
        """Headless: what only a person can fix, after `EngineOptions.patience` seconds without one."""
        if not self.options.headless or self._waits_since is None or (self._link and self._link.watchers):
            return ""
        late = self._clock() - self._waits_since >= self.options.patience
        return (self.state.reason or self.session.autopilot.leaves(self.state)) if late else ""

    def post(self, event: OperatorEvent) -> None:
        """Queue an event from this process for the next turn. Safe from signal handlers and threads."""
        self._inbox.put(Envelope(number=0, event=event, pressed=time.monotonic()))

    def run(self) -> None:
        """Turn until there is nothing more to do."""
        self.run_until(lambda _: False)

    def run_until(self, reached: Callable[[State], bool]) -> None:
        """Turn until `reached(state)`, or until the engine is over."""
        while not self.over and not reached(self.state):
            self.turn()

    def turn(self) -> None:
        """Take events, carry out what follows, and do one slice of work.

        Raises:
            SessionGoneError: the session's folder is no longer where it was opened.
        """
        self._place.require()
        self._look_around()
        while not self._inbox.empty():
            self._take_in(self._inbox.get())
        self.dispatch(Tick(now=self._clock()))
        busy = not self.state.leaving and self._do_work()
        if not busy and not self.over:
            with suppress(queue.Empty):
                self._take_in(self._inbox.get(timeout=_IDLE))
        self._publish()

    def dispatch(self, event: Event) -> None:
        """Step the machine with one event, and with everything that follows immediately."""
        self._events.append(event)
        while self._events:
            event = self._events.popleft()
            before = self.state.phase
            self.state, effects = step(self.state, event)
            if isinstance(event, MotionEnded) and (truth := Truth.of(event)):
                self.session.autopilot.saw(truth)
            self._entered(before)
            for effect in effects:
                self._carry_out(effect)
            if self._pending.full and not self.state.disk_full:
                self._events.append(DiskFull(reason=self._pending.reason))

    def snapshot(self, *, images: bool = True) -> Snapshot:
        """The session now."""
        return self._view.snapshot(self.state, images=images)

    def settle(self) -> None:
        """Wait until every ended episode is in store and journal; nothing moves meanwhile."""
        while self._writer.busy:
            self._writer.collect(_IDLE)
            self.dispatch(Tick(now=self._clock()))

    def close(self) -> None:
        """Brake and release the devices; everything is already on disk."""
        self._motion.close()
        self._writer.close()
        self._closing.close()

    def __enter__(self) -> Self:
        """The engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See `close`; after an orderly end, pending commits are journaled first."""
        try:
            if kind is None:
                # closing an engine is leaving: ended episodes are journaled, and nothing begins
                self.state = replace(self.state, leaving=True)
                self.settle()
        finally:
            self.close()

    # --- beginning ------------------------------------------------------------------------------------------------

    def _make_motion(self) -> Motion:
        return Motion(
            self._parts,
            seed=self.folder.seed,
            writer=self._writer,
            partial=None if self._parts.simulated else self._partial,
            emit=self._events.append,
            latch=self._latch,
            pool=self._closing.enter_context(workers(len(self._parts.cells))),
        )

    def _make_view(self) -> View:
        return View(
            self.folder,
            self._parts,
            motion=self._motion,
            learner=self.session.learner,
            journal=self.session.journal,
            stopwatch=self._stopwatch,
            clock=self._clock,
        )

    def _order_table(self) -> dict[type[Effect], Callable[[Any], None]]:
        return {
            RunPreflight: lambda _: self._motion.preflight(
                disk_checks(self.folder.path, self._parts), self._roster.checks
            ),
            BeginHoming: self._begin_homing,
            BeginRollout: self._begin_rollout,
            ApplySpeed: lambda effect: self._set_speed(effect.speed),
            Say: lambda effect: self._say(effect.text),
            Refuse: lambda effect: self._refuse(effect.text),
        }

    def _begin(self) -> None:
        for sentence in (*self.session.said, *self._parts.remarks):
            self._say(sentence)
        if self._parts.simulated:
            self._set_speed(self.state.speed)
        on, mistakes = self.options.autopilot, self.options.mistakes
        wanted = (
            self.state.autopilot if on is None else on,
            self.state.mistakes if mistakes is None else mistakes,
        )
        if wanted != (self.state.autopilot, self.state.mistakes):
            self.dispatch(SetAutopilot(on=wanted[0], mistakes=wanted[1], source=EventSource.COMMAND))
        self.state, self._opening = begin(self.state)
        self._open()

    def _open(self) -> None:
        """The checks and what follows automatically: a real arm homes. So these wait until someone is watching."""
        if self._opening and not self._alone:
            effects, self._opening = self._opening, ()
            for effect in effects if self.state.phase is Phase.PREFLIGHT else ():
                self._carry_out(effect)

    @property
    def _alone(self) -> bool:
        """Whether no one is watching a real cell; departed front ends and commands do not count."""
        link = self._link
        unseen = link is not None and not link.watchers and not self.options.headless
        return unseen and not self._parts.simulated and not self.state.leaving

    # --- one turn -------------------------------------------------------------------------------------------------

    def _do_work(self) -> bool:
        """The automatic operator's presses, then a slice; returns whether there was work."""
        for event in self.session.autopilot.answer(self.state):
            self.dispatch(event)
        return self._work()

    def _take_in(self, envelope: Envelope) -> None:
        # keys come before the tick that might end a grace time, and carry the current time
        self.state = replace(self.state, now=self._clock())
        self._refused = ""
        sentence = objection(envelope, self.state)
        if not sentence and isinstance(envelope.event, Rearm):
            sentence = self._motion.not_rearmed(envelope.pressed)
        if not sentence and self._alone and isinstance(envelope.event, Answer):
            sentence = "Not done: nobody is looking at a screen. Look, then press again."
        if sentence:
            self._refuse(sentence)
        else:
            self._obey(envelope.event)
        if self._link is not None:
            self._link.answer(envelope.number, self._refused)

    def _obey(self, event: Event) -> None:
        if isinstance(event, Go) and self.state.phase is Phase.FAULT:
            # the episode cut off by the fault is saved, and entered as over, before anything moves again
            self.settle()
        self.dispatch(event)

    def _look_around(self) -> None:
        """Check for a latch set from outside and, on a real cell, for a last front end that is gone or hung."""
        if self._latch.latched and not self.state.stopped:
            if not self._latch.in_place:
                self._say(
                    f"The stop latch {self._latch.path} was removed or replaced, so a stop would not be heard."
                )
            self.dispatch(self._motion.stop())
        self._watch_devices()
        self._open()
        if self.state.phase in _MOVED_BY_KEYS and self._alone:
            self.dispatch(self._pause_unseen())
        if sentence := self._motion.about_stop(stopped=self.state.stopped):
            self._say(sentence)
        if sentence := self._motion.about_late():
            self._say(sentence)
        self._writer.collect()
        if self.state.disk_full and self._clock() - self._retried >= _RETRY_EVERY:
            self._retried = self._clock()
            if self._pending.retry():
                self._events.append(SpaceBack())

    def _watch_devices(self) -> None:
        """In every phase; a running episode checks the devices itself, at every step.

        During a fault, further failures are added to it, so that nobody clears one unread.
        """
        phase = self.state.phase
        looks_itself = phase in MOVING and self._motion.advancing
        if looks_itself or self.state.leaving:
            self._vigil.forget()
        elif reason := self._vigil.wrong(self.state.reason if phase is Phase.FAULT else ""):
            self.dispatch(Faulted(reason=reason))

    def _work(self) -> bool:
        """One slice of the phase's work; returns whether there was any."""
        match self.state.phase:
            case Phase.HOMING:
                self._motion.homing_slice()
            case Phase.ROLLOUT | Phase.EVALUATE:
                self._motion.rollout_slice()
            case Phase.UPDATE:
                self._learning.learn()
            case Phase.CHECKPOINT:
                self._learning.save()
            case Phase.FAULT:
                return self._learning.learn_on(self.state) or bool(self._events)
            case _:
                return bool(self._events) or self._learning.read_ahead()
        return True

    def _publish(self) -> None:
        now = self._clock()
        if self._link is None or not self._link.attached or now - self._published < _PUBLISH_EVERY:
            return
        self._published = now
        self._link.publish(self.snapshot())

    # --- orders ---------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        if self._records.carry_out(effect):
            self._commentary.follow(effect)
            return
        if self._motion.carry_out(effect):
            return
        order = self._orders.get(type(effect))
        if order is not None:
            order(effect)

    def _begin_rollout(self, effect: BeginRollout) -> None:
        self._motion.policy_version = self.session.learner.policy_version
        self._motion.block = self.state.block.ordinal if self.state.block else None
        self._motion.begin_rollout(effect.slots, effect.batch)

    def _begin_homing(self, effect: BeginHoming) -> None:
        if self._alone:
            # no one could stop it: pause until someone who is watching ends the pause
            self._events.append(self._pause_unseen())
        else:
            self._motion.begin_homing(effect.slots)

    def _pause_unseen(self) -> Pause:
        self._say(
            "Paused: nobody is looking at a screen. Attach, or wake the one that hangs, and end the pause."
        )
        return Pause(source=EventSource.SYSTEM)

    def _set_speed(self, speed: ClockSpeed) -> None:
        try:
            for cell in self._parts.cells:
                cell.set_speed(speed)
        except CellError as error:
            self._say(str(error))

    # --- what is remembered ---------------------------------------------------------------------------------------

    def _entered(self, before: Phase) -> None:
        phase = self.state.phase
        if phase is before:
            return
        self._stopwatch.enter(phase)
        self._waits_since = self._clock() if phase in (Phase.FAULT, Phase.LABEL) else None
        if phase is Phase.FAULT:
            self._say(self.state.reason)
        if phase is Phase.FINISHED and not self.state.leaving:
            self._finish()

    def _finish(self) -> None:
        self._say(self.state.reason)
        newest = self.session.journal.ledger().last_of(PhaseEntered)
        if newest is None or newest.record.phase != Phase.FINISHED:
            self._records.phase(Phase.FINISHED)

    def _refuse(self, sentence: str) -> None:
        self._refused = sentence
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self._view.say(sentence)
        _log.info(sentence)
