"""How figures are written on the screen: rates, durations, counts. Always the same width for the same kind."""

from __future__ import annotations

import math

from station.session.snapshot import Rate


def rate_words(rate: Rate | None) -> str:
    """``62% [48–75] of 50``, or a dash when nothing was measured."""
    if rate is None or rate.n == 0:
        return "–"
    return f"{100 * rate.value:.0f}% [{100 * rate.low:.0f}–{100 * rate.high:.0f}] of {rate.n}"


def duration(seconds: float | None) -> str:
    """``0:42``, ``12:05``, ``3h 04m``, ``2d 03h``; a dash for what is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 48 * 3600:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def about(seconds: float | None) -> str:
    """A time left as people say it: ``about 12 s``, ``about 4 min``."""
    if seconds is None or not math.isfinite(seconds):
        return "time left unknown"
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def count(value: float) -> str:
    """``850``, ``12.4k``, ``3.1M``."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / {'M': 1e6, 'k': 1e3}[unit]:.1f}{unit}"
    return f"{value:.0f}"


def figure(value: float) -> str:
    """A learner's figure in at most seven characters."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:.1e}"
