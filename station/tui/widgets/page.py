"""One guide, drawn from lines that a thread renders from its Markdown.

Textual's own viewer makes a widget of every paragraph and cell. That blocked the key-handling loop for up to 0.3 s
of processor time per page, seconds on a busy machine, and a stop key waits for that loop. Lines take a tenth of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.markdown import Markdown
from rich.segment import Segment
from rich.style import Style
from rich.theme import Theme
from textual import work
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from station.guides.pages import Guide, sections, slug, with_links

WIDEST = 96
"""Columns; longer lines are hard to read."""
_THEME = Theme({"markdown.h1": "bold underline", "markdown.h2": "bold", "markdown.code": "bold cyan"})


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A page rendered for a given number of columns."""

    width: int
    lines: tuple[Strip, ...] = ()
    anchors: Mapping[str, int]
    """Link anchor of a heading -> its line."""


def draw(guide: Guide, width: int) -> Drawn:
    """The page in `width` columns; may take a tenth of a second, and touches no widget."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor", theme=_THEME
    )
    lines: list[Strip] = []
    anchors: dict[str, int] = {}
    for part in sections(guide):
        anchors[slug(part.heading)] = len(lines)
        text = with_links(
            part.text, lambda words, page: f"**{words}**" if words == page else f"{words} (**{page}**)"
        )
        markdown = Markdown(text, hyperlinks=False, code_theme="ansi_dark")
        rendered = console.render_lines(markdown, console.options.update(height=None), pad=False)
        lines += [Strip(Segment.adjust_line_length(line, width)) for line in rendered]
        lines.append(Strip.blank(width))
    return Drawn(width=width, lines=tuple(lines), anchors=anchors)


class Page(ScrollView, can_focus=True):
    """Shows one guide."""

    def __init__(self) -> None:
        super().__init__()
        self._guide: Guide | None = None
        self._anchor: str | None = ""
        """Anchor of the heading to scroll to; None once done, so that a resize does not scroll."""
        self._drawn = Drawn(width=0, anchors={})

    @property
    def guide(self) -> Guide | None:
        """The guide shown."""
        return self._guide

    @property
    def text(self) -> str:
        """The whole text, including what is scrolled out of sight."""
        return "\n".join(line.text.rstrip() for line in self._drawn.lines)

    def show(self, guide: Guide, anchor: str = "") -> None:
        """Show it from the top, or from a heading."""
        self._guide, self._anchor = guide, anchor
        self.border_title = Content(guide.name)
        self._draw()

    def on_resize(self, event: Resize) -> None:
        """Render for the new width."""
        self._draw()

    @work(thread=True, exclusive=True)
    def _draw(self) -> None:
        guide, width = self._guide, min(WIDEST, self.scrollable_content_region.width - 1)
        if guide is not None and width > 0:
            self.app.call_from_thread(self._take, guide, draw(guide, width))

    def _take(self, guide: Guide, drawn: Drawn) -> None:
        if guide is not self._guide:
            return
        self._drawn = drawn
        self.virtual_size = Size(drawn.width, len(drawn.lines))
        if self._anchor is not None:
            self.scroll_to(y=drawn.anchors.get(self._anchor, 0), animate=False, force=True)
            self._anchor = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """See ScrollView."""
        row, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        lines = self._drawn.lines
        line = lines[row] if row < len(lines) else Strip.blank(0)
        ground = Style.from_color(self.rich_style.color, self.rich_style.bgcolor)
        return line.adjust_cell_length(width).apply_style(ground)
