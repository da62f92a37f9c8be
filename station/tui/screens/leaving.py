"""Asks once on leaving whether the engine should keep running."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from station.tui.screens.dialog import Dialog


class Leaving(StrEnum):
    """How to leave."""

    KEEP = "keep"
    END = "end"


class LeaveScreen(Dialog[Leaving]):
    """k keeps the engine running, e ends it, Escape stays."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "choose('keep')", "keep it running", show=False),
        Binding("e", "choose('end')", "end it", show=False),
        Binding("q", "cancel", "stay", show=False),
    ]

    def __init__(self, *, simulated: bool) -> None:
        """On a real cell, says that the arm brakes when no one watches."""
        super().__init__()
        self._simulated = simulated

    def compose(self) -> ComposeResult:
        """Three choices."""
        alone = (
            "the simulated session keeps running" if self._simulated else "the arm brakes, the session pauses"
        )
        with Vertical(classes="box") as box:
            box.border_title = "Leave this session?"
            yield Static(choice("k", "Keep the engine running", f"{alone}; 'station attach' comes back"))
            yield Static(
                choice("e", "End the engine", "at the next safe instant; everything committed stays")
            )
            yield Static(choice("esc", "Stay", "nothing changes"))

    def action_choose(self, leaving: str) -> None:
        """Answer."""
        self.dismiss(Leaving(leaving))


def choice(key: str, words: str, meaning: str) -> Content:
    """A line of a dialog: the key, what it does, and what that means below it."""
    return Content.assemble(
        (f"{key:>4}  ", "$primary bold"), (words, "bold"), ("\n      " + meaning, "$muted")
    )
