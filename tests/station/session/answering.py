"""Events that name what the session asks now: the eyes of a test's operator."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, TypeVar

from station.session.core.events import Answer, Event, Go, Rearm, Resume

E = TypeVar("E", bound=Event)

HERE = -1
"""Stands for the question of the moment at which the event is sent."""


class Asking(Protocol):
    """A state or a snapshot."""

    @property
    def question(self) -> int: ...


def go() -> Go:
    return Go(answers=HERE)


def resume() -> Resume:
    return Resume(answers=HERE)


def rearm() -> Rearm:
    return Rearm(answers=HERE)


def answering(event: E, asking: Asking) -> E:
    """The event as somebody would send it who sees this."""
    if isinstance(event, Answer) and event.answers == HERE:
        return replace(event, answers=asking.question)
    return event
