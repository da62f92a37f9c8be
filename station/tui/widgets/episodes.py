"""A list of recordings that costs the same for ten and for ten thousand: only the rows on the screen are drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from station.review.catalogue import Item
from station.tui.widgets.strip import LETTERS

_SIGNS = {
    **{name: sign for name, (sign, _) in LETTERS.items()},
    "partial": "·",
    "pruned": "–",
    "running": "▸",
}
_MOVE = "A newer recording, an older one."
_PAGE = "A page newer, a page older."
_COLOURS = {
    "success": "success",
    "failure": "error",
    "timeout": "warning",
    "pending": "primary",
    "running": "primary",
}


class EpisodeList(ScrollView, can_focus=True, inherit_bindings=False):
    """Recordings, newest first, with a cursor."""

    DEFAULT_CSS = """
    EpisodeList { width: 32; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "newer", show=False, tooltip=_MOVE),
        Binding("down", "move(1)", "older", show=False, tooltip=_MOVE),
        Binding("pageup", "page(-1)", "a page newer", show=False, tooltip=_PAGE),
        Binding("pagedown", "page(1)", "a page older", show=False, tooltip=_PAGE),
    ]

    class Chosen(Message):
        """The cursor stands on another recording."""

        def __init__(self, item: Item) -> None:
            """`item` is below the cursor."""
            super().__init__()
            self.item = item

    def __init__(self, *, id: str | None = None) -> None:
        """Empty."""
        super().__init__(id=id)
        self._items: Sequence[Item] = ()
        self._row = 0
        self.chosen_since = float("-inf")
        """Since when the cursor has been on its recording, s, monotonic."""

    @property
    def chosen(self) -> Item | None:
        """What is below the cursor."""
        return self._items[self._row] if self._row < len(self._items) else None

    def show(self, items: Sequence[Item], select: str | None = None) -> None:
        """Show these; the cursor goes to `select` or stays on its recording, wherever that is now."""
        wanted = select or (self.chosen.id if self.chosen else None)
        before = self.chosen
        self._items = items
        rows = (row for row, item in enumerate(items) if item.id == wanted)
        self._row = next(rows, min(self._row, max(0, len(items) - 1)))
        self.virtual_size = Size(self.size.width, len(items))
        self._keep_in_sight()
        self.refresh()
        if self.chosen is not None and (before is None or before.id != self.chosen.id):
            self._tell(self.chosen)

    def action_move(self, rows: int) -> None:
        """The cursor some rows further."""
        row = min(max(self._row + rows, 0), max(len(self._items) - 1, 0))
        if row == self._row or not self._items:
            return
        self._row = row
        self._keep_in_sight()
        self.refresh()
        self._tell(self._items[row])

    def _tell(self, item: Item) -> None:
        self.chosen_since = time.monotonic()
        self.post_message(self.Chosen(item))

    def action_page(self, pages: int) -> None:
        """The cursor a screenful further."""
        self.action_move(pages * max(1, self.size.height - 1))

    def on_click(self, event: Click) -> None:
        """A click chooses."""
        self.action_move(event.y + int(self.scroll_offset.y) - self._row)

    def on_resize(self, event: Resize) -> None:
        """The rows are as wide as the list."""
        self.virtual_size = Size(event.size.width, len(self._items))

    def _keep_in_sight(self) -> None:
        top, height = int(self.scroll_offset.y), max(1, self.size.height)
        if not top <= self._row < top + height:
            self.scroll_to(
                y=self._row if self._row < top else self._row - height + 1, animate=False, force=True
            )

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        row = y + int(self.scroll_offset.y)
        width = self.scrollable_content_region.width
        if row >= len(self._items):
            return Strip.blank(width, self.rich_style)
        item = self._items[row]
        variables = self.app.theme_variables
        colour = variables[_COLOURS.get(item.verdict, "muted")]
        style = self.rich_style
        if row == self._row:
            style += style.from_color(bgcolor=style.parse(f"on {variables['panel']}").bgcolor) + style.parse(
                "bold"
            )
        words = _words(item, width - 2)
        parts = [Segment(f" {_SIGNS[item.verdict]}", style + style.parse(colour)), Segment(words, style)]
        return Strip(parts).adjust_cell_length(width, style)


def _words(item: Item, width: int) -> str:
    """Name, steps, and where there is room when it was entered."""
    right = f" {_length(item):>5}" + (f" {_when(item):>7}" if width > 36 else "")
    room = max(8, width - len(right) - 1)
    name = item.id if len(item.id) <= room else f"{item.id[: room - 1]}…"
    return f" {name:<{room}}{right}"


def _length(item: Item) -> str:
    return "" if item.steps is None else str(item.steps)


def _when(item: Item) -> str:
    """Local time if today, else the day."""
    moment, now = time.localtime(item.entered), time.localtime()
    return time.strftime("%H:%M" if moment[:3] == now[:3] else "%d %b", moment)
