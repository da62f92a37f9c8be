"""The terminal front end: composes the screens, the operator's keys and the engines it can find.

The session itself runs in another process; closing this one, or losing its terminal, does not touch it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from station.tui.actions import ACTIONS
from station.tui.attachment import Attachment
from station.tui.feed import Engines
from station.tui.keymap import Keymap, load_keymap
from station.tui.screens.session import SessionScreen
from station.tui.theme import STATION_THEME

REFRESH_HZ = 5.0
"""How often the newest snapshot is looked at."""


class StationApp(App[int]):
    """The station on a terminal."""

    TITLE = "station"
    CSS_PATH = "station.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "stop", "STOP", show=False, id="stop"),
        Binding("ctrl+x", "stop", "STOP", show=False, priority=True),
        Binding("ctrl+q", "leave", "leave", show=False, priority=True),
    ]

    def __init__(
        self,
        *,
        folder: Path | None,
        sessions: Path,
        engines: Engines,
        keymap: Keymap,
        start_engine: bool = True,
        refresh: float = REFRESH_HZ,
    ) -> None:
        """`folder`: open this session at once; None: show the sessions found in `sessions`."""
        super().__init__()
        self._folder = folder
        self._sessions = sessions
        self._engines = engines
        self._keys = keymap
        self._start_engine = start_engine
        self._refresh_hz = refresh

    def on_mount(self) -> None:
        """Dress, take the operator's keys, open the first screen."""
        self.register_theme(STATION_THEME)
        self.theme = STATION_THEME.name
        self.set_keymap(self._keys.for_textual())
        if self._folder is not None:
            self.open_session(self._folder)

    def open_session(self, folder: Path) -> None:
        """Show the session screen of this folder."""
        attachment = Attachment(folder, self._engines, self._keys, start=self._start_engine)
        screen = SessionScreen(attachment, self._keys, refresh=self._refresh_hz, on_left=self._session_left)
        self.push_screen(screen)

    def _session_left(self) -> None:
        self.exit(0)

    @property
    def session(self) -> SessionScreen | None:
        """The session that is open, whatever lies over it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, SessionScreen)), None)

    def action_stop(self) -> None:
        """Stop, from every screen and every text field."""
        if self.session is not None:
            self.session.action_press("stop")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Stop means something only while a session is open."""
        if action == "stop":
            return self.session is not None
        return super().check_action(action, parameters)

    def action_leave(self) -> None:
        """Leave what is open, or the station."""
        if self.session is None:
            self.exit(0)
        elif self.screen is self.session:
            self.session.action_press("leave")

    async def action_quit(self) -> None:
        """The palette's word for leaving."""
        self.action_leave()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The action table in the command palette, as far as it means something here."""
        yield from super().get_system_commands(screen)
        if isinstance(screen, SessionScreen):
            for action in ACTIONS:
                key = self._keys.show(action.id)
                title = f"{action.label} ({key})" if key else action.label
                yield SystemCommand(title, action.help, lambda name=action.id: screen.action_press(name))


def run(
    folder: Path | None,
    sessions: Path,
    *,
    engine_arguments: Sequence[str] = (),
    start_engine: bool = True,
) -> int:
    """Show the station until the operator leaves; returns an exit code.

    Raises:
        KeyConfigError: the operator's key table cannot be obeyed.
    """
    from station.tui.engines import LocalEngines

    app = StationApp(
        folder=folder,
        sessions=sessions,
        engines=LocalEngines(engine_arguments),
        keymap=load_keymap(),
        start_engine=start_engine,
    )
    return app.run() or 0
