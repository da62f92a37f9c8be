"""The session screen: what the robot sees and does, what the operator should do, and whether it improves.

Polls the newest snapshot on a timer and redraws what changed. It decides nothing about the session: every key goes
through the action table to the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.worker import Worker

from station.session.core.events import EndEvaluation, Leave, Note
from station.session.snapshot import Counts, EpisodeMark, Phase, Snapshot
from station.tui.actions import ACTIONS, BY_ID
from station.tui.attachment import Attachment, LineStatus
from station.tui.key_dispatcher import Echo, Origin, PressStatus
from station.tui.keymap import Keymap
from station.tui.pads import Pads
from station.tui.screens.base import StationScreen
from station.tui.screens.ending import EndEvaluationScreen
from station.tui.screens.evaluation import EvaluationScreen
from station.tui.screens.help import HelpScreen
from station.tui.screens.leaving import LeaveScreen, Leaving
from station.tui.screens.noting import NoteScreen
from station.tui.sight import Sight
from station.tui.widgets import figures
from station.tui.widgets.curves import LengthCurve, SuccessCurve
from station.tui.widgets.headline import Call, bearing, call, call_without, draw_bearing, draw_call
from station.tui.widgets.keybar import KeyBar, KeyChip
from station.tui.widgets.panel import Panel
from station.tui.widgets.strip import legend, outcome_strip
from station.tui.widgets.tile import CameraTile

BEAT = 1.2
"""s that the target layout is blended over the live image, in alternation with the live image alone."""


_MOVING = (Phase.HOMING, Phase.ROLLOUT, Phase.EVALUATE)


def _draw_strip(marks: tuple[EpisodeMark, ...], columns: int, rows: int) -> Content:
    return outcome_strip(marks, columns)


class SessionScreen(StationScreen):
    """One running session."""

    CSS_PATH = "session.tcss"
    GUIDE = "day"
    SMALLEST = (100, 30)

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(action.key, f"press('{action.id}')", action.label, tooltip=action.help, id=action.id)
            for action in ACTIONS
            if action.id != "stop"
        ),
        Binding("enter", "restart", "start the engine again", show=False),
    ]

    def __init__(
        self,
        attachment: Attachment,
        keymap: Keymap,
        pads: Pads,
        *,
        refresh: float,
        review: Callable[[Path], None],
        on_left: Callable[[], None],
    ) -> None:
        """`refresh` Hz; `review` opens a session's recordings; `on_left` is called once the operator has left."""
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (40, "-tall")]
        self._attachment = attachment
        self._keymap = keymap
        self._pads = pads
        self._refresh_hz = refresh
        self._review = review
        self._on_left = on_left
        self._seeker: Worker[None] | None = None
        self._ending = False
        self._beat = False
        self._hidden = False
        """Whether another screen covered this one at the last poll."""

    @property
    def attachment(self) -> Attachment:
        """The session that is shown."""
        return self._attachment

    def compose(self) -> ComposeResult:
        """Title, headline, images and curves at the left, figures at the right, keys below."""
        yield Panel("", draw_bearing, id="bearing")
        yield Panel("", draw_call, id="call")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Horizontal(id="tiles")
                yield Panel(f"last · {legend()}", _draw_strip, id="strip")
                with Horizontal(id="curves"):
                    yield SuccessCurve("success % by environment steps", id="success-curve")
                    yield LengthCurve("steps per episode", id="length-curve")
            with Vertical(id="right"):
                yield Panel("success", figures.success, id="success")
                yield Panel("steering", figures.steering, id="steering")
                yield Panel("health", figures.health, id="health")
                yield Panel("time", figures.time_ledger, id="time")
                yield Panel("log", figures.log, id="log")
        yield KeyBar(self._keymap)

    def on_mount(self) -> None:
        """Start looking for the engine and at its snapshots."""
        self.set_interval(1 / self._refresh_hz, self.poll)
        self.set_interval(BEAT, self._turn_beat)
        self.poll()

    def on_unmount(self) -> None:
        """Disconnect; the engine keeps running."""
        self._attachment.close()

    def poll(self) -> None:
        """Poll once; redraw what changed."""
        self._look_who_hides()
        if self._attachment.line in (LineStatus.SEEKING, LineStatus.STARTING):
            self._seek_once()
        fresh = self._attachment.poll()
        if self._ending and self._attachment.line is LineStatus.LOST:
            self._left()
            return
        if fresh is not None:
            self._show(fresh)
        self._show_call()

    def on_screen_resume(self) -> None:
        """What changed meanwhile has not been read yet."""
        self._look_who_hides()

    def hidden_in(self, stack: Sequence[Screen[object]]) -> bool:
        """Whether another screen covers the whole session; a dialog leaves its headline visible."""
        if self not in stack:  # it is being closed
            return True
        above = stack[stack.index(self) + 1 :]
        return any(isinstance(screen, HelpScreen) or not isinstance(screen, ModalScreen) for screen in above)

    def _look_who_hides(self) -> None:
        hidden = self.hidden_in(self.app.screen_stack)
        if self._hidden and not hidden:
            self._attachment.uncovered()
        self._hidden = hidden

    def _seek_once(self) -> None:
        if self._seeker is None or self._seeker.is_finished:
            self._seeker = self._seek()

    @work(thread=True)
    def _seek(self) -> None:
        feed = self._attachment.seek()
        if feed is not None:
            self.app.call_from_thread(self._attachment.take, feed)

    def _show(self, snapshot: Snapshot) -> None:
        self.query_one("#bearing", Panel).show(bearing(snapshot, watching=self._attachment.watching))
        self._show_counts(snapshot.counts)
        title = f"steering · {snapshot.steering.method}" if snapshot.steering.method else "steering"
        self.query_one("#steering", Panel).border_title = Content(title)
        self.query_one("#steering", Panel).show(snapshot.steering)
        self.query_one("#health", Panel).show(
            figures.Vitals(live=snapshot.health, moving=snapshot.phase in (Phase.ROLLOUT, Phase.EVALUATE))
        )
        self.query_one("#time", Panel).show(snapshot.ledger)
        self.query_one("#log", Panel).show(snapshot.log)
        self._show_tiles(snapshot)

    def _show_counts(self, counts: Counts) -> None:
        self.query_one("#success", Panel).show(counts)
        self.query_one("#strip", Panel).show(counts.last)
        self.query_one(SuccessCurve).show(counts)
        self.query_one(LengthCurve).show(counts)

    def _show_tiles(self, snapshot: Snapshot) -> None:
        tiles = {tile.camera: tile for tile in self.query(CameraTile)}
        missing = [CameraTile(camera) for camera in snapshot.tiles if camera not in tiles]
        if missing:
            self.query_one("#tiles").mount(*missing)
        waiting = snapshot.phase is Phase.READY
        for camera, tile in tiles.items() | {(tile.camera, tile) for tile in missing}:
            target = snapshot.target.get(camera) if waiting else None
            tile.show(snapshot.tiles.get(camera), target, blend=self._beat)

    def _show_call(self) -> None:
        echo = self._attachment.dispatcher.absorb() if self._attachment.dispatcher else None
        if echo is not None and echo.action == "leave" and echo.status is PressStatus.REFUSED:
            self._ending = False
        self.query_one("#call", Panel).show(self._call(echo))

    def _call(self, echo: Echo | None) -> Call:
        snapshot = self._attachment.shown
        if snapshot is None or self._attachment.line is not LineStatus.LIVE:
            said = call_without(self._attachment, echo, self._keymap)
        else:
            said = call(snapshot, echo, self._keymap)
        return replace(said, unseen=self._attachment.unseen)

    def _turn_beat(self) -> None:
        snapshot = self._attachment.shown
        self._beat = not self._beat
        if snapshot is not None and snapshot.phase is Phase.READY and snapshot.target:
            self._show_tiles(snapshot)

    def action_press(self, action: str) -> None:
        """One press of one key of the table."""
        self._look_who_hides()
        dialogs: dict[str, Callable[[], object]] = {
            "note": self._note,
            "leave": self._leave,
            "keys": self._attachment.take_keys,
            "help": lambda: self.app.push_screen(HelpScreen(self._keymap, self._pads.lines())),
            "review": lambda: self._review(self._attachment.folder),
            "points": lambda: self.app.push_screen(EvaluationScreen(self._attachment)),
        }
        if action == "evaluate" and self._may_end_early():
            return
        if action in dialogs:
            dialogs[action]()
            return
        self._report(self._attachment.press(action, origin=Origin(time=self.app.key_time)))

    def _report(self, echo: Echo | None) -> None:
        """Show what a press did: in the headline, or where no engine is attached as a notification."""
        if echo is not None and not self._attachment.attached:
            lost = echo.status is PressStatus.LOST
            self.notify(str(echo), severity="error" if lost else "warning", timeout=12)
        self._show_call()

    def brake(self) -> None:
        """The pause key in doubt: brakes, and never ends a pause."""
        self._attachment.brake()
        self._show_call()

    @property
    def moves(self) -> bool:
        """Whether a real arm moves, as far as this screen knows."""
        shown = self._attachment.shown
        alive = self._attachment.line in (LineStatus.LIVE, LineStatus.SILENT)
        return alive and shown is not None and not shown.simulated and shown.phase in _MOVING

    @property
    def told(self) -> tuple[str, bool]:
        """The newest press's outcome, and whether it is decided."""
        echo = self._attachment.dispatcher.absorb() if self._attachment.dispatcher is not None else None
        undecided = echo is not None and echo.status in (PressStatus.TAKEN, PressStatus.UNANSWERED)
        return str(echo or ""), not undecided or self._attachment.line is LineStatus.LOST

    @property
    def may_brake(self) -> bool:
        """Whether `pause` can only brake now: a paused arm never resumes unseen."""
        shown = self._attachment.shown
        return shown is not None and shown.phase is not Phase.PAUSED

    def works_unseen(self, action: str, parameters: tuple[object, ...]) -> bool:
        """See StationScreen."""
        if action != "press":
            return super().works_unseen(action, parameters)
        return parameters[0] in ("stop", "leave") or (parameters[0] == "pause" and self.may_brake)

    def unseen_keys(self) -> str:
        """See StationScreen."""
        show = self._keymap.show
        return (
            f"The session keeps running. {show('stop')} or Ctrl+X stops the arm, {show('pause')} brakes it, "
            f"{show('leave')} leaves; no other key works."
        )

    def answer(self, key: str, why: str) -> None:
        """Report a press without meaning in the echo."""
        if self._attachment.dispatcher is not None:
            self._attachment.dispatcher.answer(key, why)
        else:
            self.notify(f"{key}: {why}", timeout=3)
        self._show_call()

    def press_from(self, action: str, origin: Origin, sight: Sight | None, trouble: str = "") -> None:
        """One press of a pedal or hotkey; `sight` is what was on the screen when it went down.

        `trouble`: why the stop it requested could not be set.
        """
        if BY_ID[action].intent is None:
            if self.app.screen is self:
                self.action_press(action)
            return
        if action == "stop":
            self._report(self._attachment.tell_of_stop(origin, trouble))
        else:
            self._report(self._attachment.press(action, sight, origin))

    def on_key_chip_pressed(self, message: KeyChip.Pressed) -> None:
        """A click on a key is a press of it."""
        self.action_press(message.action)

    def action_restart(self) -> None:
        """Start the engine again after it was lost."""
        if why_not := self._attachment.restart():
            self.notify(why_not, severity="warning")
        self.poll()

    def _note(self) -> None:
        episode = self._attachment.shown.episode if self._attachment.shown else None

        def write(text: str | None) -> None:
            if text:
                self._attachment.tell(Note(text=text, episode=episode), "note")
                self._show_call()

        self.app.push_screen(NoteScreen(episode), write)

    def _may_end_early(self) -> bool:
        """Ask whether the running evaluation should end early; whether there is one to ask about."""
        shown = self._attachment.shown
        if (
            shown is None
            or not shown.evaluating
            or shown.block_ends
            or self._attachment.line is not LineStatus.LIVE
        ):
            return False

        def end(answer: bool | None) -> None:
            if answer:
                self._attachment.tell(EndEvaluation(), "evaluate")
                self._show_call()

        self.app.push_screen(EndEvaluationScreen(done=shown.block_done, size=shown.block_size), end)
        return True

    def _leave(self) -> None:
        if self._ending or self._attachment.line is not LineStatus.LIVE:
            self._left()
            return
        self.app.push_screen(LeaveScreen(simulated=bool(self._attachment.simulated)), self._leave_as)

    def _leave_as(self, leaving: Leaving | None) -> None:
        if leaving is Leaving.KEEP:
            self._left()
        elif leaving is Leaving.END:
            self._ending = True
            self._attachment.tell(Leave(), "leave")
            self._show_call()

    def _left(self) -> None:
        self._attachment.close()
        self._on_left()
