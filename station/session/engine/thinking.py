"""One decision for all running episodes: computed at once, or in a thread while the arms finish the running chunk.

The thread has copies of the observations, commands no arm and holds no lock, so nothing that brakes waits for it.
Whoever uses the method next waits until it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from datasets.observation import FloatArray
from policy.remote.error import RemotePolicyError
from policy.steering.interface import Decision, Steering, Window


@dataclass(frozen=True, kw_only=True)
class Thought:
    """A decision with what it was taken on."""

    features: dict[str, FloatArray]
    """[B, ...]"""
    decision: Decision
    ready: float
    """When it was complete, s, monotonic."""


def think(
    steering: Steering, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
) -> Thought:
    """Decide. Raises RemotePolicyError."""
    features = steering.features(window, rngs, explore=explore)
    decision = steering.act(window, features, rngs, explore=explore)
    return Thought(features=features, decision=decision, ready=time.monotonic())


def _nothing() -> None: ...


class Thinker:
    """Thinks at most one thought at a time."""

    def __init__(self, steering: Steering, *, explore: bool) -> None:
        """Starts no thread yet."""
        self._steering = steering
        self._explore = explore
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decision")
        self._thought: Future[Thought] | None = None
        self._chore: Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether `forget` would have to wait, or has something to drop."""
        return self._thought is not None or (self._chore is not None and not self._chore.done())

    def begin(
        self, window: Window, rngs: Sequence[np.random.Generator], *, then: Callable[[], None] = _nothing
    ) -> None:
        """Start to think, and do a chore afterwards; a slow one delays the next thought.

        Until `take` or `forget`, nobody else may use the method or these generators.
        """
        self._thought = self._thread.submit(think, self._steering, window, rngs, explore=self._explore)
        self._chore = self._thread.submit(then)

    def take(self, patience: float = 0.0) -> Thought | None:
        """The thought, once; None while it is not complete after `patience` s. Raises RemotePolicyError."""
        thought = self._thought
        if thought is None or not wait([thought], patience).done:
            return None
        self._thought = None
        return thought.result()

    def forget(self) -> None:
        """Wait for the thought, which is dropped, and for the chore."""
        thought, chore, self._thought, self._chore = self._thought, self._chore, None, None
        if thought is not None:
            with suppress(RemotePolicyError):
                thought.result()
        if chore is not None:
            chore.result()
