"""The numbers of a recording over time, with a line at the frame that is shown."""

from __future__ import annotations

import numpy as np
from textual.content import Content
from textual_plot import HiResMode

from datasets.observation import FloatArray, TimeArray
from station.review.take import Group
from station.tui.widgets.curves import Plot, ticks

COLOURS = ("primary", "success", "warning", "error", "secondary", "foreground", "muted")
"""Of the columns, in turn."""


class Trajectory(Plot):
    """One group of numbers."""

    def __init__(self, *, id: str | None = None) -> None:
        """Empty."""
        super().__init__("", id=id)
        self._group: Group | None = None
        self._now = 0.0
        self._drawn: object = None

    BOTTOM = 1

    def show(self, group: Group | None, now: float) -> None:
        """Draw `group` with a line at `now` s; a line that would fall into the same column is not drawn again."""
        column = round(now / self._span(group) * max(1, self.size.width)) if group is not None else 0
        if (id(group), column) == self._drawn:
            return
        self._group, self._now, self._drawn = group, now, (id(group), column)
        self.border_title = Content(group.title) if group is not None else ""
        self.redraw()

    def redraw(self) -> None:
        """See Plot."""
        group = self._group
        if not self.is_mounted:
            return
        self.clear()
        drawable = group is not None and len(group.time) > 1 and bool(np.isfinite(group.values).any())
        self.visible = drawable
        if group is None or not drawable:
            return
        low, high = float(np.nanmin(group.values)), float(np.nanmax(group.values))
        room = 0.05 * (high - low) or 0.5
        self.set_xlimits(0, self._span(group))
        self.set_xticks(ticks(self._span(group), at_most=max(2, self.size.width // 12)))
        self.set_ylimits(low - room, high + room)
        # a rounded -0.0 would read as -0
        self.set_yticks([round(low, 2) + 0.0, round(high, 2)])
        time, values = thinned(group.time, group.values, max(2, self.size.width))
        for column in range(values.shape[1]):
            style = self.color(COLOURS[column % len(COLOURS)])
            self.plot(time, values[:, column], line_style=style, hires_mode=HiResMode.BRAILLE)
        ends = [low - room, high + room]
        self.plot(
            [self._now, self._now], ends, line_style=self.color("foreground"), hires_mode=HiResMode.BRAILLE
        )

    @staticmethod
    def _span(group: Group | None) -> float:
        return max(float(group.time[-1]), 1e-3) if group is not None and len(group.time) else 1.0


def thinned(time: TimeArray, values: FloatArray, columns: int) -> tuple[TimeArray, FloatArray]:
    """Of a recording with many more steps than the screen has columns, the lowest and highest of each column.

    `time` [M] and `values` [M, n] -> at most [2 columns]; what is shorter stays as it is.
    """
    if len(time) <= 2 * columns:
        return time, values
    starts = np.linspace(0, len(time), columns, endpoint=False).astype(np.int64)
    ends = np.stack([np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)], axis=1)
    return np.repeat(time[starts], 2), ends.reshape(2 * columns, -1)
