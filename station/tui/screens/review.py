"""Plays recordings frame by frame and relabels, voids or restores them. Deletes nothing.

Reads the session's folder, with or without a running engine. Labels work as in ``station label``: through
the engine if one runs, else as a journal line under the lock. It moves no arm; stop works from here too.
While a real arm moves, the play key brakes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Footer, Input

from datasets.errors import StationError
from datasets.journal.journal import Line
from datasets.journal.records import Record
from datasets.selection import SelectionError, Where
from station.jobs import verdicts
from station.review.catalogue import Catalogue, Item
from station.review.take import Take
from station.session.core.events import EventSource
from station.session.folder import SessionFolder
from station.tui.screens.base import StationScreen
from station.tui.screens.help import KeysHelp, keys_of
from station.tui.sight import unnamed
from station.tui.widgets.episodes import EpisodeList
from station.tui.widgets.measured import Words
from station.tui.widgets.panel import Panel
from station.tui.widgets.player import Player
from station.tui.widgets.recording import Head, draw_head

LOOK_AGAIN = 2.0
"""s between checks of the journal."""
SETTLE = 0.12
"""s that the cursor rests on a recording before it is loaded."""
CONFIRMED = 2.0
"""s that a label's confirmation stays before reloading the same recording may replace it."""
ANSWERED = 0.5
"""s between checks of a brake's outcome."""
_PLAY = "Play by the recorded time, or stand still. While a real arm moves: brake it."
_STEP = "One frame back, one frame on."
_LEAP = "Ten frames back, ten frames on."
_ENDS = "The first frame, the last one: how it ended."
_SPEED = "Faster, slower."
_CURVES = "Other curves: action, what was sent, proprioception, gripper, label."
_UNDO = "Take the label back; of a demonstration, back to what its recorder said."
_REMARKS = (
    "A judgement goes into the journal, with who and when; the learner hears of it at its next update.\n"
    "? pending, ▸ running, · cut off, – pruned. The letter behind the bar is how it was judged in the end.\n"
    "Filter: names (success failure timeout pending void, online demo evaluation), and or not ( ),\n"
    "and version, steps, date, method compared with a value. Nothing is deleted before 'station prune'."
)
_TROUBLE = (StationError, OSError)


@dataclass(frozen=True, kw_only=True)
class Beneath:
    """The session running below this screen; by default none."""

    live: Callable[[], str] = str
    """What it does."""
    moves: Callable[[], bool] = bool
    """Whether a real arm moves."""
    brake: Callable[[], None] = lambda: None
    told: Callable[[], tuple[str, bool]] = lambda: ("", True)
    """The newest press's outcome, and whether it is decided."""


class ReviewScreen(StationScreen):
    """The recordings of one session."""

    CSS_PATH = "review.tcss"
    GUIDE = "evaluation"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "play", id="pause", tooltip=_PLAY),
        Binding("left", "step(-1)", "frame back", show=False, tooltip=_STEP),
        Binding("right", "step(1)", "frame", show=False, tooltip=_STEP),
        Binding("shift+left", "step(-10)", "10 back", show=False, tooltip=_LEAP),
        Binding("shift+right", "step(10)", "10 on", show=False, tooltip=_LEAP),
        Binding("home", "first", "first", show=False, tooltip=_ENDS),
        Binding("end", "last", "last frame", show=False, tooltip=_ENDS),
        Binding("plus,equals_sign", "speed(1)", "faster", show=False, key_display="+", tooltip=_SPEED),
        Binding("minus", "speed(-1)", "slower", show=False, tooltip=_SPEED),
        Binding("tab", "group", "curves", show=False, tooltip=_CURVES),
        Binding("s", "judge('success')", "success", id="success", tooltip="Label it a success."),
        Binding("f", "judge('failure')", "failure", id="failure", tooltip="Label it a failure."),
        Binding("t", "judge('timeout')", "timeout", show=False, tooltip="Label it a timeout: neither."),
        Binding("u", "judge('undo')", "undo", id="undo", tooltip=_UNDO),
        Binding(
            "v", "void", "void", id="void", tooltip="Take it out of every count, or back in. Deletes nothing."
        ),
        Binding("slash", "filter", "filter", tooltip="Which to show: failure and date>=yesterday."),
        Binding("question_mark", "help", "help", id="help", tooltip="These keys."),
        Binding("escape,q", "back", "back", tooltip="Close the filter, or leave."),
    ]

    def __init__(
        self,
        folder: Path,
        *,
        back: Callable[[], None],
        where: str = "",
        episode: str | None = None,
        beneath: Beneath | None = None,
    ) -> None:
        """`where` filters recordings, `episode` is shown first, `beneath` is the session running meanwhile."""
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-middle"), (34, "-tall")]
        self._folder = folder
        self._back = back
        self._where = where
        self._wanted = episode
        self._beneath = beneath or Beneath()
        self._catalogue: Catalogue | None = None
        self._shown = 0
        self._judged: set[str] = set()
        """Kept in the list until a filter is entered, so undo applies to what was just labelled."""
        self._confirmed = ("", -CONFIRMED)
        """Whose judgement was confirmed, and when."""
        self._settling: Timer | None = None

    def compose(self) -> ComposeResult:
        """Sentence, list beside the recording, filter, keys."""
        yield Panel("", draw_head, id="head")
        yield Words("", id="said")
        with Horizontal(id="body"):
            yield EpisodeList(id="list")
            yield Player(id="player")
        yield Input(self._where, id="where", placeholder="failure and date>=yesterday", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look, and keep looking."""
        self.query_one(EpisodeList).border_title = "recordings, newest first"
        self.query_one(EpisodeList).focus()
        self.set_interval(LOOK_AGAIN, self.look)
        self.look(redraw=True)

    @work(thread=True, group="look")
    def look(self, *, redraw: bool = False) -> None:
        """Read new journal lines; redraw the list if there were any."""
        where = self._where
        try:
            if self._catalogue is None:
                self._catalogue, redraw = Catalogue(SessionFolder.open(self._folder)), True
            if not self._catalogue.refresh() and not redraw:
                self.app.call_from_thread(self._show_head)
                return
            found = self._catalogue.items(Where.parse(where), kept=frozenset(self._judged))
        except _TROUBLE as error:
            self.app.call_from_thread(self._say, str(error), error=True)
            return
        self.app.call_from_thread(self._show_list, found, where)

    def _show_list(self, items: list[Item], where: str) -> None:
        if where != self._where:
            return
        wanted, self._wanted = self._wanted, None
        self._shown = len(items)
        self.query_one(EpisodeList).show(items, wanted)
        self._show_head()
        chosen = self.query_one(EpisodeList).chosen
        if chosen is not None:
            self._recall(chosen)
        else:
            words = "No recordings match this filter." if self._where else "Nothing was recorded yet."
            self._say(words)

    def _show_head(self) -> None:
        name = self._folder.resolve().name
        self.query_one("#head", Panel).show(
            Head(session=name, shown=self._shown, where=self._where, live=self._beneath.live())
        )

    @work(thread=True, exclusive=True, group="recall")
    def _recall(self, item: Item) -> None:
        """Who judged it, and when."""
        assert self._catalogue is not None
        try:
            history = self._catalogue.history(item.id)
        except _TROUBLE as error:
            self.app.call_from_thread(self._say, str(error), error=True)
        else:
            self.app.call_from_thread(self._show_history, item, history)

    def _show_history(self, item: Item, history: tuple[Line[Record], ...]) -> None:
        chosen = self.query_one(EpisodeList).chosen
        if chosen is not None and chosen.id == item.id:
            self._player.judged(item.verdict, history)

    def _say(self, words: str, *, error: bool = False) -> None:
        self.query_one("#said", Words).update(Content.styled(words, "$error" if error else "$foreground"))

    def on_episode_list_chosen(self, message: EpisodeList.Chosen) -> None:
        """Load it once the cursor rests."""
        if self._settling is not None:
            self._settling.stop()
        self._say(f"{message.item.id}: reading …")
        self._settling = self.set_timer(SETTLE, lambda: self._load(message.item))

    @work(thread=True, group="load")
    def _load(self, item: Item) -> None:
        assert self._catalogue is not None
        try:
            take = self._catalogue.load(item)
        except _TROUBLE as error:
            self.app.call_from_thread(self._show_take, item, None, str(error))
        else:
            self.app.call_from_thread(self._show_take, item, take, take.trouble)

    def _show_take(self, item: Item, take: Take | None, trouble: str) -> None:
        chosen = self.query_one(EpisodeList).chosen
        if chosen is None or chosen.id != item.id:
            return
        self._player.show(take, item.verdict)
        self._recall(item)
        if trouble:
            self._say(trouble, error=True)
        elif self._confirmed[0] != item.id or time.monotonic() - self._confirmed[1] >= CONFIRMED:
            self._say(_verdict_words(chosen))

    def action_play(self) -> None:
        """Play or pause; while a real arm moves, brake, as on the session screen."""
        if self._beneath.moves():
            self.brake()
        elif not self.covered:
            self._player.play()

    def brake(self) -> None:
        """Brake the arm below, and show the outcome."""
        self._beneath.brake()
        self._tell_of_brake()

    def _tell_of_brake(self) -> None:
        words, decided = self._beneath.told()
        self._say(f"The arm below moves: {words}")
        self._show_head()
        if not decided:
            self.set_timer(ANSWERED, self._tell_of_brake)

    def works_unseen(self, action: str, parameters: tuple[object, ...]) -> bool:
        """See StationScreen."""
        return super().works_unseen(action, parameters) or (action == "play" and self._beneath.moves())

    def action_step(self, frames: int) -> None:
        """So many frames on."""
        self._player.step(frames)

    def action_first(self) -> None:
        """The first frame."""
        self._player.first()

    def action_last(self) -> None:
        """How it ended."""
        self._player.last()

    def action_speed(self, places: int) -> None:
        """Faster or slower."""
        self._player.change_speed(places)

    def action_group(self) -> None:
        """The next group of numbers."""
        self._player.next_group()

    def action_judge(self, verdict: str) -> None:
        """Judge what is below the cursor."""
        listed = self.query_one(EpisodeList)
        item = listed.chosen
        if item is None:
            return
        if why_not := unnamed(item.id, listed.chosen_since, self.app.key_time):
            self._say(f"Not now: {why_not}.", error=True)
            return
        if item.running:
            self._say(f"{item.id} still runs: judge it on the session's screen.", error=True)
            return
        if item.status is None or item.status.pruned:
            self._say(f"{item.id} is {item.verdict}: it is not counted and cannot be labelled.", error=True)
            return
        self._say(f"{item.id}: {verdict} …")
        self._judged.add(item.id)
        self._judge(item.id, verdict)

    def action_void(self) -> None:
        """Void it, or restore it."""
        item = self.query_one(EpisodeList).chosen
        void = item is not None and item.status is not None and item.status.void
        self.action_judge("restore" if void else "void")

    @work(thread=True, group="judge")
    def _judge(self, episode: str, verdict: str) -> None:
        try:
            given = verdicts.give(
                SessionFolder.open(self._folder), episode, verdict, source=EventSource.REVIEW
            )
        except _TROUBLE as error:
            self.app.call_from_thread(self._say, str(error), error=True)
            return
        words = "label taken back" if given == "undo" else given
        words += ", as its recorder said" if given != verdict else ""
        self.app.call_from_thread(self._confirm, episode, words)
        self.app.call_from_thread(self.look)

    def _confirm(self, episode: str, words: str) -> None:
        self._confirmed = (episode, time.monotonic())
        self._say(f"{episode}: {words}; it is in the journal.")

    def action_filter(self) -> None:
        """Write which recordings to show."""
        field = self.query_one("#where", Input)
        field.add_class("-open")
        field.focus()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter filters; on an error the field stays open."""
        try:
            Where.parse(message.value)
        except SelectionError as error:
            self._say(str(error).removeprefix("--where"), error=True)
            return
        self._where = message.value
        self._judged.clear()
        self._close_filter()
        self.look(redraw=True)

    def _close_filter(self) -> None:
        self.query_one("#where", Input).remove_class("-open")
        self.query_one(EpisodeList).focus()

    def action_help(self) -> None:
        """What the keys do here."""
        self.app.push_screen(KeysHelp("Review", keys_of(self), _REMARKS))

    def action_back(self) -> None:
        """Close the filter, or leave."""
        field = self.query_one("#where", Input)
        if field.has_class("-open"):
            field.value = self._where
            self._close_filter()
        else:
            self._back()

    @property
    def _player(self) -> Player:
        return self.query_one(Player)

    @property
    def folder(self) -> Path:
        """The session that is looked at."""
        return self._folder


def _verdict_words(item: Item) -> str:
    if item.running:
        return f"{item.id}: running; it counts once it is over and judged"
    if item.status is None:
        return f"{item.id}: cut off, not counted, cannot be labelled: {item.reason}"
    by = f" by {item.status.by}" if item.status.by else ""
    void = f" (label: {item.status.outcome or 'pending'})" if item.status.void else ""
    return f"{item.id}: {item.verdict}{void}{by}"
