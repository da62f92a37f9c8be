"""Base of all full screens: reports a terminal that is too small, and recovers when it grows.

Also what screens know of the app that shows them.
"""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import App
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static


class TooSmall(Static):
    """Shown over a screen that does not fit."""

    DEFAULT_CSS = """
    TooSmall {
        layer: cover; display: none; width: 100%; height: 100%;
        content-align: center middle; background: $background; text-align: center; padding: 0 2;
    }
    """


SAFE_UNSEEN = ("stop", "leave", "back", "cancel")
"""Actions that are safe without seeing the screen: they stop, brake or leave."""


class TakesKeys:
    """What screens and dialogs share: they know since when they take keys."""

    came_up: float = float("-inf")
    """s, monotonic: since when it is the one that takes keys."""

    def on_screen_resume(self) -> None:
        """Ignore keys that went down earlier: they were meant for another screen."""
        self.came_up = time.monotonic()


class ScreenApp(App[int]):
    """The app, as far as its screens know it."""

    key_time: float | None = None
    """When the key being handled was read from the terminal, s, monotonic: a busy loop handles it later."""


class StationScreen(TakesKeys, Screen[None]):
    """A full screen with a minimum size; below it the screen is hidden, and only a few keys work."""

    DEFAULT_CSS = """
    StationScreen { layers: default cover; overflow: hidden; }
    """

    SMALLEST: ClassVar[tuple[int, int]] = (80, 24)
    """Columns and rows that the layout needs."""
    GUIDE: ClassVar[str] = "first-session"
    """Which guide opens first from here."""
    app: ScreenApp

    @property
    def covered(self) -> bool:
        """Whether the terminal is too small to show this screen."""
        columns, rows = self.SMALLEST
        return self.is_mounted and (self.outer_size.width < columns or self.outer_size.height < rows)

    def works_unseen(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Whether an action is safe without seeing this screen: it stops, brakes or leaves."""
        return action in SAFE_UNSEEN

    def unseen_keys(self) -> str:
        """What can be pressed while this screen is covered."""
        return "Only leaving works meanwhile."

    def on_resize(self, event: Resize) -> None:
        """Cover the screen while it does not fit."""
        cover = self._lid()
        cover.display = self.covered
        self.tell_unseen("")

    def tell_unseen(self, answer: str) -> None:
        """Show the last key's outcome on the cover."""
        columns, rows = self.SMALLEST
        self._lid().update(
            f"This terminal has {self.outer_size.width} x {self.outer_size.height} characters.\n"
            f"This screen needs {columns} x {rows}.\n"
            f"Make the window larger or the font smaller.\n{self.unseen_keys()}\n{answer}"
        )

    def _lid(self) -> TooSmall:
        found = self.query(TooSmall)
        if found:
            return found.first()
        cover = TooSmall(markup=False)
        self.mount(cover)
        return cover
