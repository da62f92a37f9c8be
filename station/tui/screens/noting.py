"""A remark for the journal. Letters are text here; Ctrl+X still stops."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from station.tui.screens.dialog import Dialog


class NoteScreen(Dialog[str]):
    """Answers with the text, None when it was closed or left empty."""

    def __init__(self, episode: str | None) -> None:
        """`episode`: what the remark is about, None: the session."""
        super().__init__()
        self._episode = episode

    def compose(self) -> ComposeResult:
        """One line of text."""
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Note about {self._episode or 'the session'}")
            yield Input(placeholder="what you saw", max_length=500)
            yield Static(
                "Enter writes it into the journal, Escape drops it, Ctrl+X stops the arm.", classes="hint"
            )

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Answer."""
        self.dismiss(message.value.strip() or None)
