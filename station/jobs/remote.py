"""How commands talk to a session's running engine; what they report is read from the journal.

A front end without a viewer: it sends the operator's events. Refusals are reported in the engine's words; an event's
effect is confirmed only by the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datasets.errors import StationError
from datasets.journal.journal import Journal, Ledger

if TYPE_CHECKING:
    from station.session.folder import SessionFolder
    from station.session.link.client import Client
    from station.session.snapshot import Snapshot

PATIENCE = 5.0
"""s that an accepted event has to appear in the journal."""
SILENCE = 30.0
"""s without a snapshot after which the engine counts as hung; it sends ten a second."""
_POLL = 0.05


@contextmanager
def engine(folder: SessionFolder) -> Iterator[Client | None]:
    """A line to the running engine, None if none runs. Raises LinkError if it does not answer in time."""
    from station.session.link.address import NoEngineError
    from station.session.link.client import Client

    try:
        client = Client.connect(folder.path)
    except NoEngineError:
        yield None
        return
    try:
        yield client
    finally:
        client.close()


def live_state(folder: SessionFolder) -> str | None:
    """The running engine's phase, "silent" if it sends none in time, None if none runs."""
    from station.session.link.address import SilentEngineError

    try:
        snapshot = live_snapshot(folder)
    except SilentEngineError:
        return "silent"
    return None if snapshot is None else snapshot.phase.value


def live_snapshot(folder: SessionFolder, patience: float = PATIENCE) -> Snapshot | None:
    """A view of the running engine, None if none runs. Raises LinkError: it sends none within `patience` s."""
    from station.session.link.address import SilentEngineError

    with engine(folder) as client:
        if client is None:
            return None
        end = time.monotonic() + patience
        while client.newest is None:
            if time.monotonic() >= end or not client.alive:
                raise SilentEngineError(f"The engine of {folder.path} shows nothing.")
            client.wait(_POLL)
        return client.newest


def wait_for(
    client: Client,
    folder: SessionFolder,
    seen: Callable[[Ledger], bool],
    *,
    number: int,
    about: str = "",
    patience: float | None = PATIENCE,
) -> None:
    """Follow the journal until it shows the effect of event `number`; without `patience`, while the engine answers.

    Raises:
        StationError: it was refused or had no effect; the message holds the engine's reason, or its last log line
            (`about` an episode, if named).
    """
    journal, began, said = Journal(folder.journal), time.monotonic(), "nothing"
    hearing = _Hearing(client)
    while not seen(journal.ledger()):
        if refused := _refusal(client, number):
            raise StationError(refused)
        if hearing.silence > SILENCE:
            raise StationError(
                f"The engine of {folder.path} has shown nothing for {SILENCE:g} s: it is suspended, or hangs. What "
                "was asked of it may still happen. Let it continue, or end it and run the session again; then ask once "
                "more."
            )
        said = _newest_sentence(client, about) or said
        late = patience is not None and time.monotonic() - began > patience
        if late or not client.alive:
            raise StationError(f"The engine of {folder.path} did not do it. It said last: {said}")
        time.sleep(_POLL)
        journal.refresh()


class _Hearing:
    """Time since the engine's last new snapshot."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._newest = client.newest
        self._since = time.monotonic()

    @property
    def silence(self) -> float:
        """In s."""
        if self._client.newest is not self._newest:
            self._newest, self._since = self._client.newest, time.monotonic()
        return time.monotonic() - self._since


def _refusal(client: Client, number: int) -> str:
    return next((ack.refused for ack in client.acks if ack.number == number), "")


def _newest_sentence(client: Client, about: str) -> str:
    """The engine's last log line about something; empty if none."""
    snapshot = client.newest
    return next((line for line in reversed(snapshot.log) if about in line), "") if snapshot else ""
