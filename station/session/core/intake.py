"""Refuses presses that are too old, whatever they ask for. The machine knows only its own time.

A press arrives late if the engine, the screen or the computer stalled; what its presser sees
by then is unknown.
"""

from __future__ import annotations

from station.session.core.events import STALE, Envelope
from station.session.core.machine import starts
from station.session.core.state import State


def objection(envelope: Envelope, state: State) -> str:
    """Why this is refused now, in a sentence; empty if it may pass.

    Events that this process posts itself (number 0) have no age.
    """
    if envelope.number and envelope.age > STALE and starts(state, envelope.event):
        return (
            f"Not done: the key was pressed {envelope.age:.1f} s before it could be obeyed. "
            "Look at the screen, then press again."
        )
    return ""
