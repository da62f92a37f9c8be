"""The list of sessions, the stage of each, and what to do next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable, Footer, Static

from station.plain import visible
from station.session.snapshot import Counts, Rate
from station.tui.screens.base import StationScreen
from station.tui.screens.help import KeysHelp, keys_of
from station.tui.session_list import Card, Library, SessionStage, next_step
from station.tui.sight import unread
from station.tui.widgets.panel import Panel
from station.tui.widgets.strip import outcome_strip
from station.tui.wording import rate_words

LOOK_AGAIN = 10.0
"""s between scans of the folders."""
_DEMONSTRATOR = "Let a simulated demonstrator record for it, then import and train. Simulated cells only."
_REMARKS = (
    "Enter does what the chosen session needs next: import, train, teach, or come back to it.\n"
    "Inside a session ? lists the keys with which it is taught."
)
COLUMNS = ("session", "task", "state", "demos", "episodes", "rolling", "base", "evaluation")


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where the home screen leads; the app opens them."""

    session: Callable[[Path], None]
    importing: Callable[[Path], None]
    training: Callable[[Path], None]
    demonstrating: Callable[[Path], None]
    new: Callable[[], None]
    review: Callable[[Path], None]


def _draw_card(card: Card, columns: int, rows: int) -> Content:
    lines = [
        Content.assemble((card.name, "bold"), (f"  {visible(str(card.path))}", "$muted")),
        Content.styled(next_step(card), "$primary bold"),
    ]
    if card.counts.base_success is not None:
        lines.append(Content.styled(_rates(card.counts), "$muted"))
    if card.counts.last:
        lines.append(outcome_strip(card.counts.last, columns))
    return Content("\n").join(lines[:rows])


class HomeScreen(StationScreen):
    """A table of sessions; Enter does what the chosen one needs next."""

    CSS_PATH = "home.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "new", tooltip="A new session: a name, a task, a seed."),
        Binding("i", "importing", "import", tooltip="Import recordings into the chosen session."),
        Binding(
            "t", "training", "train", tooltip="Train its base policy, or continue where that was interrupted."
        ),
        Binding("d", "demonstrating", "demonstrator", tooltip=_DEMONSTRATOR),
        Binding("b", "review", "review", tooltip="Play its recordings; relabel, void and restore them."),
        Binding("r", "look", "look again", show=False, tooltip="Look at the folders again; else every 10 s."),
        Binding("question_mark", "help", "help", key_display="?", tooltip="These keys."),
        Binding("q", "app.leave", "quit", tooltip="Leave the station; engines that run keep running."),
    ]

    def __init__(self, sessions: Path, doors: Doors) -> None:
        """`sessions` is the folder that is searched."""
        super().__init__()
        self._sessions = sessions
        self._doors = doors
        self._library = Library(sessions)
        self._cards: Sequence[Card] = ()
        self._wanted: Path | None = None
        """To be chosen as soon as it is found."""
        self._changed = float("-inf")
        """Since when the selected session has its state and position, cursor moves aside, s, monotonic."""

    def compose(self) -> ComposeResult:
        """Greeting, table, the chosen session, keys."""
        yield Static(
            Content.assemble(("station", "bold $primary"), (f"  {self._sessions}", "$muted")), id="title"
        )
        yield DataTable(id="sessions", cursor_type="row")
        yield Static("", id="empty")
        yield Panel("chosen session: what to do next", _draw_card, id="chosen")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Fill the table and keep looking."""
        self.query_one(DataTable).add_columns(*COLUMNS)
        self.set_interval(LOOK_AGAIN, self.action_look)

    def choose(self, folder: Path) -> None:
        """Look again, with the cursor on this session."""
        self._wanted = self._sessions / folder.name
        self.action_look()

    def on_screen_resume(self) -> None:
        """Refresh on return."""
        self.action_look()

    @work(thread=True, exclusive=True, group="look")
    def action_look(self) -> None:
        """Refresh."""
        found = self._library.cards()
        self.app.call_from_thread(self._show, found)

    def _show(self, found: Sequence[Card]) -> None:
        if found == self._cards and found:
            return
        table, before = self.query_one(DataTable), self.chosen
        row = _row_of(self._wanted or (self.chosen.path if self.chosen is not None else None), found)
        self._wanted = None
        self._cards = found
        table.clear()
        for card in found:
            # as text: a name may hold what reads as markup
            table.add_row(*map(Text, _cells(card)), key=str(card.path))
        table.move_cursor(row=row)
        table.display = bool(found)
        empty = self.query_one("#empty", Static)
        empty.display = not found
        empty.update(
            Content(f"No session in {self._sessions} yet.\nPress n to begin one: a name, a task, a seed.")
        )
        if _next(self.chosen) != _next(before):
            self._changed = time.monotonic()
        self._show_chosen()

    @property
    def chosen(self) -> Card | None:
        """The session below the cursor."""
        row = self.query_one(DataTable).cursor_row
        return self._cards[row] if 0 <= row < len(self._cards) else None

    def _show_chosen(self) -> None:
        panel = self.query_one("#chosen", Panel)
        panel.display = self.chosen is not None
        if self.chosen is not None:
            panel.show(self.chosen)

    def on_data_table_row_highlighted(self) -> None:
        """Another session below the cursor."""
        self._show_chosen()

    def on_data_table_row_selected(self) -> None:
        """Enter: what the session needs next."""
        card = self.chosen
        if card is None or card.progress is SessionStage.UNREADABLE or self._unread():
            return
        if card.running or card.progress in (
            SessionStage.TRAINED,
            SessionStage.ONLINE,
            SessionStage.FINISHED,
        ):
            self._doors.session(card.path)
        elif card.progress is SessionStage.DEMONSTRATIONS:
            self._doors.training(card.path)
        else:
            self._doors.importing(card.path)

    def action_new(self) -> None:
        """A new session."""
        self._doors.new()

    def action_importing(self) -> None:
        """Import recordings into the chosen session."""
        self._enter(self._doors.importing)

    def action_training(self) -> None:
        """Train the base of the chosen session."""
        self._enter(self._doors.training)

    def action_demonstrating(self) -> None:
        """Let the simulated demonstrator record for the chosen session."""
        self._enter(self._doors.demonstrating)

    def action_help(self) -> None:
        """What the keys do here."""
        self.app.push_screen(KeysHelp("Sessions", keys_of(self), _REMARKS))

    def action_review(self) -> None:
        """Look at what was recorded in the chosen session, whether or not its engine runs."""
        if self.chosen is not None:
            self._doors.review(self.chosen.path)

    def _unread(self) -> bool:
        """Refuse a key whose effect has only just changed, and say so."""
        why_not = unread(self._changed, self.app.key_time)
        if why_not:
            self.notify(f"The list has changed, and {why_not}", severity="warning")
        return bool(why_not)

    def _enter(self, door: Callable[[Path], None]) -> None:
        card = self.chosen
        if self._unread():
            return
        if card is None:
            self.notify("Choose a session first, or press n for a new one.")
        elif card.running:
            self.notify("Its engine is running; end it first (Enter, then q).", severity="warning")
        elif card.progress is SessionStage.UNREADABLE:
            self.notify(card.trouble, severity="error")
        else:
            door(card.path)


def _next(card: Card | None) -> tuple[Path, SessionStage, bool] | None:
    """What decides what a key does with this session."""
    return None if card is None else (card.path, card.progress, card.running)


def _row_of(path: Path | None, found: Sequence[Card]) -> int:
    """A session's current row: the last changed moves up, and Enter must not hit another because of that."""
    return next((row for row, card in enumerate(found) if card.path == path), 0)


def _newest(counts: Counts) -> Rate | None:
    """Of a complete block."""
    return next((point.rate for point in reversed(counts.evaluations) if not point.early), None)


def _rates(counts: Counts) -> str:
    """Rates with intervals, for which the table has no room."""
    rates = {"base": counts.base_success, "rolling": counts.rolling, "newest evaluation": _newest(counts)}
    return ", ".join(f"{name} {rate_words(rate)}" for name, rate in rates.items())


def _short(rate: Rate | None) -> str:
    return f"{100 * rate.value:.0f}% of {rate.n}" if rate is not None and rate.n else "–"


def _cells(card: Card) -> tuple[str, ...]:
    counts = card.counts
    state = f"▸ {card.progress.value}" if card.running else card.progress.value
    return (
        card.name,
        card.task,
        state,
        str(counts.demos),
        str(counts.episodes),
        _short(counts.rolling),
        _short(counts.base_success),
        _short(_newest(counts)),
    )
