"""Looks at what was recorded, frame by frame, and judges it again: relabel, void, restore. Deletes nothing.

Reads the session's folder whether or not an engine works on it. Judgements take the way of ``station label``: through
the engine where one runs, else as a journal line under the lock. It moves no arm; stop works from here as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Footer, Input, Static

from datasets.durable import DiskFullError
from datasets.journal import JournalError
from datasets.lock import LockedError
from datasets.selection import SelectionError, Where
from datasets.store import StoreError
from station import verdicts
from station.errors import StationError
from station.review.catalogue import Catalogue, Item
from station.review.playback import Playback
from station.review.take import Group, Take
from station.session.events import Source
from station.session.folder import SessionError, SessionFolder
from station.session.link import LinkError
from station.tui.screens.base import StationScreen
from station.tui.widgets.episodes import EpisodeList
from station.tui.widgets.figures import bar
from station.tui.widgets.panel import Panel
from station.tui.widgets.tile import CameraTile
from station.tui.widgets.trajectory import COLOURS, Trajectory

if TYPE_CHECKING:
    from station.tui.app import StationApp

_NO_TIME = np.zeros(0)
BEAT = 1 / 20
"""s between two looks at the clock while a recording plays."""
LOOK_AGAIN = 2.0
"""s between two looks at the journal."""
SETTLE = 0.12
"""s that the cursor rests on a recording before it is loaded."""
_TROUBLE = (
    DiskFullError,
    JournalError,
    LinkError,
    LockedError,
    OSError,
    SelectionError,
    SessionError,
    StationError,
    StoreError,
)


@dataclass(frozen=True, kw_only=True)
class _Head:
    session: str
    shown: int
    where: str
    live: str


@dataclass(frozen=True, kw_only=True)
class _Position:
    frame: int
    frames: int
    seconds: float
    speed: float
    playing: bool


@dataclass(frozen=True, kw_only=True)
class _Values:
    names: tuple[str, ...]
    values: tuple[float, ...]
    about: str


class ReviewScreen(StationScreen):
    """The recordings of one session."""

    CSS_PATH = "review.tcss"
    SMALLEST = (100, 30)
    app: StationApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "play"),
        Binding("left", "step(-1)", "frame back", show=False),
        Binding("right", "step(1)", "frame", key_display="←→"),
        Binding("shift+left", "step(-10)", "10 back", show=False),
        Binding("shift+right", "step(10)", "10 on", show=False),
        Binding("home", "first", "first", show=False),
        Binding("end", "last", "last frame", show=False),
        Binding("plus,equals_sign", "speed(1)", "speed", key_display="+-", show=False),
        Binding("minus", "speed(-1)", "slower", show=False),
        Binding("tab", "group", "curves", show=False),
        Binding("s", "judge('success')", "success", id="success"),
        Binding("f", "judge('failure')", "failure", id="failure"),
        Binding("t", "judge('timeout')", "timeout"),
        Binding("u", "judge('undo')", "unlabel", id="undo"),
        Binding("v", "void", "void", id="void"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(
        self,
        folder: Path,
        *,
        back: Callable[[], None],
        where: str = "",
        episode: str | None = None,
        live: Callable[[], str] = str,
    ) -> None:
        """`where` chooses recordings, `episode` is shown first, `live` says what the session does meanwhile."""
        super().__init__()
        self._folder = folder
        self._back = back
        self._where = where
        self._wanted = episode
        self._live = live
        self._catalogue: Catalogue | None = None
        self._shown = 0
        self._take: Take | None = None
        self._playback = Playback(_NO_TIME)
        self._group = 0
        self._ticked = time.monotonic()
        self._settling: Timer | None = None

    def compose(self) -> ComposeResult:
        """Sentence, list beside pictures and curves, filter, keys."""
        yield Panel("", _draw_head, id="head")
        yield Static("", id="said")
        with Horizontal(id="body"):
            yield EpisodeList(id="list")
            with Vertical(id="right"):
                yield Horizontal(id="tiles")
                yield Panel("", _draw_position, id="bar")
                yield Trajectory(id="plot")
                yield Panel("", _draw_values, id="values")
        yield Input(self._where, id="where", placeholder="failure and date>=yesterday", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look, and keep looking."""
        self.query_one(EpisodeList).border_title = "recordings, newest first"
        self.query_one(EpisodeList).focus()
        self.set_interval(BEAT, self._tick)
        self.set_interval(LOOK_AGAIN, self.look)
        self.look(anew=True)

    @work(thread=True, group="look")
    def look(self, *, anew: bool = False) -> None:
        """Read the journal's news; show the list again if there were any."""
        where = self._where
        try:
            if self._catalogue is None:
                self._catalogue, anew = Catalogue(SessionFolder.open(self._folder)), True
            if not self._catalogue.refresh() and not anew:
                self.app.call_from_thread(self._show_head)
                return
            found = self._catalogue.items(Where.parse(where))
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
        if not items:
            words = "No recording is meant by this filter." if self._where else "Nothing was recorded yet."
            self._say(words)

    def _show_head(self) -> None:
        name = self._folder.resolve().name
        self.query_one("#head", Panel).show(
            _Head(session=name, shown=self._shown, where=self._where, live=self._live())
        )

    def _say(self, words: str, *, error: bool = False) -> None:
        self.query_one("#said", Static).update(Content.styled(words, "$error" if error else "$foreground"))

    def on_episode_list_chosen(self, message: EpisodeList.Chosen) -> None:
        """Load it once the cursor rests."""
        if self._settling is not None:
            self._settling.stop()
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
        self._take = take
        self._playback = Playback(take.time if take else _NO_TIME, speed=self._playback.speed)
        self._say(trouble, error=True) if trouble else self._say(_verdict_words(chosen))
        self._fit_tiles(take)
        self._draw()

    def _fit_tiles(self, take: Take | None) -> None:
        cameras = set(take.images) if take else set()
        for tile in self.query(CameraTile):
            if tile.camera not in cameras:
                tile.remove()
        there = {tile.camera for tile in self.query(CameraTile)}
        missing = [CameraTile(camera, words="recorded") for camera in sorted(cameras - there)]
        self.query_one("#tiles").mount(*missing)

    def _tick(self) -> None:
        now = time.monotonic()
        passed, self._ticked = now - self._ticked, now
        if self._playback.playing and self._playback.advance(passed):
            self._draw()

    def _draw(self) -> None:
        """Pictures, bar, curves and values of the frame."""
        take, play = self._take, self._playback
        self.query_one("#bar", Panel).show(
            _Position(
                frame=play.frame,
                frames=play.frames,
                seconds=play.elapsed,
                speed=play.speed,
                playing=play.playing,
            )
        )
        for tile in self.query(CameraTile):
            pictures = take.images.get(tile.camera) if take else None
            inside = pictures is not None and play.frame < len(pictures)
            tile.show(pictures[play.frame] if pictures is not None and inside else None)
        group = take.groups[self._group % len(take.groups)] if take else None
        self.query_one(Trajectory).show(group, play.elapsed)
        self.query_one("#values", Panel).show(_values(take, group, play.elapsed))

    def action_play(self) -> None:
        """Play or stand still."""
        self._playback.toggle()
        self._draw()

    def action_step(self, frames: int) -> None:
        """So many frames on."""
        self._playback.step(frames)
        self._draw()

    def action_first(self) -> None:
        """The first frame."""
        self._playback.step(-self._playback.frames)
        self._draw()

    def action_last(self) -> None:
        """How it ended."""
        self._playback.last()
        self._draw()

    def action_speed(self, places: int) -> None:
        """Faster or slower."""
        self._playback.change_speed(places)
        self._draw()

    def action_group(self) -> None:
        """The next group of numbers."""
        self._group += 1
        self._draw()

    def action_judge(self, verdict: str) -> None:
        """Judge what is below the cursor."""
        item = self.query_one(EpisodeList).chosen
        if item is None:
            return
        if item.status is None or item.status.pruned:
            self._say(f"{item.id} is {item.verdict}: it counts nowhere and cannot be judged.", error=True)
            return
        self._say(f"{item.id}: {verdict} …")
        self._judge(item.id, verdict)

    def action_void(self) -> None:
        """Take it out of everything, or back in."""
        item = self.query_one(EpisodeList).chosen
        void = item is not None and item.status is not None and item.status.void
        self.action_judge("restore" if void else "void")

    @work(thread=True, group="judge")
    def _judge(self, episode: str, verdict: str) -> None:
        try:
            verdicts.give(SessionFolder.open(self._folder), episode, verdict, source=Source.REVIEW)
        except _TROUBLE as error:
            self.app.call_from_thread(self._say, str(error), error=True)
            return
        words = "label taken back" if verdict == "undo" else verdict
        self.app.call_from_thread(self._say, f"{episode}: {words}; it is in the journal.")
        self.app.call_from_thread(self.look)

    def action_filter(self) -> None:
        """Write which recordings to show."""
        field = self.query_one("#where", Input)
        field.add_class("-open")
        field.focus()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Enter filters; a slip is said and the field stays open."""
        try:
            Where.parse(message.value)
        except SelectionError as error:
            self._say(str(error).removeprefix("--where"), error=True)
            return
        self._where = message.value
        self._close_filter()
        self.look(anew=True)

    def _close_filter(self) -> None:
        self.query_one("#where", Input).remove_class("-open")
        self.query_one(EpisodeList).focus()

    def action_back(self) -> None:
        """Close the filter, or leave."""
        field = self.query_one("#where", Input)
        if field.has_class("-open"):
            field.value = self._where
            self._close_filter()
        else:
            self._back()

    @property
    def folder(self) -> Path:
        """The session that is looked at."""
        return self._folder


def _draw_head(head: _Head, columns: int, rows: int) -> Content:
    where = f"  filter: {head.where}" if head.where else ""
    return Content.assemble(
        (" REVIEW ", "$background on $secondary bold"),
        f"  {head.session}  ",
        (f"{head.shown} recordings{where}", "$muted"),
        (f"   live: {head.live}" if head.live else "", "$warning"),
        ("   end last frame · +- speed · tab other curves", "$muted"),
    )


def _draw_position(at: _Position, columns: int, rows: int) -> Content:
    if not at.frames:
        return Content("")
    share = at.frame / max(1, at.frames - 1)
    sign = "▶" if at.playing else "‖"
    words = f" {sign} {at.speed:g}x  frame {at.frame + 1}/{at.frames}  {at.seconds:.2f} s  "
    return Content.assemble(words, (bar(share, max(6, columns - len(words) - 1)), "$primary"))


def _draw_values(model: _Values, columns: int, rows: int) -> Content:
    parts: list[tuple[str, str]] = [
        (f"{name} {value:+.3f}  ", f"${COLOURS[index % len(COLOURS)]}")
        for index, (name, value) in enumerate(zip(model.names, model.values, strict=True))
    ]
    return Content("\n").join([Content.assemble(*parts), Content.styled(model.about, "$muted")][:rows])


def _values(take: Take | None, group: Group | None, now: float) -> _Values:
    if take is None or group is None or not len(group.time):
        return _Values(names=(), values=(), about=take.about if take else "")
    row = max(0, int(group.time.searchsorted(now, side="right")) - 1)
    return _Values(names=group.names, values=tuple(map(float, group.values[row])), about=take.about)


def _verdict_words(item: Item) -> str:
    if item.status is None:
        return f"{item.id}: cut off, counts nowhere and cannot be judged: {item.reason}"
    by = f" by {item.status.by}" if item.status.by else ""
    void = f" (label: {item.status.outcome or 'pending'})" if item.status.void else ""
    return f"{item.id}: {item.verdict}{void}{by}"
