"""The learner's share of a turn: one slice at a time, and the event that its outcome means.

Decides neither when to learn nor from what: the machine and `learner` do.
"""

from __future__ import annotations

from collections.abc import Callable

from datasets.durable import DiskFullError
from station.session.core.events import Checkpointed, DiskFull, Event, Faulted, UpdateDone
from station.session.core.state import State
from station.session.engine.learner import Learner, LearnerError


class Learning:
    """The learner of one engine at work."""

    def __init__(self, learner: Learner, emit: Callable[[Event], None]) -> None:
        """`emit` gets the resulting events."""
        self._learner = learner
        self._emit = emit

    def read_ahead(self) -> bool:
        """Load a past episode, if one is missing; returns whether there was work."""
        try:
            return self._learner.read_ahead()
        except LearnerError as error:
            self._emit(Faulted(reason=str(error), recoverable=False))
            return True

    def learn(self) -> None:
        """One slice of the update block."""
        try:
            if self._learner.slice():
                self._emit(UpdateDone(policy_version=self._learner.policy_version))
        except DiskFullError as error:
            self._emit(DiskFull(reason=str(error)))
        except LearnerError as error:
            self._emit(Faulted(reason=str(error), recoverable=False))

    def learn_on(self, state: State) -> bool:
        """Finish an update block despite a device fault: learning moves nothing. Returns whether there was work."""
        if not state.learning or state.stopped or state.disk_full or not state.recoverable:
            return False
        self.learn()
        return True

    def save(self) -> None:
        """Write a checkpoint."""
        try:
            self._learner.save()
            self._emit(Checkpointed())
        except DiskFullError as error:
            self._emit(DiskFull(reason=str(error)))
