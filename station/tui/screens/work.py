"""Shows a job: stages, loss curve, time left; interrupts and continues it.

Serves training, and everything a demo prepares before its session. The job is a command in another process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Footer

from datasets.wording import counted
from station.interruption import ended_by
from station.tui.jobs import Facts, Job, Record, Stage
from station.tui.screens.base import StationScreen
from station.tui.screens.help import KeysHelp, keys_of
from station.tui.sight import unread
from station.tui.widgets.figures import log
from station.tui.widgets.panel import Panel
from station.tui.widgets.work import LossCurve, draw_stages, losses_of, stage_words
from station.tui.wording import about

REDRAW_HZ = 2.0
_INTERRUPT = "End it at its next safe point; everything done so far is kept."
_REMARKS = (
    "If interrupted or killed, it resumes when started again.\n"
    "The curve: a line for the training loss, ◆ for the loss on demonstrations that were held out."
)


def _draw_head(words: tuple[str, str, str], columns: int, rows: int) -> Content:
    badge, style, sentence = words
    return Content.assemble((f" {badge:^11} ", f"$background on {style} bold"), "  ", (sentence, "bold"))


class WorkScreen(StationScreen):
    """One job from its start to its end."""

    CSS_PATH = "work.tcss"
    GUIDE = "training"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "interrupt", "interrupt (resumes here later)", tooltip=_INTERRUPT),
        Binding(
            "c", "go_on", "continue", tooltip="Go on after an interruption, or try again after a failure."
        ),
        Binding("enter", "onward", "next", tooltip="On to what comes next, once it is done."),
        Binding("question_mark", "help", "help", key_display="?", tooltip="These keys."),
        Binding("q,escape", "back", "leave", key_display="q", tooltip="Interrupt it, and leave."),
    ]

    def __init__(
        self,
        title: str,
        command: Sequence[str],
        *,
        onward: Callable[[], None],
        back: Callable[[], None],
        hurry: bool = False,
    ) -> None:
        """`onward` is called when the job is done: at once with `hurry`, else when the operator says so."""
        super().__init__()
        self._title_words = title
        self._command = tuple(command)
        self._onward = onward
        self._back = back
        self._hurry = hurry
        self._job: Job | None = None
        self._record = Record()
        self._code: int | None = None
        self._ended = float("-inf")
        """When the job was over, s, monotonic."""
        self._leaving = False

    def compose(self) -> ComposeResult:
        """Headline, stages, curve, words."""
        yield Panel("", _draw_head, id="head")
        yield Panel(self._title_words, draw_stages, id="stages")
        yield LossCurve(id="loss")
        yield Panel("what it says", log, id="words")
        yield Footer()

    def on_mount(self) -> None:
        """Start the job."""
        self.set_interval(1 / REDRAW_HZ, self.redraw)
        self.action_go_on()

    def on_unmount(self) -> None:
        """A job does not outlive its screen; it ends at its next safe point."""
        if self._job is not None:
            self._job.interrupt()

    @work(exclusive=True)
    async def _run(self) -> None:
        self._job = Job(self._command)
        self._code = await self._job.run(self._record.hear)
        self._ended = time.monotonic()
        self.redraw()
        self.refresh_bindings()
        if self._leaving:
            self._back()
        elif self._code == 0 and self._hurry:
            self._onward()

    @property
    def running(self) -> bool:
        """Whether the job works."""
        return self._code is None

    def redraw(self) -> None:
        """Draw the job's progress."""
        stages = tuple(self._record.stages.values())
        self.query_one("#head", Panel).show(self._head())
        self.query_one("#stages", Panel).show(stages)
        self.query_one("#words", Panel).show(tuple(self._words()))
        self.query_one(LossCurve).show(losses_of(self._record))

    def _head(self) -> tuple[str, str, str]:
        if self._leaving:
            return "ENDING", "$warning", "Waiting for a safe point; it resumes from there next time."
        if self.running:
            return "WORKING", "$primary", _doing(self._record.newest)
        if self._code == 0:
            return "DONE", "$success", "Everything is saved. Enter starts the next step."
        if ended_by(self._code):
            return "INTERRUPTED", "$warning", "Nothing is lost. c continues from here, q leaves."
        said = self._record.error or (self._record.words or [f"exit code {self._code}"])[-1]
        return "FAILED", "$error", f"{said} c tries again, q leaves."

    def _words(self) -> list[str]:
        return [*map(line, self._record.findings + self._record.results), *self._record.words]

    def action_interrupt(self) -> None:
        """End the job at its next safe point."""
        if self._job is not None:
            self._job.interrupt()

    def action_go_on(self) -> None:
        """Start, or continue after an interruption."""
        if self._job is None or not self.running:
            self._code, self._record.error = None, None
            self._run()
            self.redraw()
            self.refresh_bindings()

    def action_onward(self) -> None:
        """The next step, once the job is done."""
        if self._code != 0:
            return
        if why_not := unread(self._ended, self.app.key_time):
            self.notify(f"The job has only just ended, and {why_not}", severity="warning")
        else:
            self._onward()

    def action_help(self) -> None:
        """What the keys do here."""
        self.app.push_screen(KeysHelp("Training", keys_of(self), _REMARKS))

    def action_back(self) -> None:
        """Leave; a running job is interrupted first."""
        if self.running and not self._leaving:
            self._leaving = True
            self.action_interrupt()
            self.redraw()
        else:
            self._back()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only the keys that apply now."""
        offered = {
            "interrupt": self.running,
            "go_on": not self.running and self._code != 0,
            "onward": self._code == 0,
        }
        return offered.get(action, True)


def _doing(stage: Stage | None) -> str:
    if stage is None:
        return "Starting."
    left = f", {about(stage.eta)} left in this stage" if stage.eta else ""
    words = stage_words(stage)
    return f"{words[0].upper()}{words[1:]}: {100 * stage.share:.0f}%{left}. You need not stay."


def line(facts: Facts) -> str:
    """A finding or a result in words."""
    if "path" in facts:
        share = 100 * facts["successes"] / max(1, facts["n"])
        return f"base, {facts['path']} path: {facts['successes']} of {facts['n']} succeed ({share:.0f}%)"
    if facts.get("refused"):
        return f"refused {facts['file']}: {facts['refused']}"
    state = "known already" if facts.get("duplicate") else counted(facts.get("steps", 0), "step")
    return f"{facts.get('file', '')}: {facts.get('detail') or state}"
