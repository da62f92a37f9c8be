"""Choose recordings, see what is in them, import them. Each file is judged on its own; doing it twice adds nothing."""

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
from textual.widgets import DataTable, DirectoryTree, Footer, Input, Static

from station.tui.jobs import INTERRUPTED, Facts, Job, Record, station_command
from station.tui.screens.base import StationScreen
from station.tui.widgets.panel import Panel
from station.tui.widgets.work import draw_stages

SUFFIXES = (".h5", ".hdf5")


class Step(StrEnum):
    """Where the import stands."""

    CHOOSE = "choose"
    LOOK = "look"
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
            if not path.name.startswith(".") and (path.is_dir() or path.suffix in SUFFIXES)
        ]


class ImportScreen(StationScreen):
    """Recordings into one session."""

    CSS_PATH = "importing.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "look", "look into it"),
        Binding("ctrl+o", "take", "import what is usable"),
        Binding("ctrl+t", "onward", "train the base"),
        Binding("escape", "back", "interrupt / leave"),
    ]

    def __init__(self, folder: Path, *, onward: Callable[[], None], back: Callable[[], None]) -> None:
        """`onward` leads to training."""
        super().__init__()
        self._folder = folder
        self._onward = onward
        self._back = back
        self._step = Step.CHOOSE
        self._job: Job | None = None
        self._record = Record()
        self._said = ""

    def compose(self) -> ComposeResult:
        """Sentence, path, folders beside findings, progress."""
        yield Static("", id="head")
        yield Input(str(self._suggested()), id="path", placeholder="folder with VR recordings", compact=True)
        with Horizontal(id="middle"):
            yield RecordingTree(Path.cwd(), id="tree")
            yield DataTable(id="findings", cursor_type="row", zebra_stripes=False)
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
        self.query_one("#head", Static).update(self._head())
        self.query_one("#stages", Panel).show(tuple(self._record.stages.values()))

    def _head(self) -> Content:
        usable = sum(bool(fact.get("usable")) for fact in self._record.findings)
        total = len(self._record.findings)
        taken = sum(not fact.get("refused") and not fact.get("duplicate") for fact in self._record.results)
        words = {
            Step.CHOOSE: "Choose a folder of VR recordings: type its path or pick it, then Enter looks into it.",
            Step.LOOK: f"Looking into the recordings: {total} seen, {usable} usable. Escape interrupts.",
            Step.READY: f"{usable} of {total} recordings are usable. ^o imports them; nothing is written before.",
            Step.IMPORT: f"Importing: {taken} taken in. Escape interrupts; what is in stays in.",
            Step.DONE: f"{taken} recordings were taken in. ^t trains the base, Escape leaves.",
        }[self._step]
        return Content.assemble(
            (f" {self._folder.name} ", "$background on $primary bold"),
            "  ",
            (words, "bold"),
            ("\n" + self._said, "$error"),
        )

    def on_input_submitted(self) -> None:
        """Enter looks."""
        self.action_look()

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
            self.query_one(DataTable).clear()
            self._work(Step.LOOK, Step.READY, "--dry-run")

    def action_take(self) -> None:
        """Import what is usable."""
        if self._step is Step.READY:
            self._work(Step.IMPORT, Step.DONE)

    def action_onward(self) -> None:
        """Train."""
        if self._step is Step.DONE:
            self._onward()

    def action_back(self) -> None:
        """Interrupt what runs, or leave."""
        if self._job is not None and self._job.running:
            self._job.interrupt()
        else:
            self._back()

    @work(exclusive=True)
    async def _work(self, during: Step, after: Step, *options: str) -> None:
        before, self._step, self._said = self._step, during, ""
        path = self.query_one("#path", Input).value.strip()
        self._job = Job(station_command("import", str(self._folder.absolute()), path, *options, "--json"))
        code = await self._job.run(self._hear)
        self._step = after if code == 0 else before
        if code not in (0, INTERRUPTED):
            self._said = self._record.error or " ".join(self._record.words[-2:])
        elif code == INTERRUPTED:
            self._said = "Interrupted. Doing it again adds nothing twice."
        self.refresh_bindings()
        self.redraw()

    def _hear(self, facts: Facts) -> None:
        self._record.hear(facts)
        if facts["event"] == "finding":
            self.query_one(DataTable).add_row(*_row(facts))
        elif facts["event"] == "result" and facts.get("refused"):
            self._said = f"refused {Path(facts['file']).name}: {facts['refused']}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what means something now is offered."""
        needed = {"take": Step.READY, "onward": Step.DONE}
        return self._step is needed[action] if action in needed else True


def _row(facts: Facts) -> tuple[str, ...]:
    label = {True: "success", False: "failure", None: "none"}[facts.get("success")]
    return (
        "✓" if facts["usable"] else "✗",
        Path(facts["file"]).name,
        str(facts.get("steps", "")),
        f"{facts.get('seconds', 0):.1f}",
        label if facts["usable"] else "",
        str(facts["detail"]),
    )
