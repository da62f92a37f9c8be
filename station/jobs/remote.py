"""How commands speak to the engine of a session, when one runs; what they report is read from the journal.

A front end that nobody looks at: it sends the operator's events. What the engine refuses is said in its own words; that
an event had its effect is seen in the journal and nowhere else.
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

PATIENCE = 5.0
"""s within which an event that the engine took in shows in the journal."""
SILENCE = 30.0
"""s without news after which an engine that is waited for counts as hung; it shows itself ten times a second."""
_POLL = 0.05


@contextmanager
def engine(folder: SessionFolder) -> Iterator[Client | None]:
    """A line to the running engine, None when none runs. Raises LinkError when it does not answer in time."""
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
    """The phase that the running engine shows, "silent" when it shows none in time, None when none runs."""
    from station.session.link.address import SilentEngineError

    try:
        with engine(folder) as client:
            return None if client is None else _phase(client)
    except SilentEngineError:
        return "silent"


def _phase(client: Client) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and client.alive:
        snapshot = client.newest
        if snapshot is not None:
            return snapshot.phase.value
        time.sleep(_POLL)
    return "silent"


def wait_for(
    client: Client,
    folder: SessionFolder,
    seen: Callable[[Ledger], bool],
    *,
    number: int,
    about: str = "",
    patience: float | None = PATIENCE,
) -> None:
    """Follow the journal until it shows what event `number` asked for; without `patience` while the engine answers.

    Raises:
        StationError: it was refused, or did not happen; the message holds the engine's reason, or what it said last
            (`about` an episode, if named).
    """
    journal, began, said = Journal(folder.journal), time.monotonic(), "nothing"
    hearing = _Hearing(client)
    while not seen(journal.ledger()):
        if refused := _refusal(client, number):
            raise StationError(refused)
        if hearing.silence > SILENCE:
            raise StationError(
                f"The engine of {folder.path} has shown nothing for {SILENCE:g} s: it is suspended, or hangs. What was "
                "asked of it may still happen. Let it go on, or end it and run the session again; then ask once more."
            )
        said = _newest_sentence(client, about) or said
        late = patience is not None and time.monotonic() - began > patience
        if late or not client.alive:
            raise StationError(f"The engine of {folder.path} did not do it. It said last: {said}")
        time.sleep(_POLL)
        journal.refresh()


class _Hearing:
    """How long ago the engine showed something new."""

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
    """What the engine's log says last about something; empty when it is silent on it."""
    snapshot = client.newest
    return next((line for line in reversed(snapshot.log) if about in line), "") if snapshot else ""
