"""A success rate with its interval, drawn on one line from 0 to 100 %, so that rates below each other compare."""

from __future__ import annotations

from textual.content import Content

from station.session.snapshot import Rate


def interval_bar(rate: Rate | None, width: int, style: str) -> Content:
    """``····├──●───┤····`` over `width` cells; dots alone when nothing was measured."""
    if rate is None or rate.n == 0 or width < 5:
        return Content.styled("·" * width, "$faint")
    low, middle, high = (_cell(value, width) for value in (rate.low, rate.value, rate.high))
    span = ["─"] * (high - low + 1)
    span[0], span[-1] = "├", "┤"
    span[middle - low] = "●"
    return Content.assemble(
        ("·" * low, "$faint"), ("".join(span), style), ("·" * (width - 1 - high), "$faint")
    )


def _cell(value: float, width: int) -> int:
    return min(width - 1, max(0, round(value * (width - 1))))


def rate_line(name: str, rate: Rate | None, width: int, style: str) -> Content:
    """Name, percentage, bar and count on one line of `width` cells."""
    measured = rate is not None and rate.n > 0
    value = f"{100 * rate.value:3.0f}%" if rate is not None and measured else "   –"
    tail = f"{rate.successes}/{rate.n}" if rate is not None and measured else "none yet"
    bar = interval_bar(rate, max(0, width - 11 - 4 - 2 - 9), style)
    return Content.assemble(
        (f"{name[:10]:<11}", "$muted"), (value, f"{style} bold"), " ", bar, " ", (f"{tail:>9}", "$muted")
    )
