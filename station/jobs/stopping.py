"""``station stop``: sets the latch, notifies the engine, and reports what was confirmed and what was not.

The latch alone stops controllers, with or without an engine; but only the engine can confirm that it was seen.
Whether an arm is at rest is measured by its own encoders, where they are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.durable import DiskFullError
from datasets.lock import holder
from station.errors import in_words

if TYPE_CHECKING:
    from station.session.folder import SessionFolder
    from station.session.link.client import Client

PATIENCE = 5.0
"""s that an engine has to confirm a stop."""
BRAKING = 3.0
"""s that arms have to come to rest."""
_AFTERWARDS = "Nothing moves until it is re-armed on the session's screen."
_WATCH = "Watch the arms, and use the emergency stop if one moves."


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Outcome of a stop."""

    sentence: str
    confirmed: bool
    """No process runs that could move an arm, or the engine has confirmed the stop."""


def stop(folder: SessionFolder) -> Stopped:
    """Stop the arms of a session and keep them stopped."""
    from station.session.core.events import EventSource
    from station.session.link.address import LinkError
    from station.session.link.client import set_latch

    trouble = ""
    try:
        set_latch(folder, EventSource.COMMAND)
    except (OSError, DiskFullError) as error:
        trouble = f"The stop latch could not be set: {in_words(error)} "
    try:
        told = _told(folder)
    except LinkError as error:
        return Stopped(sentence=f"{trouble or _SET}{error} {_WATCH}", confirmed=False)
    if told is not None:
        return Stopped(sentence=f"{trouble}{told.sentence}", confirmed=told.confirmed)
    writer = _writer(folder)
    if writer is not None:
        reach = f"Process {writer} works on {folder.path} and cannot be asked whether it has seen the stop."
        return Stopped(sentence=f"{trouble or _SET}{reach} {_WATCH}", confirmed=False)
    if trouble:
        return Stopped(sentence=f"{trouble}No engine runs on {folder.path}.", confirmed=False)
    return Stopped(sentence=f"Stopped. No engine runs on {folder.path}. {_AFTERWARDS}", confirmed=True)


_SET = (
    "The stop is set, and the controllers of real arms obey it without the engine, but nothing confirms it. "
)


def _told(folder: SessionFolder) -> Stopped | None:
    """The engine's answer, None if none runs. Raises LinkError."""
    from station.jobs.remote import engine
    from station.session.core.events import EventSource, Stop

    with engine(folder) as client:
        if client is None:
            return None
        client.send(Stop(source=EventSource.COMMAND))
        if _confirmed(client):
            return _measured(client)
    return Stopped(
        sentence=f"{_SET}The engine of {folder.path} did not answer within {PATIENCE:g} s. {_WATCH}",
        confirmed=False,
    )


def _measured(client: Client) -> Stopped:
    """The arms' motion by their own encoders after a stop that the engine has confirmed."""
    until = time.monotonic() + BRAKING
    while True:
        snapshot = client.newest
        if snapshot is None or snapshot.simulated:
            return Stopped(sentence=f"Stopped. The engine confirms it. {_AFTERWARDS}", confirmed=True)
        motion = snapshot.health.motion
        waited = time.monotonic() > until or not client.alive
        if waited or (motion and all(each is not None and each.stands for each in motion.values())):
            break
        client.wait(0.1)
    moving = {name: each for name, each in motion.items() if each is not None and not each.stands}
    unknown = [name for name, each in motion.items() if each is None]
    if moving:
        words = "; ".join(f"{name} {each}" for name, each in moving.items())
        return Stopped(
            sentence=f"The engine confirms the stop, and yet an arm moves: {words}. {_WATCH}", confirmed=False
        )
    said = "".join(f" Measured: {name} stands ({each})." for name, each in motion.items() if each is not None)
    if unknown or not motion:
        said += f" Whether {', '.join(unknown) or 'the arms'} stands was not measured. {_WATCH}"
    return Stopped(sentence=f"Stopped. The engine confirms it.{said} {_AFTERWARDS}", confirmed=True)


def _confirmed(client: Client) -> bool:
    """Whether the engine shows the stop in time."""
    until = time.monotonic() + PATIENCE
    while client.alive and (left := until - time.monotonic()) > 0:
        snapshot = client.newest
        if snapshot is not None and snapshot.stopped:
            return True
        client.wait(min(left, 0.1))
    return False


def _writer(folder: SessionFolder) -> int | None:
    try:
        return holder(folder.lock)
    except OSError:
        return None
