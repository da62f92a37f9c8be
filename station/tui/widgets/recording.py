"""Texts of the review screen beside images and curves: pure functions from parts of a recording to text.

All are drawn for the columns and rows there are; a word or letter stands beside every colour.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.content import Content

from datasets.journal.journal import Line
from datasets.journal.records import EpisodeCutOff, Labelled, Pruned, Record, Restored, Voided
from datasets.wording import counted
from station.plain import visible
from station.review.take import Group, Take
from station.tui.widgets.figures import bar
from station.tui.widgets.strip import LETTERS
from station.tui.widgets.trajectory import COLOURS


@dataclass(frozen=True, kw_only=True)
class Head:
    """The recording under review."""

    session: str
    shown: int
    where: str
    live: str


@dataclass(frozen=True, kw_only=True)
class Position:
    """The playback position and the final verdict."""

    frame: int
    frames: int
    seconds: float
    speed: float
    playing: bool
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The values of one frame, the recording's origin, and who labelled it when."""

    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    about: str = ""
    history: tuple[Line[Record], ...] = ()


def reading(take: Take | None, group: Group | None, now: float, history: tuple[Line[Record], ...]) -> Reading:
    """The text below the curves `now` s into the recording."""
    if take is None or group is None or not len(group.time):
        return Reading(about=take.about if take else "", history=history)
    row = max(0, int(group.time.searchsorted(now, side="right")) - 1)
    values = tuple(map(float, group.values[row]))
    return Reading(names=group.names, values=values, about=take.about, history=history)


def draw_head(head: Head, columns: int, rows: int) -> Content:
    """One line."""
    return Content.assemble(
        (" REVIEW ", "$background on $secondary bold"),
        f"  {visible(head.session)}  ",
        (counted(head.shown, "recording"), "$muted"),
        (f"  filter: {head.where}" if head.where else "", "$muted"),
        (f"   live: {head.live}" if head.live else "", "$warning"),
    )


def draw_position(at: Position, columns: int, rows: int) -> Content:
    """The frame on a bar, with the verdict's letter at its end."""
    if not at.frames:
        return Content("")
    share = at.frame / max(1, at.frames - 1)
    sign = "▶" if at.playing else "‖"
    words = f" {sign} {at.speed:g}x  frame {at.frame + 1}/{at.frames}  {at.seconds:.2f} s  "
    mark, style = LETTERS.get(at.verdict, ("", ""))
    room = max(6, columns - len(words) - 1 - 2 * len(mark))
    return Content.assemble(words, (bar(share, room), "$primary"), (f" {mark}", f"{style} bold"))


def draw_reading(model: Reading, columns: int, rows: int) -> Content:
    """Values, origin and verdicts, each wrapped; if rows are short, the newest verdicts stay."""
    values = [
        Content.styled(f"{name} {value:+.3f}", f"${COLOURS[index % len(COLOURS)]}")
        for index, (name, value) in enumerate(zip(model.names, model.values, strict=True))
    ]
    about = [Content.styled(visible(part), "$muted") for part in model.about.split(" · ") if part]
    heads = ["label: ", *["→ "] * len(model.history)]
    told = [
        Content.assemble((head, "$muted"), _told(line))
        for head, line in zip(heads, model.history, strict=False)
    ]
    told = told or [Content.styled("not judged yet", "$muted")]
    blocks = [
        _flow(values, columns, "  "),
        _flow(about, columns, " · "),
        _flow(told, columns, " "),
    ]
    most = [len(block) for block in blocks]
    for block in (1, 2, 0):
        most[block] = max(1, min(most[block], rows - sum(most) + most[block])) if blocks[block] else 0
    shown = [*_first(blocks[0], most[0]), *_first(blocks[1], most[1]), *_last(blocks[2], most[2])]
    return Content("\n").join(shown)


def _told(line: Line[Record]) -> Content:
    """Who gave which verdict, and when; or why it was cut off."""
    moment = (f"{_moment(line.time)} ", "$muted")
    match line.record:
        case EpisodeCutOff(reason=reason):
            return Content.assemble(moment, visible(f"cut off: {reason}"))
        case Labelled(outcome=outcome, by=by):
            words = outcome.value if outcome else "taken back"
        case Voided(by=by):
            words = "void"
        case Restored(by=by):
            words = "restored"
        case Pruned(by=by):
            words = "pruned"
        case _:
            return Content.assemble(moment)
    style = LETTERS.get(words, ("", "$foreground"))[1]
    return Content.assemble(moment, (words, style), (visible(f" by {by}"), "$muted"))


def _moment(stamp: float) -> str:
    """Local time; with the day if not today."""
    moment, now = time.localtime(stamp), time.localtime()
    return time.strftime("%H:%M:%S" if moment[:3] == now[:3] else "%d %b %H:%M", moment)


def _flow(parts: Iterable[Content], columns: int, gap: str) -> list[Content]:
    """As many parts per line as fit."""
    lines: list[Content] = []
    for part in parts:
        if lines and lines[-1].cell_length + len(gap) + part.cell_length <= columns:
            lines[-1] = Content.assemble(lines[-1], (gap, "$muted"), part)
        else:
            lines.append(part)
    return lines


def _first(lines: Sequence[Content], rows: int) -> list[Content]:
    cut = [Content.styled(" …", "$muted")] if len(lines) > rows else []
    return [*lines[: rows - 1], *(Content.assemble(line, *cut) for line in lines[rows - 1 : rows])]


def _last(lines: Sequence[Content], rows: int) -> list[Content]:
    kept = list(lines[len(lines) - rows :])
    if len(lines) > rows:
        kept[0] = Content.assemble(("label: … ", "$muted"), kept[0])
    return kept
