"""What all full screens share: they say so when the terminal is too small, and recover when it grows."""

from __future__ import annotations

from typing import ClassVar

from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static


class TooSmall(Static):
    """Covers a screen that does not fit."""

    DEFAULT_CSS = """
    TooSmall {
        layer: cover; display: none; width: 100%; height: 100%;
        content-align: center middle; background: $background; text-align: center; padding: 0 2;
    }
    """


class StationScreen(Screen[None]):
    """A full screen with a smallest size; keys work whatever the size."""

    DEFAULT_CSS = """
    StationScreen { layers: default cover; overflow: hidden; }
    """

    SMALLEST: ClassVar[tuple[int, int]] = (80, 24)
    """Columns and rows that the layout needs."""

    def on_resize(self, event: Resize) -> None:
        """Cover the screen while it does not fit."""
        columns, rows = self.SMALLEST
        fits = event.size.width >= columns and event.size.height >= rows
        cover = self._lid()
        cover.display = not fits
        if not fits:
            cover.update(
                f"This terminal has {event.size.width} x {event.size.height} characters.\n"
                f"This screen needs {columns} x {rows}.\n"
                "Make the window larger or the font smaller.\n"
                "Keys work all the same; Ctrl+X stops."
            )

    def _lid(self) -> TooSmall:
        found = self.query(TooSmall)
        if found:
            return found.first()
        cover = TooSmall()
        self.mount(cover)
        return cover
