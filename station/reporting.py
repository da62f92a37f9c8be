"""How a long job reports: a progress bar for people, one JSON object per line for programs.

Lines are ``{"event": "progress" | "finding" | "result" | "done" | "error", ...}``. A reporter never decides anything
and keeps nothing; what counts is in the session's journal.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from station.plain import ReaderGoneError, say, terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reporter(ABC):
    """Receives a job's progress and events; a context manager around the whole job."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, also after an error."""
        return

    @abstractmethod
    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        """`done` of `total` steps of `stage`; `figures` may hold eta (s), loss, held_out."""

    @abstractmethod
    def event(self, kind: str, **facts: Any) -> None:
        """A finding, a result, or completion."""


class JsonReporter(Reporter):
    """One JSON object a line on standard output, progress at most a few times a second."""

    def __init__(
        self,
        *,
        interval: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], Any] | None = None,
    ) -> None:
        """`interval` s between two progress lines of one stage; the last one of a stage is always written."""
        self._interval = interval
        self._clock = clock
        self._write = write or say
        self._last: tuple[str, float] = ("", 0.0)

    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        """See Reporter."""
        now = self._clock()
        stage_before, before = self._last
        if stage == stage_before and done < total and now - before < self._interval:
            return
        self._last = (stage, now)
        self.event("progress", stage=stage, done=done, total=total, **figures)

    def event(self, kind: str, **facts: Any) -> None:
        """See Reporter."""
        self._write(json.dumps({"event": kind, **facts}, default=str))


class _Lines:
    """Progress without a bar: a line when a stage begins, now and then, and when it ends."""

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._stage: tuple[str, int] = ("", 0)
        self._done = 0
        self._told = 0.0
        self._pending = ""
        self._newest = ""

    def progress(self, stage: str, done: int, total: int, figures: dict[str, float | None]) -> None:
        now, begins = self._clock(), stage != self._stage[0]
        if begins:
            self.flush()
        # without a goal the total grows with what is done, and no stage ends
        ends = (stage, total) == self._stage and self._done < total <= done
        self._stage, self._done = (stage, total), done
        self._pending = _line(stage, done, total, figures)
        if begins or ends or now - self._told >= self._interval:
            self._told = now
            self.flush()

    def flush(self) -> None:
        """Print what is pending."""
        line, self._pending = self._pending, ""
        if line and line != self._newest:
            self._newest = line
            say(line)


class TerminalReporter(Reporter):
    """Progress bars with time left on a terminal; plain lines where there is none."""

    def __init__(
        self,
        describe: Callable[[str, dict[str, Any]], Sequence[str]] | None = None,
        *,
        interval: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`describe` turns a finding or a result into lines, none to keep quiet about it.

        `interval` s between two lines of one stage where there is no terminal.
        """
        self._describe = describe or (lambda _kind, _facts: ())
        self._lines = _Lines(interval, clock)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars, if they can be drawn."""
        console = terminal()
        if not console.is_terminal:
            return self
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            transient=False,
        )
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal; without one, print the final progress."""
        if self._bars is not None:
            self._bars.stop()
        elif kind is None or not issubclass(kind, ReaderGoneError):
            self._lines.flush()

    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        """See Reporter."""
        if self._bars is None:
            self._lines.progress(stage, done, total, figures)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, figures="")
        self._bars.update(self._tasks[stage], completed=done, total=total, figures=_figures(figures))

    def event(self, kind: str, **facts: Any) -> None:
        """See Reporter."""
        lines = self._describe(kind, facts)
        if not lines:
            return
        if self._bars is not None:
            self._bars.console.print(*lines, sep="\n")
        else:
            say(*lines)


class SilentReporter(Reporter):
    """Reports nothing; for callers that read the journal."""

    def progress(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        """See Reporter."""

    def event(self, kind: str, **facts: Any) -> None:
        """See Reporter."""


def _line(stage: str, done: int, total: int, figures: dict[str, float | None]) -> str:
    """``pretrain 1200/20000  loss 0.123  about 4 min left``."""
    from station.tui.wording import about

    eta = figures.get("eta")
    left = f"{about(eta)} left" if eta is not None and done < total else ""
    return "  ".join(part for part in (f"{stage} {done}/{total}", _figures(figures), left) if part)


def _figures(figures: dict[str, float | None]) -> str:
    return "  ".join(
        f"{name.replace('_', '-')} {value if isinstance(value, int) else format(value, '.3f')}"
        for name, value in figures.items()
        if name != "eta" and value is not None
    )
