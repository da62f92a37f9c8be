"""Every evaluation point of the session with its interval, against the base's."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from station.session.snapshot import Counts, EvaluationPoint, Rate
from station.tui.attachment import Attachment
from station.tui.screens.base import StationScreen
from station.tui.widgets.curves import SuccessCurve
from station.tui.widgets.intervals import interval_bar
from station.tui.widgets.panel import Panel
from station.tui.wording import count


class EvaluationScreen(StationScreen):
    """Points as a table with bars, and the curve they lie on."""

    CSS_PATH = "evaluation.tcss"
    GUIDE = "evaluation"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,p,q", "back", "back to the session", key_display="esc")
    ]

    def __init__(self, attachment: Attachment) -> None:
        """Follows the session while it is open."""
        super().__init__()
        self._attachment = attachment

    def compose(self) -> ComposeResult:
        """Verdict, curve, points."""
        yield Static("Evaluation against the base", classes="title")
        yield Panel("verdict", _draw_verdict, id="verdict")
        yield SuccessCurve("success % by environment steps", id="curve")
        with VerticalScroll(id="points"):
            yield Panel(
                "points: steps, policy, success, 95% interval from 0 to 100 %, gain over base", _draw_points
            )
        yield Footer()

    def on_mount(self) -> None:
        """Follow the snapshots."""
        self.set_interval(1.0, self._follow)
        self._follow()

    def _follow(self) -> None:
        if self._attachment.shown is None:
            return
        counts = self._attachment.shown.counts
        for panel in self.query(Panel):
            panel.show(counts)
        self.query_one(SuccessCurve).show(counts)

    def action_back(self) -> None:
        """Return to the session."""
        self.dismiss(None)


def _draw_verdict(counts: Counts, columns: int, rows: int) -> Content:
    base, points = counts.base_success, counts.evaluations
    if base is None:
        return Content.styled("The base has not been evaluated: train it, or run station eval.", "$muted")
    if not points:
        return Content.styled("No evaluation block yet. Press e on the session screen for one.", "$muted")
    complete = [point for point in points if not point.early]
    if not complete:
        return Content.styled(
            "No complete evaluation block yet: what was ended early proves little.", "$muted"
        )
    return Content(verdict(base, complete[-1].rate))


def verdict(base: Rate, newest: Rate) -> str:
    """The newest point compared with the base, in a sentence that claims no more than the intervals."""
    gain = 100 * (newest.value - base.value)
    if newest.low > base.high:
        sure = "the intervals are apart: better than its base"
    elif newest.high < base.low:
        sure = "the intervals are apart: worse than its base"
    else:
        sure = "the intervals overlap: it takes more episodes to be sure"
    return f"Newest: {gain:+.0f} points against the base; {sure}."


def _draw_points(counts: Counts, columns: int, rows: int) -> Content:
    width = max(10, columns - 8 - 7 - 9 - 6 - 10)
    lines = [] if counts.base_success is None else [_base_line(counts.base_success, width)]
    lines += [_point_line(point, counts.base_success, width) for point in reversed(counts.evaluations)]
    return Content("\n").join(lines) if lines else Content.styled("none yet", "$faint")


def _base_line(base: Rate, width: int) -> Content:
    return Content.assemble(
        (f"{'base':<15}{base.successes:>4}/{base.n:<4}{100 * base.value:3.0f}%  ", "$muted"),
        interval_bar(base, width, "$muted"),
    )


def _point_line(point: EvaluationPoint, base: Rate | None, width: int) -> Content:
    rate = point.rate
    gain = "" if base is None or point.early else f"  {100 * (rate.value - base.value):+4.0f}"
    version = f"v{point.policy_version}"
    return Content.assemble(
        f"{count(point.env_steps):<8}{version:<7}{rate.successes:>4}/{rate.n:<4}{100 * rate.value:3.0f}%  ",
        interval_bar(rate, width, "$primary"),
        (gain, "bold"),
        (f"  ended early, {rate.n} of {point.wanted}" if point.early else "", "$warning"),
    )
