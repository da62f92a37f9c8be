"""The contract of every key source other than the terminal: foot pedals, number pads, global hotkeys.

A source reports which key went down on which device, and when. The front end's table of actions gives keys their
meaning; a source knows none of it. One physical press is one `KeyPress`: repeats of a held key and contact bounces are
dropped here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from datasets.errors import StationError


class KeySourceError(StationError):
    """The device cannot be opened or is lost; the message says which one, why, and what to do now."""


@dataclass(frozen=True, kw_only=True)
class KeyPress:
    """One press of one key."""

    device: str
    """The source's stable name."""
    key: str
    """As the source names it: KEY_B, <ctrl>+<alt>+s."""
    time: float
    """s, monotonic, when it went down (or arrived, where the device gives no time stamp on this clock)."""


class KeySource(ABC):
    """One device, or one desktop listener."""

    device: str
    """Its stable name; starts every error message."""

    @abstractmethod
    def open(self) -> str:
        """Open the device; returns its identity. Raises KeySourceError."""

    @abstractmethod
    def read(self, timeout: float) -> KeyPress | None:
        """Wait for the next press, at most `timeout` s; None if there was none. Raises KeySourceError."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; safe to call twice."""


class Debouncer:
    """Drops contact bounces: a key that goes down again within `quiet` s of its last change."""

    def __init__(self, quiet: float = 0.03) -> None:
        """`quiet`: s; contacts of pedals bounce for up to about 20 ms, people need over 60 ms."""
        self._quiet = quiet
        self._changed: dict[str, float] = {}

    def down(self, key: str, time: float) -> bool:
        """The key went down at `time`; returns whether that is a new press."""
        before = self._changed.get(key)
        self._changed[key] = time
        return before is None or not 0.0 <= time - before < self._quiet

    def up(self, key: str, time: float) -> None:
        """The key came up at `time`."""
        self._changed[key] = time
