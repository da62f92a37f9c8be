"""The numbers of a recording over time, with a line at the frame that is shown."""

from __future__ import annotations

import numpy as np
from textual_plot import HiResMode

from station.review.take import Group
from station.tui.widgets.curves import Plot, ticks

COLOURS = ("primary", "success", "warning", "error", "secondary", "foreground", "muted")
"""Of the columns, in turn."""


class Trajectory(Plot):
    """One group of numbers."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Empty."""
        super().__init__("", id=id)
        self._group: Group | None = None
        self._now = 0.0
        self._drawn: object = None

    def show(self, group: Group | None, now: float) -> None:
        """Draw `group` with a line at `now` s; a line that would fall into the same column is not drawn again."""
        column = round(now / self._span(group) * max(1, self.size.width)) if group is not None else 0
        if (id(group), column) == self._drawn:
            return
        self._group, self._now, self._drawn = group, now, (id(group), column)
        self.border_title = group.title if group is not None else ""
        self.redraw()

    def redraw(self) -> None:
        """See Plot."""
        group = self._group
        if not self.is_mounted:
            return
        self.clear()
        if group is None or len(group.time) < 2 or not np.isfinite(group.values).any():
            return
        low, high = float(np.nanmin(group.values)), float(np.nanmax(group.values))
        room = 0.05 * (high - low) or 0.5
        self.set_xlimits(0, self._span(group))
        self.set_xticks(ticks(self._span(group), at_most=max(2, self.size.width // 12)))
        self.set_ylimits(low - room, high + room)
        self.set_yticks([round(low, 2), round(high, 2)])
        for column in range(group.values.shape[1]):
            style = self.color(COLOURS[column % len(COLOURS)])
            self.plot(group.time, group.values[:, column], line_style=style, hires_mode=HiResMode.BRAILLE)
        ends = [low - room, high + room]
        self.plot(
            [self._now, self._now], ends, line_style=self.color("foreground"), hires_mode=HiResMode.BRAILLE
        )

    @staticmethod
    def _span(group: Group | None) -> float:
        return max(float(group.time[-1]), 1e-3) if group is not None and len(group.time) else 1.0
