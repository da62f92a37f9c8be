"""Success rate and episode length against environment steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from textual.events import Resize
from textual_plot import HiResMode, NumericAxisFormatter, PlotWidget

from station.session.snapshot import Counts
from station.tui.wording import count


class Short(NumericAxisFormatter):
    """Tick labels that fit a narrow margin: 12.4k instead of 12400."""

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """See AxisFormatter."""
        exact = (round(tick, 9) + 0.0 for tick in ticks)  # a tick at -2e-16 is one at 0
        return [f"{tick:g}" if abs(tick) < 1000 else count(tick) for tick in exact]


class Plot(PlotWidget, can_focus=False):
    """A plot without focus, zoom or legend, with a title in its upper border."""

    BOTTOM: ClassVar[int] = 2
    """Rows below the plot: for the ticks, and for air."""

    def __init__(self, title: str, *, id: str | None = None) -> None:
        """`title` is in the upper border."""
        super().__init__(id=id, allow_pan_and_zoom=False)
        self.border_title = title
        self.set_x_formatter(Short())
        self.set_y_formatter(Short())

    def on_mount(self) -> None:
        """Narrow margins: the panels are small."""
        self.margin_top = 0
        self.margin_bottom = self.BOTTOM
        self.margin_left = 6
        self.set_xticks([])  # an axis without data has no numbers
        self.set_yticks([])

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.redraw()

    def redraw(self) -> None:
        """Draw the newest data."""
        raise NotImplementedError

    def color(self, variable: str) -> str:
        """A theme colour as a style."""
        return self.app.theme_variables[variable]


class Curve(Plot):
    """A plot of counts against environment steps."""

    def __init__(self, title: str, *, id: str | None = None) -> None:
        """Empty until the first counts."""
        super().__init__(title, id=id)
        self._counts: Counts | None = None

    def show(self, counts: Counts) -> None:
        """Draw what this curve is about, if it changed."""
        if self._counts is not None and self.subject(counts) == self.subject(self._counts):
            return
        self._counts = counts
        self.redraw()

    def subject(self, counts: Counts) -> object:
        """The part of the counts that this curve draws."""
        raise NotImplementedError

    def trace(self, counts: Counts) -> None:
        """Add the data sets to a cleared plot."""
        raise NotImplementedError

    def redraw(self) -> None:
        """See Plot."""
        if self._counts is None or not self.is_mounted:
            return
        self.clear()
        self.set_xlimits(0, 1.03 * max(self._counts.env_steps, 1))
        self.set_xticks(ticks(self._counts.env_steps, at_most=max(2, self.size.width // 10)))
        self.trace(self._counts)


def ticks(end: float, at_most: int) -> list[float]:
    """Round steps from 0 to `end`."""
    for step in (base * 10**power for power in range(8) for base in (1, 2, 5)):
        if end / step <= at_most:
            return [float(tick) for tick in np.arange(0, end + step / 2, step) if tick <= end]
    return [0.0, float(end)]


def _line(points: tuple[tuple[int, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    data = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    return data[:, 0], data[:, 1]


class SuccessCurve(Curve):
    """Rolling success in percent, evaluation points with intervals, and the base as a level line."""

    def subject(self, counts: Counts) -> object:
        """See Curve."""
        return counts.success_curve, counts.evaluations, counts.base_success

    def trace(self, counts: Counts) -> None:
        """See Curve."""
        self.set_ylimits(0, 100)
        self.set_yticks([0, 50, 100])
        if counts.base_success is not None:
            level = 100 * counts.base_success.value
            ends = np.asarray([0.0, max(counts.env_steps, 1)])
            self.plot(
                ends, np.asarray([level, level]), line_style=self.color("muted"), hires_mode=HiResMode.BRAILLE
            )
        if len(counts.success_curve) > 1:
            x, y = _line(counts.success_curve)
            self.plot(x, 100 * y, line_style=self.color("success"), hires_mode=HiResMode.BRAILLE)
        for point in counts.evaluations:
            if point.early:
                continue
            self._evaluation(point.env_steps, point.rate.value, point.rate.low, point.rate.high)

    def _evaluation(self, steps: int, value: float, low: float, high: float) -> None:
        style = self.color("primary")
        self.plot([steps, steps], [100 * low, 100 * high], line_style=style, hires_mode=HiResMode.BRAILLE)
        self.scatter([steps], [100 * value], marker="◆", marker_style=style)


class LengthCurve(Curve):
    """Rolling mean length of an episode in steps."""

    def subject(self, counts: Counts) -> object:
        """See Curve."""
        return counts.length_curve

    def trace(self, counts: Counts) -> None:
        """See Curve."""
        if len(counts.length_curve) < 2:
            return
        x, y = _line(counts.length_curve)
        top = float(y.max()) * 1.1 or 1.0
        self.set_ylimits(0, top)
        self.set_yticks(ticks(top, at_most=3))
        self.plot(x, y, line_style=self.color("warning"), hires_mode=HiResMode.BRAILLE)
