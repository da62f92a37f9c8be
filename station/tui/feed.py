"""What the UI needs from a session engine: its newest snapshot, and a way to send it events.

The engine is another process. A feed never blocks the UI: `latest` hands over what has already arrived, `send` puts
an event on its way, and `stop` sets the latch without asking the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from datasets.errors import StationError
from station.session.core.events import OperatorEvent
from station.session.snapshot import Snapshot


class FeedError(StationError):
    """The engine cannot be reached or started; the message says what to do now."""


class Feed(Protocol):
    """One front end's line to a running engine."""

    def latest(self) -> Snapshot | None:
        """The newest snapshot, None before the first; tells the engine that someone is watching."""

    def unseen(self) -> Snapshot | None:
        """The same while no one can see the screen; the engine counts it as gone."""

    def send(self, event: OperatorEvent, pressed: float) -> int:
        """Send an event and return its number; `pressed` is when its key went down, s, monotonic.

        Raises FeedError when the line is broken.
        """

    def stop(self) -> str:
        """Set the stop latch, with or without an engine, then notify it; returns why both failed."""

    def answers(self) -> Mapping[int, str]:
        """Number of a sent event -> why the engine refused it, empty where it was obeyed."""

    @property
    def holds_keys(self) -> bool:
        """Whether this front end's keys are accepted; another one may hold them."""

    def take_keys(self) -> None:
        """Ask for the keys."""

    @property
    def alive(self) -> bool:
        """Whether the line is still open."""

    def close(self) -> None:
        """Disconnect; the engine keeps running."""


class Engines(Protocol):
    """Finds and starts engines."""

    def attach(self, folder: Path) -> Feed | None:
        """A line to the engine of this session, None when none listens yet. Raises FeedError: it does not answer."""

    def start(self, folder: Path) -> None:
        """Start an engine that outlives the UI. Raises FeedError."""

    def end(self, folder: Path) -> None:
        """Ask the engine started here to end, if it still runs."""

    def stop(self, folder: Path) -> str:
        """Set the stop latch of this session without a line to its engine; returns why not, else an empty string."""

    def absence(self, folder: Path) -> str:
        """Why no engine answers, and what to do; never raises, whatever is at the path."""

    def obituary(self, folder: Path) -> str | None:
        """Why the engine started here is not running, or that the session is gone; else None."""
