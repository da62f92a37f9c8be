"""Why a press is not obeyed because of when it was made, whatever it asks for. The machine knows no time but its own.

A press is taken in late when the engine, the screen or the machine stood still, and nobody knows what its presser sees
by then.
"""

from __future__ import annotations

from station.session.core.events import STALE, Envelope
from station.session.core.machine import starts
from station.session.core.state import State


def objection(envelope: Envelope, state: State) -> str:
    """Why this is not obeyed now, in a sentence; empty when it may be.

    What this process posts itself (number 0) has travelled nowhere and has no age.
    """
    if envelope.number and envelope.age > STALE and starts(state, envelope.event):
        return (
            f"Not done: the key was pressed {envelope.age:.1f} s before it could be obeyed. "
            "Look at the screen, then press again."
        )
    return ""
