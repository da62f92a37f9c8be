"""Drives an engine in the test's own process, in wall-clock time, as a person at the keys would."""

from __future__ import annotations

import time
from collections.abc import Callable

from station.session.core.events import OperatorEvent
from station.session.engine.engine import Engine
from station.session.snapshot import Phase
from tests.station.session.answering import answering, go

PATIENCE = 90.0
"""s; a busy machine needs some of it, a stuck engine all."""


def until(engine: Engine, reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Turn the engine until it is there."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"stuck in {engine.state.phase}: {engine.state.reason}"
        engine.turn()


def until_phase(engine: Engine, *phases: Phase) -> None:
    """Turn the engine until it is in one of these phases."""
    until(engine, lambda: engine.state.phase in phases)


def press(engine: Engine, event: OperatorEvent) -> None:
    """One event, and the turn that takes it in."""
    engine.post(answering(event, engine.state))
    engine.turn()


def roll(engine: Engine, steps: int = 6) -> str:
    """Start the next episode and let it run some steps; its name."""
    until_phase(engine, Phase.READY)
    episode = engine.state.next_slots[0].episode
    press(engine, go())
    until(engine, lambda: engine._motion.step >= steps)
    return episode
