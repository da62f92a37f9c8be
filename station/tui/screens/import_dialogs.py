"""Dialogs of the import screen: which answer to change, and whether demonstrations may be replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from datasets.wording import counted
from station.tui.screens.dialog import Dialog


class AnswersScreen(Dialog[str]):
    """Returns the name of the answer to change; Escape keeps them all."""

    DEFAULT_CSS = """
    AnswersScreen OptionList { height: auto; max-height: 14; background: $surface; padding: 0; }
    AnswersScreen OptionList, AnswersScreen OptionList:focus { border: none; }
    """

    def __init__(self, answers: Mapping[str, str]) -> None:
        """`answers`: name -> what it is now."""
        super().__init__()
        self._answers = answers

    def compose(self) -> ComposeResult:
        """One line an answer."""
        width = max(map(len, self._answers))
        with Vertical(classes="box") as box:
            box.border_title = "Which answer do you take back?"
            yield OptionList(
                *(
                    Option(Content.assemble((f"{name:<{width}}  ", "$muted"), value), id=name)
                    for name, value in self._answers.items()
                )
            )
            yield Static("Enter takes it back and asks again, Escape keeps all.", classes="hint")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(message.option.id)


class ReplaceScreen(Dialog[bool]):
    """y replaces, Escape changes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "replace", "replace", show=False),
        Binding("n", "cancel", "keep", show=False),
    ]

    def __init__(self, replaced: int, added: int) -> None:
        """How many demonstrations would be voided, and how many are new."""
        super().__init__()
        self._replaced = replaced
        self._added = added

    def compose(self) -> ComposeResult:
        """What would happen, and the two keys."""
        added = f" {counted(self._added, 'other')} come in beside." if self._added else ""
        with Vertical(classes="box") as box:
            box.border_title = f"Replace {counted(self._replaced, 'demonstration')}?"
            yield Static(
                "The old ones are voided: they leave every count and the training, and keep their files. "
                f"Labels that people gave hold for the new ones.{added}"
            )
            yield Static("y replaces, Escape changes nothing.", classes="hint")

    def action_replace(self) -> None:
        """Answer."""
        self.dismiss(True)
