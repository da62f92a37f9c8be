"""A camera image in half blocks: two pixels per character cell, so it works over SSH and in tmux.

Colours are quantised to four bits a channel: neighbouring cells become equal, runs of them merge into one segment,
styles come from a cache, and only rows that changed are redrawn. Not an image viewer: it knows no zoom.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from datasets.observation import Image

UPPER_HALF = "▀"


@lru_cache(maxsize=32768)
def _style(upper: int, lower: int) -> Style:
    """Colours are 0xRGB."""
    return Style(color=_color(upper), bgcolor=_color(lower))


@lru_cache(maxsize=4096)
def _color(code: int) -> Color:
    red, green, blue = (code >> 8) & 15, (code >> 4) & 15, code & 15
    return Color.from_rgb(red * 17, green * 17, blue * 17)


def fit(image: Image, columns: int, rows: int) -> Image:
    """Scale into `columns` x 2 `rows` pixels, keeping the aspect (a half block is about square)."""
    height, width = image.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    size = max(1, round(width * scale)), max(2, round(height * scale) // 2 * 2)
    if size == (width, height):
        return image
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def quantise(image: Image) -> NDArray[np.int64]:
    """uint8 [h, w, 3] -> 0xRGB with four bits a channel, [h, w]."""
    nibbles = np.minimum(image.astype(np.int64) + 8, 255) >> 4
    packed: NDArray[np.int64] = (nibbles[..., 0] << 8) | (nibbles[..., 1] << 4) | nibbles[..., 2]
    return packed


def half_blocks(codes: NDArray[np.int64]) -> list[Strip]:
    """Codes [2 n, w] of `quantise` -> n strips, one per two rows of pixels, runs of equal cells merged."""
    return [_strip((upper << 12) | lower) for upper, lower in zip(codes[0::2], codes[1::2], strict=True)]


def _strip(pairs: NDArray[np.int64]) -> Strip:
    edges = np.flatnonzero(np.diff(pairs)) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(pairs)]
    values = pairs[starts].tolist()
    segments = [
        Segment(UPPER_HALF * (end - start), _style(pair >> 12, pair & 0xFFF))
        for start, end, pair in zip(starts, ends, values, strict=True)
    ]
    return Strip(segments, len(pairs))


class CameraTile(Widget):
    """One camera; in READY the target layout is blended over the live image every other beat."""

    DEFAULT_CSS = """
    CameraTile { height: 1fr; width: 1fr; }
    """

    def __init__(self, camera: str, *, words: str = "live") -> None:
        """`camera` and `words` (what kind of image it shows, if that must be said) are the title."""
        super().__init__()
        self.camera = camera
        self._words = words
        self.border_title = self._caption = Content(camera)
        self._image: Image | None = None
        self._codes: NDArray[np.int64] | None = None
        self._strips: list[Strip] = []

    @property
    def drawn(self) -> bool:
        """Whether an image is shown."""
        return bool(self._strips)

    def show(self, live: Image | None, target: Image | None = None, *, blend: bool = False) -> None:
        """Show the live image, or the target layout blended over it; None: no image yet."""
        image = live
        if blend and target is not None and live is not None:
            image = cv2.addWeighted(live, 0.4, target, 0.6, 0.0).astype(np.uint8)
        self._entitle(wanted=blend and target is not None, live=live is not None)
        self._image = image
        self._draw()

    def _entitle(self, *, wanted: bool, live: bool) -> None:
        state = "no image" if not live else "WANTED LAYOUT" if wanted else self._words
        title = f"{self.camera} · {state}" if state else self.camera
        if self._caption.plain != title:
            self.border_title = self._caption = Content(title)

    def _draw(self) -> None:
        """Rasterise at the current size and refresh the rows that differ."""
        columns, rows = self.size
        if self._image is None or columns < 2 or rows < 1:
            return
        codes = quantise(fit(self._image, columns, rows))
        before, self._codes = self._codes, codes
        if before is None or before.shape != codes.shape:
            self._strips = half_blocks(codes)
            self.refresh()
            return
        changed = np.flatnonzero((before != codes).any(axis=1).reshape(-1, 2).any(axis=1)).tolist()
        for row in changed:
            self._strips[row] = _strip((codes[2 * row] << 12) | codes[2 * row + 1])
        self._refresh_rows(changed)

    def _refresh_rows(self, rows: list[int]) -> None:
        top = self._offset_y()
        if rows:
            self.refresh(*(Region(0, top + row, self.size.width, 1) for row in rows))

    def _offset_y(self) -> int:
        return max(0, (self.size.height - len(self._strips)) // 2)

    def on_resize(self, event: Resize) -> None:
        """Rasterise again."""
        self._codes = None
        self._draw()

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        row = y - self._offset_y()
        width = self.size.width
        if not 0 <= row < len(self._strips):
            return Strip.blank(width, self.rich_style)
        strip = self._strips[row]
        left = max(0, (width - strip.cell_length) // 2)
        blank = Segment(" " * left, self.rich_style)
        return Strip([blank, *strip], left + strip.cell_length).adjust_cell_length(width, self.rich_style)
