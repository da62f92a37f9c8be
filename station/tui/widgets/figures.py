"""Texts of the session screen's panels: pure functions from parts of a snapshot to text.

All fit the given columns and rows; every colour is paired with a symbol.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.content import Content

from datasets.log_lines import CLOCK_WIDTH
from datasets.wording import counted
from station.session.snapshot import Counts, LiveHealth, LiveSteering, TimeLedger
from station.tui.widgets.intervals import rate_line
from station.tui.wording import about, count, duration, figure

NAMES: dict[str, str] = {
    "rms_ratio": "RMS ratio",
    "q": "Q",
    "q_mean": "Q",
    "critic_loss": "critic loss",
    "actor_loss": "actor loss",
    "alpha": "alpha",
}
"""Metric -> words, in the order of the panel; other metrics follow under their own names."""


def bar(share: float, width: int) -> str:
    """A progress bar of `width` cells."""
    full = min(width, max(0, round(share * width)))
    return "━" * full + "┄" * (width - full)


def success(counts: Counts, columns: int, rows: int) -> Content:
    """Rolling rate over the base's and the newest evaluation points, all on one scale, then the counts."""
    lines = [
        rate_line("rolling", counts.rolling, columns, "$success"),
        rate_line("base", counts.base_success, columns, "$muted"),
    ]
    room = max(0, rows - 3)
    newest = counts.evaluations[-room:] if room else ()
    lines += [
        rate_line(
            f"{'part' if point.early else 'eval'} {count(point.env_steps)}",
            point.rate,
            columns,
            "$muted" if point.early else "$primary",
        )
        for point in newest
    ]
    if not counts.evaluations and room:
        lines.append(Content.styled("no evaluation point yet", "$faint"))
    lines += [Content("")] * (rows - 1 - len(lines))
    lines.append(_tally(counts))
    return Content("\n").join(lines)


def _tally(counts: Counts) -> Content:
    parts = [("S", counts.success), ("F", counts.failure), ("T", counts.timeout), ("V", counts.void)]
    parts += [("cut", counts.cut_off)] if counts.cut_off else []
    words = "  ".join(f"{sign} {number}" for sign, number in parts)
    return Content.assemble((f"{counts.episodes} online: ", "$muted"), words)


def steering(live: LiveSteering, columns: int, rows: int) -> Content:
    """The running update block, then the learner's figures in two columns."""
    lines = [_block(live, columns)]
    ordered = [name for name in NAMES if name in live.metrics]
    ordered += [name for name in live.metrics if name not in NAMES]
    cells = [(NAMES.get(name, name.replace("_", " ")), figure(live.metrics[name])) for name in ordered]
    lines += _pairs(cells, columns)[: max(0, rows - 1)]
    if not cells:
        lines.append(Content.styled("figures come with the next update", "$faint"))
    return Content("\n").join(lines)


def _block(live: LiveSteering, columns: int) -> Content:
    if live.reading:
        return Content.assemble(("reading back ", "$muted"), counted(live.reading, "past episode"))
    if live.warmup_left:
        return Content.assemble(
            ("warm-up ", "$muted"), f"{counted(live.warmup_left, 'chunk')} until the first update"
        )
    if not live.planned:
        return Content.styled("at rest between update blocks", "$muted")
    words = f" {live.done}/{live.planned}  {live.rate:.0f}/s"
    return Content.assemble(
        ("updates ", "$muted"),
        (bar(live.done / live.planned, max(4, columns - 8 - len(words))), "$primary"),
        words,
    )


def _pairs(cells: Sequence[tuple[str, str]], columns: int) -> list[Content]:
    """Two name-value cells a line."""
    half = columns // 2
    texts = [
        Content.assemble((f"{name[: half - 9]:<{half - 9}} ", "$muted"), f"{value:>7} ")
        for name, value in cells
    ]
    return [Content("").join(texts[index : index + 2]) for index in range(0, len(texts), 2)]


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """What the health panel shows."""

    live: LiveHealth
    moving: bool
    """At rest the control rate is meaningless; arms and frames are still checked."""


def health(vitals: Vitals, columns: int, rows: int) -> Content:
    """Achieved rate, frame ages, disk and memory; ``!`` marks problems."""
    live = vitals.live
    slow = vitals.moving and 0 < live.achieved_hz < 0.9 * live.wanted_hz
    old = not live.frame_age or any(age > live.oldest_frame for age in live.frame_age.values())
    rate = f"{live.achieved_hz:.1f} of {live.wanted_hz:.0f} Hz" if vitals.moving else "at rest"
    rate = f"{', '.join(live.arms_wrong)} not ready" if live.arms_wrong else rate
    held_back = f"  held back {live.interventions}" if live.interventions else ""
    room = f"{_hours(live.disk_hours)} of recording left, memory {_memory(live.memory_mb)}"
    lines = [
        _state(slow or bool(live.arms_wrong), "control", rate + held_back),
        _state(old, "frames", _ages(live, columns - 11)),
        _decision(live),
        _state(live.disk_hours < 1, "disk", room),
    ]
    return Content("\n").join(lines[:rows])


def _ages(live: LiveHealth, room: int) -> str:
    """The age of each camera's newest frame; where they do not fit, of the oldest: it is the one to look at."""
    ages = sorted(live.frame_age.items(), key=lambda each: each[1], reverse=True)
    every = "  ".join(f"{name} {1000 * age:.0f} ms" for name, age in live.frame_age.items())
    if len(every) <= room:
        return every or "no frame yet"
    (name, age), *others = ages
    return f"{name} {1000 * age:.0f} ms" + (f", oldest of {len(ages)}" if others else "")


def _decision(live: LiveHealth) -> Content:
    """From observation to plan; longer than the overlap or a control period, the arm slows down between chunks."""
    if live.decision is None or not live.wanted_hz:
        return _state(False, "decision", "none yet")
    limit = max(1, live.overlap) / live.wanted_hz
    words = f"{1000 * live.decision:.0f} of {1000 * limit:.0f} ms"
    return _state(live.decision > limit, "decision", words)


def _state(bad: bool, name: str, words: str) -> Content:
    sign = ("! ", "$error bold") if bad else ("✓ ", "$success")
    return Content.assemble(sign, (f"{name:<9}", "$muted"), words)


def _hours(hours: float) -> str:
    return "over 1000 h" if hours > 1000 else f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h"


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


LEDGER: tuple[tuple[str, str, str], ...] = (
    ("moving", "M", "$primary"),
    ("waiting", "W", "$warning"),
    ("labelling", "L", "$secondary"),
    ("updating", "U", "$success"),
    ("other", "·", "$faint"),
)
"""Field of the time ledger, its letter in the bar, its colour."""


def time_ledger(ledger: TimeLedger, columns: int, rows: int) -> Content:
    """Time spent, as a bar of letters and in words, and time left."""
    spent = [(name, sign, style, getattr(ledger, name)) for name, sign, style in LEDGER]
    total = sum(entry[3] for entry in spent)
    lines = [_stacked(((sign, style, seconds) for _, sign, style, seconds in spent), total, columns)]
    cells = [
        Content.assemble((f"{sign} {name:<9} ", style), f"{duration(seconds):>7}")
        for name, sign, style, seconds in spent
    ]
    left = Content.assemble(
        ("ETA ", "$muted"), about(ledger.eta) if ledger.eta is not None else "no goal set"
    )
    cells.append(left)
    lines += [Content("  ").join(cells[index : index + 2]) for index in range(0, len(cells), 2)]
    return Content("\n").join(lines[:rows])


def _stacked(entries: Iterable[tuple[str, str, float]], total: float, columns: int) -> Content:
    if total <= 0:
        return Content.styled("┄" * columns, "$faint")
    parts: list[tuple[str, str]] = []
    done, drawn = 0.0, 0
    for sign, style, seconds in entries:
        done += seconds
        until = round(columns * done / total)
        parts.append((sign * (until - drawn), style))
        drawn = until
    return Content.assemble(*parts)


def log(lines: Sequence[str], columns: int, rows: int) -> Content:
    """The newest lines, newest last, each in full: what does not fit beside its time wraps below it."""
    if rows <= 0 or columns <= 0:
        return Content("")
    shown: list[str] = []
    for line in reversed(lines):
        wrapped = _wrapped(line, columns)
        if shown and len(wrapped) + len(shown) > rows:
            break
        shown[:0] = wrapped[:rows]
    return Content("\n").join(Content(line) for line in shown)


def _wrapped(line: str, columns: int) -> list[str]:
    hanging = " " * CLOCK_WIDTH if columns > 3 * CLOCK_WIDTH else ""
    return textwrap.wrap(line, columns, subsequent_indent=hanging) or [""]
