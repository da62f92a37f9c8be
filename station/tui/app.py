"""The terminal front end: combines the screens, the operator's keys and the engines it can find.

The session itself runs in another process; closing this one, or losing its terminal, does not touch it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.screen import Screen

from datasets.errors import UsageError
from station.key_devices import load_key_devices
from station.plain import drawable
from station.session.engine.options import EngineOptions
from station.tui.actions import ACTIONS
from station.tui.attachment import Attachment
from station.tui.audience import Lookout, somebody
from station.tui.feed import Engines
from station.tui.jobs import station_command
from station.tui.keyed_app import KeyedApp
from station.tui.keymap import Keymap, load_keymap
from station.tui.pads import Pads
from station.tui.screens.base import StationScreen
from station.tui.screens.creation import NewSessionScreen
from station.tui.screens.guides import GuideScreen
from station.tui.screens.help import HelpScreen, KeysHelp
from station.tui.screens.home import Doors, HomeScreen
from station.tui.screens.import_screen import ImportScreen
from station.tui.screens.review import Beneath, ReviewScreen
from station.tui.screens.session import SessionScreen
from station.tui.screens.work import WorkScreen
from station.tui.theme import STATION_THEME

REFRESH_HZ = 5.0
"""Hz at which the newest snapshot is read."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """What to show first."""

    where: str = ""
    """The filter that selects recordings."""
    episode: str | None = None


class PlainLines(LineFilter):
    """Removes control characters from everything a screen draws."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """See LineFilter."""
        return [
            Segment(drawable(text).replace("\n", ""), style, control) for text, style, control in segments
        ]


class StationApp(KeyedApp):
    """The station on a terminal."""

    TITLE = "station"
    CSS_PATH = "station.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", "leave", show=False, priority=True),
        Binding("f1", "guides", "guides", show=False),
    ]

    def __init__(
        self,
        *,
        folder: Path | None,
        sessions: Path,
        engines: Engines,
        keymap: Keymap,
        start_engine: bool = True,
        preparation: Sequence[str] | None = None,
        refresh: float = REFRESH_HZ,
        pads: Pads | None = None,
        review: Review | None = None,
        lookout: Lookout | None = None,
    ) -> None:
        """`folder`: open this session at once; None: show the sessions found in `sessions`.

        `preparation`: a command that brings the session to where it can begin; it is watched first. `pads`: pedals
        and hotkeys. `review`: look at the recordings of `folder` instead of opening its session. `lookout`: who can
        see this terminal; somebody where it is not given.
        """
        super().__init__(engines=engines, keymap=keymap, pads=pads or Pads())
        self._lookout = lookout or Lookout(somebody)
        self._folder = folder
        self._sessions = sessions
        self._start_engine = start_engine
        self._preparation = preparation
        self._refresh_hz = refresh
        self._review = review
        self._plain = PlainLines()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours that the panels need in every theme."""
        return {"muted": "#8b9aa8", "faint": "#4d5a66"}

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Filters for every line drawn on the terminal."""
        return [*super().get_line_filters(), self._plain]

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """See App; names in a message are never markup."""
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def on_mount(self) -> None:
        """Apply the theme and the operator's keys, open the first screen."""
        self.register_theme(STATION_THEME)
        self.theme = STATION_THEME.name
        self.set_keymap(self._keys.for_textual())
        if self._folder is None:
            self.push_screen(HomeScreen(self._sessions, self._doors()))
        elif self._review is not None:
            self.open_review(self._folder, self._review.where, self._review.episode)
        elif self._preparation is not None:
            self._prepare(self._folder, self._preparation)
        else:
            self.open_session(self._folder)

        self._lookout.start()
        self.listen()

    def on_unmount(self) -> None:
        """Release pedals, hotkeys and the multiplexer watch."""
        self._pads.close()
        self._lookout.close()

    def _doors(self) -> Doors:
        return Doors(
            session=self.open_session,
            importing=self.open_import,
            training=self.open_training,
            demonstrating=lambda folder: self._prepare(folder, _preparation(folder)),
            new=self._new_session,
            review=self.open_review,
        )

    def open_session(self, folder: Path) -> None:
        """Show the session screen of this folder."""
        attachment = Attachment(
            folder,
            self._engines,
            self._keys,
            start=self._start_engine,
            audience=lambda: self._lookout.newest,
        )
        self._open(
            SessionScreen(
                attachment,
                self._keys,
                self._pads,
                refresh=self._refresh_hz,
                review=self.open_review,
                on_left=self.go_home,
            )
        )

    def open_import(self, folder: Path) -> None:
        """Show the import screen of this folder."""
        self._open(
            ImportScreen(
                folder,
                onward=lambda: self.open_training(folder),
                review=lambda: self.open_review(folder),
                back=self.go_home,
            )
        )

    def open_review(self, folder: Path, where: str = "", episode: str | None = None) -> None:
        """Show the recordings of this folder over what is open, which keeps running."""
        beneath = self.session

        def back() -> None:
            if len(self.screen_stack) > 2:
                self.pop_screen()
            else:
                self.exit(0)

        def live() -> str:
            shown = beneath.attachment.shown if beneath is not None else None
            return f"{shown.phase.value} {shown.episode or ''}".strip() if shown is not None else ""

        below = (
            Beneath(
                live=live,
                moves=lambda: beneath.moves,
                brake=beneath.brake,
                told=lambda: beneath.told,
            )
            if beneath is not None
            else None
        )
        self.push_screen(ReviewScreen(folder, back=back, where=where, episode=episode, beneath=below))

    def action_guides(self) -> None:
        """Show the guides over what is open, which keeps running; replaces the help screen that opened them."""
        if isinstance(self.screen, GuideScreen):
            return
        if isinstance(self.screen, HelpScreen | KeysHelp):
            self.pop_screen()
        below = [screen for screen in self.screen_stack if isinstance(screen, StationScreen)]
        self.push_screen(GuideScreen(below[-1].GUIDE if below else StationScreen.GUIDE))

    def open_training(self, folder: Path) -> None:
        """Train the base of this folder and watch."""
        command = station_command("train", str(folder.absolute()), "--json")
        self._work(f"training the base of {folder.name}", command, lambda: self.open_session(folder))

    def _prepare(self, folder: Path, command: Sequence[str]) -> None:
        title = f"preparing {folder.name}: demonstrations, base, bottleneck; then the session begins"
        self._work(title, command, lambda: self.open_session(folder), hurry=True)

    def _work(
        self, title: str, command: Sequence[str], onward: Callable[[], None], *, hurry: bool = False
    ) -> None:
        self._open(WorkScreen(title, command, onward=onward, back=self.go_home, hurry=hurry))

    def _open(self, screen: Screen[None]) -> None:
        """Show this screen, replacing any other than the home screen."""
        if isinstance(self.screen, HomeScreen) or len(self.screen_stack) == 1:
            self.push_screen(screen)
        else:
            self.switch_screen(screen)

    def go_home(self) -> None:
        """Return to the list of sessions, or exit if the station was opened on one session."""
        if self._folder is not None:
            self.exit(0)
            return
        while not isinstance(self.screen, HomeScreen) and len(self.screen_stack) > 2:
            self.pop_screen()

    def _new_session(self) -> None:
        def begin(folder: Path | None) -> None:
            if folder is not None:
                self.notify(f"Made {folder}.")
                if isinstance(self.screen, HomeScreen):
                    self.screen.choose(folder)

        self.push_screen(NewSessionScreen(self._sessions), begin)

    def action_leave(self) -> None:
        """Leave what is open, or the station."""
        if isinstance(self.screen, SessionScreen):
            self.screen.action_press("leave")
        elif isinstance(self.screen, WorkScreen | ImportScreen | ReviewScreen):
            self.screen.action_back()
        elif self.session is None:
            self.exit(0)

    async def action_quit(self) -> None:
        """The palette's word for leaving."""
        self.action_leave()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The action table in the command palette, where applicable."""
        yield from super().get_system_commands(screen)
        yield SystemCommand("guides (f1)", "How something is done: one page per task.", self.action_guides)
        if isinstance(screen, SessionScreen):
            for action in ACTIONS:
                key = self._keys.show(action.id)
                title = f"{action.label} ({key})" if key else action.label
                yield SystemCommand(title, action.help, lambda name=action.id: screen.action_press(name))
        elif isinstance(screen, StationScreen):
            for active in screen.active_bindings.values():
                binding = active.binding
                if active.node is screen and active.enabled and binding.show:
                    title = f"{binding.description} ({self.get_key_display(binding)})"
                    run = partial(self.run_action, binding.action, screen)
                    yield SystemCommand(title, binding.tooltip or binding.description, run)


def _preparation(folder: Path) -> list[str]:
    """Records with the simulated demonstrator, imports and trains; stops before the session."""
    return station_command("demo", "--session", str(folder.absolute()), "--prepare", "--json")


def run(
    folder: Path | None,
    sessions: Path,
    *,
    engine_options: EngineOptions | None = None,
    start_engine: bool = True,
    preparation: Sequence[str] | None = None,
    review: Review | None = None,
) -> int:
    """Show the station until the operator leaves; returns an exit code.

    `folder`: open this session, None: the list of those in `sessions`. `preparation`: a command to watch first, one
    that prints JSON lines. `engine_options`: of an engine that is started from here. `review`: look at recordings,
    start no engine.

    Raises:
        KeyConfigError: the operator's key table cannot be obeyed.
        UsageError: there is no terminal to draw on.
    """
    from station.tui.engines import LocalEngines

    _require_terminal()
    keymap = load_keymap()
    app = StationApp(
        folder=folder,
        sessions=sessions,
        engines=LocalEngines(engine_options),
        keymap=keymap,
        start_engine=start_engine,
        preparation=preparation,
        pads=Pads(load_key_devices(keymap.keys)),
        review=review,
        lookout=Lookout(),
    )
    return app.run() or 0


def _require_terminal() -> None:
    """Without one, the screens would be written to a pipe or log for ever, and no key could end it."""
    served = "TEXTUAL_DRIVER" in os.environ
    if served or (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    raise UsageError(
        "The UI needs a terminal for its keys and images, and there is none here. Run the command in a terminal; "
        "without one there are --headless, 'station status' and 'station review SESSION --list'."
    )
