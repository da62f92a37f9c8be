"""Choose demonstrations, see how they are understood, answer what they do not say, import them.

Each is judged on its own; doing it twice adds nothing. What is asked, and what an answer means, the import says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import DataTable, DirectoryTree, Footer, Input, Static

from datasets.importers.mapping import MappingError, parse_answers
from datasets.wording import counted
from station.tui.jobs import INTERRUPTED, Facts, Job, Record, station_command
from station.tui.screens.base import StationScreen
from station.tui.widgets.panel import Panel
from station.tui.widgets.understanding import Understanding
from station.tui.widgets.work import draw_stages

SUFFIXES = (".h5", ".hdf5", ".pickle", ".pkl", ".zarr.zip")
"""Of files that an import reads; other formats are folders."""


class Step(StrEnum):
    """Where the import stands."""

    CHOOSE = "choose"
    LOOK = "look"
    ASK = "ask"
    READY = "ready"
    IMPORT = "import"
    DONE = "done"


class RecordingTree(DirectoryTree):
    """Folders and recordings only, with signs that every font has."""

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "· "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """See DirectoryTree."""
        return [
            path
            for path in paths
            if not path.name.startswith(".") and (path.is_dir() or path.name.endswith(SUFFIXES))
        ]


class ImportScreen(StationScreen):
    """Recordings into one session."""

    CSS_PATH = "importing.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "look", "look into it"),
        Binding("ctrl+o", "take", "import what is usable"),
        Binding("ctrl+t", "onward", "train the base"),
        Binding("ctrl+g", "review", "review and label"),
        Binding("escape", "back", "interrupt / leave"),
    ]

    def __init__(
        self,
        folder: Path,
        *,
        onward: Callable[[], None],
        review: Callable[[], None],
        back: Callable[[], None],
    ) -> None:
        """`onward` leads to training, `review` to what the session holds."""
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
        self._folder = folder
        self._onward = onward
        self._review = review
        self._back = back
        self._step = Step.CHOOSE
        self._job: Job | None = None
        self._record = Record()
        self._said = ""
        self._root = Path()
        self._answers: dict[str, str] = {}
        self._questions: list[Facts] = []

    def compose(self) -> ComposeResult:
        """Sentence, path, folders beside findings, progress."""
        yield Static("", id="head")
        yield Input(
            str(self._suggested()), id="path", placeholder="file or folder with demonstrations", compact=True
        )
        with Horizontal(id="middle"):
            yield RecordingTree(Path.cwd(), id="tree")
            yield DataTable(id="findings", cursor_type="row", zebra_stripes=False)
        yield Understanding(id="understanding")
        yield Input("", id="answer", compact=True)
        yield Panel("progress", draw_stages, id="stages")
        yield Footer()

    def on_mount(self) -> None:
        """Columns, and the first sentence."""
        self.query_one(DataTable).add_columns("", "recording", "steps", "seconds", "label", "what was found")
        self.set_interval(0.5, self.redraw)
        self.redraw()

    def on_unmount(self) -> None:
        """A job does not outlive its screen."""
        if self._job is not None:
            self._job.interrupt()

    def _suggested(self) -> Path:
        recordings = self._folder / "recordings"
        return recordings if recordings.is_dir() else Path.cwd()

    def redraw(self) -> None:
        """Sentence and progress."""
        self.set_class(self._step is not Step.CHOOSE, "-looked")
        self.query_one("#head", Static).update(self._head())
        stages = self.query_one("#stages", Panel)
        stages.display = self._step in (Step.LOOK, Step.IMPORT)
        stages.show(tuple(self._record.stages.values()))

    def _head(self) -> Content:
        known = sum(bool(fact.get("duplicate")) for fact in self._record.findings)
        usable = sum(bool(fact.get("usable")) for fact in self._record.findings) - known
        total = len(self._record.findings)
        found = counted(total, "recording") + (f", known already: {known}" if known else "")
        taken = sum(not fact.get("refused") and not fact.get("duplicate") for fact in self._record.results)
        words = {
            Step.CHOOSE: "Choose demonstrations: type a path or pick a file or folder, then Enter looks into it.",
            Step.LOOK: f"Looking into the recordings: {total} seen, {usable} usable. Escape interrupts.",
            Step.ASK: self._question(),
            Step.READY: f"Usable: {usable} of {found}. ^o imports; nothing is written before.",
            Step.IMPORT: f"Importing: {taken} taken in. Escape interrupts; what is in stays in.",
            Step.DONE: f"Taken in: {counted(taken, 'recording')}. ^t trains the base, ^g reviews, Escape leaves.",
        }[self._step]
        return Content.assemble(
            (f" {self._folder.name} ", "$background on $primary bold"),
            "  ",
            (words, "bold"),
            ("\n" + self._said, "$error"),
        )

    def _question(self) -> str:
        """The first that is open."""
        if not self._questions:
            return ""
        question = self._questions[0]
        choices = " or ".join(question["choices"])
        return f"{question['text'][:1].upper()}{question['text'][1:]}. Type {choices or 'the answer'}, then Enter."

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter looks, or answers. Answers are forgotten only where another path is looked into."""
        if message.input.id == "answer":
            self._answer(message.value.strip())
        else:
            if self._chosen() != self._root:
                self._answers = {}
            self.action_look()

    def _answer(self, value: str) -> None:
        """Take an answer that can be one; after the last everything is looked at again."""
        if not self._questions or not value:
            return
        name = str(self._questions[0]["name"])
        try:
            parse_answers([f"{name}={value}"])
        except MappingError as error:
            self._said = str(error)
            self.redraw()
            return
        self._said = ""
        self._answers[name] = value
        self._questions.pop(0)
        if self._questions:
            self._ask()
        else:
            self.query_one("#answer", Input).display = False
            self._step = Step.CHOOSE
            self.action_look()

    def _ask(self) -> None:
        """Offer the first open question."""
        self._step = Step.ASK
        answer = self.query_one("#answer", Input)
        answer.value = ""
        choices = [str(choice) for choice in self._questions[0]["choices"]]
        answer.placeholder = " | ".join(choices) or str(self._questions[0]["flag"])
        answer.suggester = SuggestFromList(choices) if choices else None
        answer.display = True
        answer.focus()
        self.redraw()

    def on_directory_tree_directory_selected(self, message: DirectoryTree.DirectorySelected) -> None:
        """A folder was picked."""
        self.query_one("#path", Input).value = str(message.path)

    def on_directory_tree_file_selected(self, message: DirectoryTree.FileSelected) -> None:
        """A single recording was picked."""
        self.query_one("#path", Input).value = str(message.path)

    def action_look(self) -> None:
        """Say what an import would do."""
        if self._step not in (Step.LOOK, Step.IMPORT):
            self._record = Record()
            self._questions = []
            self.query_one(DataTable).clear()
            self.query_one(Understanding).show(None)
            self._work(Step.LOOK, Step.READY, "--dry-run")

    def action_take(self) -> None:
        """Import what is usable."""
        if self._step is Step.READY:
            self._work(Step.IMPORT, Step.DONE)

    def action_onward(self) -> None:
        """Train."""
        if self._step is Step.DONE:
            self._onward()

    def action_review(self) -> None:
        """Look at the demonstrations, and label those without a label."""
        if self._step is Step.DONE:
            self._review()

    def action_back(self) -> None:
        """Interrupt what runs, or leave."""
        if self._job is not None and self._job.running:
            self._job.interrupt()
        else:
            self._back()

    def _chosen(self) -> Path:
        return Path(self.query_one("#path", Input).value.strip()).expanduser()

    @work(exclusive=True)
    async def _work(self, during: Step, after: Step, *options: str) -> None:
        before, self._step, self._said = self._step, during, ""
        self._root = self._chosen()
        told = [word for name, value in self._answers.items() for word in ("--map", f"{name}={value}")]
        self._job = Job(
            station_command(
                "import", str(self._folder.absolute()), str(self._root), *told, *options, "--json"
            )
        )
        code = await self._job.run(self._hear)
        if not self.is_attached:
            return
        self._step = after if code == 0 else before
        if code not in (0, INTERRUPTED):
            self._said = self._record.error or " ".join(self._record.words[-2:])
        elif code == INTERRUPTED:
            self._said = "Interrupted. Doing it again adds nothing twice."
        if self._questions and code != INTERRUPTED:
            self._said = ""
            self._ask()
        elif self._step is Step.READY:
            self.query_one(DataTable).focus()
        self.refresh_bindings()
        self.redraw()

    def _hear(self, facts: Facts) -> None:
        if not self.is_attached:
            return
        self._record.hear(facts)
        if facts["event"] == "mapping":
            self.query_one(Understanding).show(facts)
            known = {question["name"] for question in self._questions}
            self._questions += [each for each in facts["questions"] if each["name"] not in known]
        elif facts["event"] == "finding":
            self.query_one(DataTable).add_row(*row(facts, self._root))
        elif facts["event"] == "result" and facts.get("refused"):
            self._said = f"refused {_below(facts['file'], self._root)}: {facts['refused']}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what means something now is offered."""
        needed = {"take": Step.READY, "onward": Step.DONE, "review": Step.DONE}
        return self._step is needed[action] if action in needed else True


def row(facts: Facts, root: Path) -> tuple[str, ...]:
    """A recording by where it lies below what was chosen."""
    label = {True: "success", False: "failure", None: "none"}[facts.get("success")]
    return (
        "=" if facts.get("duplicate") else "✓" if facts["usable"] else "✗",
        _below(facts["file"], root),
        str(facts.get("steps", "")),
        f"{facts.get('seconds', 0):.1f}",
        label if facts["usable"] else "",
        str(facts["detail"]),
    )


def _below(label: str, root: Path) -> str:
    path = Path(label)
    return str(path.relative_to(root)) if root in path.parents else path.name
