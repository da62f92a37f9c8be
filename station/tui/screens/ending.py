"""Confirms ending a running evaluation early: finished episodes stay, the rest are not run."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from station.tui.screens.dialog import Dialog
from station.tui.screens.leaving import choice


class EndEvaluationScreen(Dialog[bool]):
    """e ends it, Escape continues it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "end", "end it", show=False),
        Binding("q", "cancel", "continue", show=False),
    ]

    def __init__(self, *, done: int, size: int) -> None:
        """`done` of `size` episodes are finished."""
        super().__init__()
        self._done = done
        self._wanted = size

    def compose(self) -> ComposeResult:
        """Two choices."""
        kept = (
            f"{self._done} of {self._wanted} are done and stay, marked as ended early; what moves is finished"
        )
        with Vertical(classes="box") as box:
            box.border_title = "End this evaluation early?"
            yield Static(choice("e", "End it", kept))
            yield Static(choice("esc", "Go on", "nothing changes"))

    def action_end(self) -> None:
        """Answer."""
        self.dismiss(True)
