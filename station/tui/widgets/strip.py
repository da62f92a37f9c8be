"""The last episodes as a strip of letters; the colour repeats what the letter says."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from station.session.snapshot import EpisodeMark

LETTERS: dict[str, tuple[str, str]] = {
    "success": ("S", "$success"),
    "failure": ("F", "$error"),
    "timeout": ("T", "$warning"),
    "void": ("V", "$faint"),
    "pending": ("?", "$primary"),
}
"""outcome -> letter and colour; the letter alone says it."""


def letter(mark: EpisodeMark) -> tuple[str, str]:
    """The letter and the style of one episode."""
    sign, style = LETTERS.get(mark.outcome, ("?", "$primary"))
    return (sign.lower(), style) if mark.evaluation else (sign, f"{style} bold")


def outcome_strip(marks: Sequence[EpisodeMark], width: int) -> Content:
    """The newest that fit in one row, newest rightmost, a gap after every tenth counted from the newest."""
    if not marks:
        return Content.styled("no episode yet", "$faint")
    fitting = width - width // 11
    shown = list(marks)[-fitting:]
    parts: list[str | Content | tuple[str, str]] = []
    for index, mark in enumerate(shown):
        parts.append(letter(mark))
        left = len(shown) - 1 - index
        if left and left % 10 == 0:
            parts.append(" ")
    return Content.assemble(*parts)


def legend() -> str:
    """What the letters mean."""
    return "S success F failure T timeout V void ? pending"
