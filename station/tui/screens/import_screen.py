"""Choose demonstrations, preview how they are read, answer open questions, import them.

Each is checked individually; repeating an import adds nothing. Earlier imports are examined only on request, and
replaced only after confirmation. The import defines the questions and the meaning of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import DataTable, DirectoryTree, Footer, Input

from datasets.importers.mapping import MappingError
from datasets.wording import counted
from station.interruption import ended_by
from station.jobs.import_request import require_answer
from station.plain import visible
from station.tui.findings import ImportPreview, below, row
from station.tui.jobs import Facts, Job, Record, station_command
from station.tui.screens.base import StationScreen
from station.tui.screens.help import KeysHelp, keys_of
from station.tui.screens.import_dialogs import AnswersScreen, ReplaceScreen
from station.tui.widgets.measured import Words
from station.tui.widgets.panel import Panel
from station.tui.widgets.understanding import Understanding
from station.tui.widgets.work import draw_stages

_LOOK = "Preview: show what an import would do with each recording. Writes nothing. Enter in the path does the same."
_AGAIN = "Preview again, earlier imports included: those that are now read differently would be replaced."
_ANSWERS = "Change an answer, including one saved by an earlier import."
_TAKE = "Import what is usable. Asks first if anything would be replaced."
_REMARKS = (
    "= imported before, ~ would replace what was imported before, ✓ new, ✗ refused, with the reason.\n"
    "A replaced demonstration is voided and keeps its files; operator labels carry over to the new one.\n"
    "Safe to repeat: no duplicates, and an interrupted import resumes. Tab leaves the path, ^p lists all keys."
)
SUFFIXES = (".h5", ".hdf5", ".pickle", ".pkl", ".zarr.zip")
"""Suffixes of importable files; other formats are folders."""


class Step(StrEnum):
    """Current step of the import."""

    CHOOSE = "choose"
    LOOK = "look"
    ASK = "ask"
    READY = "ready"
    IMPORT = "import"
    DONE = "done"


class RecordingTree(DirectoryTree):
    """Shows folders and recordings only, with symbols that every font has."""

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

    CSS_PATH = "import_screen.tcss"
    GUIDE = "importing"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "look", "look", tooltip=_LOOK),
        Binding("ctrl+n", "again", "again", tooltip=_AGAIN),
        Binding("ctrl+y", "answers", "answers", tooltip=_ANSWERS),
        Binding("ctrl+o", "take", "import", tooltip=_TAKE),
        Binding("ctrl+t", "onward", "train", tooltip="Train the base on what is there."),
        Binding("ctrl+g", "review", "review", tooltip="Review what the session holds, and label it."),
        Binding("escape", "back", "back", tooltip="Interrupt what runs, or leave."),
        Binding("f1,question_mark", "help", "help", key_display="f1", tooltip="These keys."),
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
        self._again = False
        self._answers: dict[str, str] = {}
        """Given on this screen: a question's name -> the answer."""
        self._questions: list[Facts] = []
        """Open questions, in the order to ask them."""
        self._asked: dict[str, Facts] = {}
        """Every question about the selection, by name; `value` is its answer, if known."""
        self._structures: set[str] = set()

    def compose(self) -> ComposeResult:
        """Sentence, path, folders beside findings, progress."""
        yield Words("", id="head")
        yield Input(
            str(self._suggested()), id="path", placeholder="file or folder with demonstrations", compact=True
        )
        with Horizontal(id="middle"):
            yield RecordingTree(Path.cwd(), id="tree")
            yield DataTable(id="findings", cursor_type="row", zebra_stripes=False)
        yield Understanding(id="understanding")
        yield Input("", id="answer", compact=True)
        yield Panel("progress", draw_stages, id="stages")
        yield Footer(compact=True)

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
        self.query_one("#head", Words).update(self._head())
        stages = self.query_one("#stages", Panel)
        stages.display = self._step in (Step.LOOK, Step.IMPORT)
        stages.show(tuple(self._record.stages.values()))

    def _head(self) -> Content:
        duplicates = sum(bool(fact.get("duplicate")) for fact in self._record.results)
        taken = sum(not fact.get("refused") for fact in self._record.results) - duplicates
        known = f", known already: {duplicates}" if duplicates else ""
        words = {
            Step.CHOOSE: "Choose demonstrations: type a path or pick a file or folder, then Enter looks into it.",
            Step.LOOK: f"Looking into the recordings: {len(self._record.findings)} seen. Escape interrupts.",
            Step.ASK: self._question(),
            Step.READY: self._preview.sentence(again=self._again),
            Step.IMPORT: f"Importing: {taken} taken in. Escape interrupts; what is in stays in.",
            Step.DONE: f"Taken in: {counted(taken, 'recording')}{known}. ^t trains, ^g reviews, Escape leaves.",
        }[self._step]
        return Content.assemble(
            (f" {visible(self._folder.name)} ", "$background on $primary bold"),
            "  ",
            (words, "bold"),
            ("\n" + self._said, "$error") if self._said else ("\n" + self._found_there(), "$muted"),
        )

    def _found_there(self) -> str:
        """The full text that the table may truncate."""
        findings, cursor = self._record.findings, self.query_one(DataTable).cursor_row
        looking = self._step in (Step.CHOOSE, Step.READY) and cursor < len(findings)
        return row(findings[cursor], self._root)[-1] if looking else ""

    def on_data_table_row_highlighted(self) -> None:
        """Show the highlighted recording."""
        self.redraw()

    @property
    def _preview(self) -> ImportPreview:
        return ImportPreview.of(self._record.findings)

    def _question(self) -> str:
        """The first that is open."""
        if not self._questions:
            return ""
        question = self._questions[0]
        choices = " or ".join(question["choices"])
        so_far = f" So far: {question['value']}." if "value" in question else ""
        if question.get("optional"):
            so_far += f" Enter alone means {question['choices'][-1]}."
        kinds = " It holds for all kinds of sources here; where they differ, choose one folder at a time."
        return (
            f"{question['text'][:1].upper()}{question['text'][1:]}. Type {choices or 'the answer'}, then Enter."
            f"{so_far}{kinds if len(self._structures) > 1 else ''}"
        )

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter looks, or answers."""
        if message.input.id == "answer":
            self._answer(message.value.strip())
        else:
            self.action_look()

    def _answer(self, value: str) -> None:
        """Accept a valid answer; after the last one, preview again."""
        if not self._questions:
            return
        name, choices = str(self._questions[0]["name"]), self._questions[0]["choices"]
        if not value and self._questions[0].get("optional"):
            value = str(choices[-1])
        if not value:
            return
        try:
            require_answer(name, value)
            if name.startswith("camera.") and value not in choices:
                raise MappingError(f"There is no camera '{value}'")
            if name == "instruction" and value not in choices and "*" not in value:
                raise MappingError(
                    f"None of them has the instruction '{value}'; the right arrow completes what you type"
                )
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
            self._look()

    @property
    def _settled(self) -> dict[str, str]:
        """Answers from here or an earlier import: question name -> answer."""
        open_ = {question["name"] for question in self._questions}
        saved = {name: question.get("value") for name, question in self._asked.items()}
        return {name: value for name, value in (saved | self._answers).items() if value and name not in open_}

    def action_answers(self) -> None:
        """Choose an answer to take back."""
        if self._settled:
            self.app.push_screen(AnswersScreen(self._settled), self._take_back)

    def _take_back(self, name: str | None) -> None:
        """Ask this one again, first."""
        if name is not None:
            so_far = {"value": self._settled[name]}
            self._answers.pop(name, None)
            self._questions.insert(0, self._asked[name] | so_far)
            self._said = ""
            self._ask()

    def _ask(self) -> None:
        """Offer the first open question."""
        self._turn(Step.ASK)
        answer = self.query_one("#answer", Input)
        answer.value = ""
        choices = [str(choice) for choice in self._questions[0]["choices"]]
        answer.placeholder = " | ".join(choices) or str(self._questions[0]["flag"])
        answer.suggester = SuggestFromList(choices) if choices else None
        answer.display = True
        answer.focus()

    def _turn(self, step: Step) -> None:
        """Go on to another step; other keys mean something then."""
        self._step = step
        self.query_one("#answer", Input).display = step is Step.ASK
        self.refresh_bindings()
        self.redraw()

    def on_directory_tree_directory_selected(self, message: DirectoryTree.DirectorySelected) -> None:
        """A folder was picked."""
        self.query_one("#path", Input).value = str(message.path)

    def on_directory_tree_file_selected(self, message: DirectoryTree.FileSelected) -> None:
        """A single recording was picked."""
        self.query_one("#path", Input).value = str(message.path)

    def action_look(self) -> None:
        """Preview an import of what is new."""
        self._look(again=False)

    def action_again(self) -> None:
        """Preview an import, earlier imports included."""
        self._look(again=True)

    def _look(self, *, again: bool | None = None) -> None:
        """Answers are discarded only for another path; `again` None: as before."""
        if self._step in (Step.LOOK, Step.IMPORT):
            return
        if not self.query_one("#path", Input).value.strip():
            self._said = "Type where the demonstrations are, or pick a file or folder."
            self.redraw()
            return
        if self._chosen() != self._root:
            self._answers, self._asked = {}, {}
        self._again = self._again if again is None else again
        self._record = Record()
        self._questions, self._structures = [], set()
        self.query_one(DataTable).clear()
        self.query_one(Understanding).show(None)
        self._work(Step.LOOK, Step.READY, "--dry-run")

    def action_take(self) -> None:
        """Import what is usable; first ask whether something may be replaced."""
        preview = self._preview
        if preview.replaced:
            added = preview.usable - preview.replacing
            self.app.push_screen(ReplaceScreen(preview.replaced, added), self._import)
        else:
            self._import(True)

    def _import(self, agreed: bool | None) -> None:
        if agreed:
            self._record.results.clear()
            self._work(Step.IMPORT, Step.DONE)

    def action_onward(self) -> None:
        """Train."""
        if self._step is Step.DONE:
            self._onward()

    def action_review(self) -> None:
        """Look at the demonstrations, and label those without a label."""
        if self._step is Step.DONE:
            self._review()

    def action_help(self) -> None:
        """What the keys do here."""
        self.app.push_screen(KeysHelp("Import", keys_of(self), _REMARKS))

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
        self._said = ""
        self._root = self._chosen()
        self._turn(during)
        told = [word for name, value in self._answers.items() for word in ("--map", f"{name}={value}")]
        again = ["--again"] if self._again else []
        self._job = Job(
            station_command(
                "import", str(self._folder.absolute()), str(self._root), *told, *again, *options, "--json"
            )
        )
        code = await self._job.run(self._hear)
        if not self.is_attached:
            return
        interrupted = ended_by(code) is not None
        if code and not interrupted:
            self._said = self._record.error or " ".join(self._record.words[-2:])
        elif interrupted:
            self._said = "Interrupted. Doing it again adds nothing twice."
        if self._questions and not interrupted:
            self._said = ""
            self._ask()
            return
        self._turn(after if code == 0 else Step.CHOOSE if during is Step.LOOK else Step.READY)
        if self._step is Step.READY:
            self.query_one(DataTable).focus()

    def _hear(self, facts: Facts) -> None:
        if not self.is_attached:
            return
        self._record.hear(facts)
        if facts["event"] == "mapping":
            self.query_one(Understanding).show(facts)
            known = {question["name"] for question in self._questions}
            self._questions += [each for each in facts["questions"] if each["name"] not in known]
            self._asked |= {each["name"]: each for each in (*facts["questions"], *facts["settled"])}
            self._structures.add(facts["structure"])
        elif facts["event"] == "finding":
            # as text: as words of the screen's own, "[demo_0]" would be markup
            self.query_one(DataTable).add_row(*map(Text, row(facts, self._root)))
        elif facts["event"] == "result" and facts.get("refused"):
            self._said = f"refused {below(facts['file'], self._root)}: {facts['refused']}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only the keys that apply now."""
        is_busy = self._step in (Step.LOOK, Step.IMPORT)
        offered = {
            "look": not is_busy,
            "again": not is_busy,
            "answers": not is_busy and bool(self._settled),
            "take": self._step is Step.READY and self._preview.usable > 0,
            "onward": self._step is Step.DONE,
            "review": self._step is Step.DONE,
        }
        return offered.get(action, True)
