"""The judge of verdicts: what is refused and why, and the record that an accepted verdict becomes. Pure.

A key's verdict comes here through the machine, that of a command or of the review through `station.jobs.verdicts`.
"""

from __future__ import annotations

from typing import Protocol

from datasets.episode import Ending, Outcome
from datasets.journal.records import Labelled, Restored, Voided
from station.session.core.events import EventSource, Label, Restore, UndoLabel, Void
from station.session.core.state import Keyed

VerdictEvent = Label | UndoLabel | Void | Restore


class Standing(Protocol):
    """What is known about a committed episode."""

    @property
    def outcome(self) -> Outcome | None:
        """Its label; None while that is pending."""

    @property
    def void(self) -> bool:
        """Whether it does not count."""


def objection(
    event: VerdictEvent, standing: Standing | None, *, cut_off: bool = False, pruned: bool = False
) -> str:
    """Why this verdict is refused, in a sentence; empty if it may pass. `standing` is None for unknown episodes."""
    name = event.episode
    if cut_off:
        return f"{name} was cut off: it is not counted and cannot be labelled."
    if pruned:
        return f"The files of {name} were pruned; it stays void."
    if standing is None:
        return f"There is no episode {name}; nothing was changed. Give its full name, e.g. online-000012."
    words = _against(event, standing)
    return f"{name} {words}" if words else ""


def _against(event: VerdictEvent, standing: Standing) -> str:
    match event:
        case Label() | UndoLabel() if standing.void:
            return "is void; restore it before you label it."
        case UndoLabel() if standing.outcome is None:
            return "has no label to take back."
        case Void() if standing.void:
            return "is void already."
        case Restore() if not standing.void:
            return "is not void."
        case _:
            return ""


def record_of(event: VerdictEvent) -> Labelled | Voided | Restored:
    """The line that an accepted verdict becomes."""
    name, by = event.episode, event.source.value
    match event:
        case Label():
            return Labelled(episode=name, outcome=event.outcome, by=by)
        case UndoLabel():
            return Labelled(episode=name, outcome=None, by=by)
        case Void():
            return Voided(episode=name, by=by)
        case Restore():
            return Restored(episode=name, by=by)


def first_verdict(
    episode: str, ending: Ending, key: Keyed | None, *, autopilot: bool
) -> Labelled | Voided | None:
    """The verdict on an episode that has just ended, if it needs no operator.

    A key that ended the motion is its label, and the episode limit is a timeout unless the autopilot labels it.
    """
    if key is not None and key.outcome is None:
        return Voided(episode=episode, by=key.source.value)
    if key is not None:
        return Labelled(episode=episode, outcome=key.outcome, by=key.source.value)
    if ending is Ending.EPISODE_LIMIT and not autopilot:
        return Labelled(episode=episode, outcome=Outcome.TIMEOUT, by=EventSource.SYSTEM.value)
    return None
