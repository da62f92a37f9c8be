"""What all dialogs share: Escape closes them, and stop works from every one of them."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from station.tui.screens.base import TakesKeys

Answer = TypeVar("Answer")


class Dialog(TakesKeys, ModalScreen[Answer]):
    """A box over the screen below; the letters of the session screen do nothing while it is open, except stop."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 72; max-width: 95%; height: auto; max-height: 90%; padding: 1 3;
        background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
    }
    Dialog .hint { color: $muted; margin-top: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "close", show=False),
        Binding("x", "app.stop", "STOP", show=False, id="stop"),
        Binding("f1", "app.guides", "guides", show=False),
    ]

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
