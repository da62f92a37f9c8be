"""A new session: a name, a task of the library, a seed. Letters are text here."""

from __future__ import annotations

from pathlib import Path

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.validation import Function, Integer
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from station.tasks.shelf import TaskSummary, task_summaries
from station.tui.jobs import Job, Record, station_command
from station.tui.screens.dialog import Dialog
from station.tui.widgets.measured import Words


class NewSessionScreen(Dialog[Path]):
    """Answers with the new session's folder."""

    DEFAULT_CSS = """
    NewSessionScreen OptionList { height: auto; max-height: 14; border: none; padding: 0; }
    NewSessionScreen Label { color: $text-muted; margin-top: 1; }
    NewSessionScreen .box { width: 92; }
    NewSessionScreen #said { height: auto; margin-top: 1; color: $error; }
    """

    def __init__(self, sessions: Path) -> None:
        """The session is made in `sessions`."""
        super().__init__()
        self._sessions = sessions
        self._tasks: list[TaskSummary] = task_summaries()

    def compose(self) -> ComposeResult:
        """Three fields."""
        with Vertical(classes="box") as box:
            box.border_title = "New session"
            yield Label("name")
            yield Input(placeholder="orange-1", id="name", validators=[Function(_is_name)], compact=True)
            yield Label("seed of every random stream")
            yield Input("0", id="seed", type="integer", validators=[Integer(minimum=0)], compact=True)
            yield Label("task: Enter on one makes the session")
            yield OptionList(*(_option(task) for task in self._tasks))
            yield Words("", id="said")
            yield Static("Tab moves on, Escape drops it.", classes="hint")

    def on_input_submitted(self) -> None:
        """Enter moves on."""
        self.focus_next()

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Make it."""
        name, seed = self.query_one("#name", Input).value.strip(), self.query_one("#seed", Input).value
        if not _is_name(name):
            self._say("A name has letters, digits, - and _, and is needed.")
            self.query_one("#name", Input).focus()
        elif not seed.isdecimal():
            self._say("A seed is a whole number from 0 on.")
            self.query_one("#seed", Input).focus()
        else:
            self._make(self._sessions.absolute() / name, str(message.option.id), seed)

    @work(exclusive=True)
    async def _make(self, path: Path, task: str, seed: str) -> None:
        self._say("making it …")
        record = Record()
        command = station_command("new", str(path), "--task", task, "--seed", seed)
        if await Job(command).run(record.hear) == 0:
            self.dismiss(path)
        else:
            self._say(" ".join(word for word in record.words if word != "station"))

    def _say(self, words: str) -> None:
        self.query_one("#said", Words).update(Content(words))


def _option(task: TaskSummary) -> Option:
    return Option(Content.assemble((task.name, "bold"), "\n  ", (task.description, "$muted")), id=task.name)


def _is_name(value: str) -> bool:
    return bool(value) and all(letter.isalnum() or letter in "-_" for letter in value)
