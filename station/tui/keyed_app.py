"""How keys reach the screens: a stop first and from anywhere, then what is meant for what is shown; all get an answer.

Keys of the terminal, pedals and hotkeys alike. What a key does on a screen is the screen's; `station.tui.app` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from textual.actions import ActionParseResult, parse
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.events import Event, Key, Paste
from textual.message import Message
from textual.widgets import Input, TextArea

from hardware.keys.interface import KeyPress
from station.tui.drivers import INSTEAD_OF
from station.tui.feed import Engines
from station.tui.key_dispatcher import Origin
from station.tui.keymap import Keymap, display, other_case
from station.tui.keystrokes import MODIFIERS, Stroke, Torn
from station.tui.pads import Pads
from station.tui.screens.base import ScreenApp, StationScreen
from station.tui.screens.review import ReviewScreen
from station.tui.screens.session import SessionScreen
from station.tui.sight import Sight
from station.tui.timeliness import Timeliness

BEAT = 0.2
"""s between checks that the key-handling loop is not stalled."""


class PadPressed(Message):
    """A pedal or hotkey was pressed while `sight` was on the screen."""

    def __init__(self, action: str, press: KeyPress, sight: Sight | None, trouble: str = "") -> None:
        """`action` is the id in the table; `trouble`: why a stop could not be set."""
        super().__init__()
        self.action = action
        self.origin = Origin(device=press.device, key=press.key, time=press.time)
        self.sight = sight
        self.trouble = trouble


class PadTrouble(Message):
    """A pedal or hotkey listener has ended, or cannot be opened."""

    def __init__(self, sentence: str) -> None:
        """`sentence`: which one, why, and what to do."""
        super().__init__()
        self.sentence = sentence


class KeyedApp(ScreenApp):
    """The app as far as keys go; `station.tui.app` adds the screens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "stop", "STOP", show=False, id="stop", tooltip="Stop: brake now, until re-armed."),
        Binding("ctrl+x,ctrl+c", "stop", "STOP", show=False, priority=True),
    ]

    def __init__(self, *, engines: Engines, keymap: Keymap, pads: Pads) -> None:
        """`engines`: those that a stop must reach, also without a screen; `pads`: pedals and hotkeys."""
        super().__init__()
        self._engines = engines
        self._keys = keymap
        self._pads = pads
        self._timeliness = Timeliness()

    def listen(self) -> None:
        """Take keys from now on, those of pedals and hotkeys too."""
        self.set_interval(BEAT, self._timeliness.beat)
        self._pads.start(self._pad_pressed, self._pad_trouble)
        for sentence in self._keys.warnings:
            self.notify(sentence, title="keys", severity="warning", timeout=12)

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice, with our reader of keys."""
        chosen = super().get_driver_class()
        return INSTEAD_OF.get(chosen, chosen)

    @property
    def urgent(self) -> frozenset[str]:
        """Characters that the driver must not lose in a split escape sequence."""
        return self._keys.urgent

    @property
    def session(self) -> SessionScreen | None:
        """The open session, whatever covers it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, SessionScreen)), None)

    def action_stop(self) -> None:
        """Stop, from every screen and every text field."""
        reviewed = self.reviewed
        if self.session is not None:
            self.session.action_press("stop")
        elif reviewed is not None:
            trouble = self._engines.stop(reviewed)
            said = trouble or "Stop latched: nothing moves until it is re-armed."
            self.notify(said, severity="error" if trouble else "warning", timeout=12)

    @property
    def reviewed(self) -> Path | None:
        """The session under review."""
        return next((screen.folder for screen in self.screen_stack if isinstance(screen, ReviewScreen)), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Stop is available only while a session is open or under review."""
        if action == "stop":
            return self.session is not None or self.reviewed is not None
        return super().check_action(action, parameters)

    def _pad_pressed(self, action: str, press: KeyPress) -> None:
        """In the device's thread: a stop does not wait for the screen; everything else goes to the screen."""
        session = self.session
        if session is None:
            return
        trouble = session.attachment.stop_at_once() if action == "stop" else ""
        sight = session.attachment.sight
        if sight is not None and session.hidden_in(self.screen_stack):
            sight = sight.doubted("the session is not on the screen: go back to it, then press again")
        self.post_message(PadPressed(action, press, sight, trouble))

    def stop_unasked(self, event: Key) -> None:
        """In the terminal's thread, before the app's loop sees the key: a stop does not wait for a busy screen.

        The loop stops again when it handles the key, and reports it. In a text field, a letter is a letter.
        """
        session, reviewed = self.session, self.reviewed
        if (session is None and reviewed is None) or self._meant(event) != "stop":
            return
        if event.is_printable and isinstance(self.focused, Input | TextArea):
            return
        if session is not None:
            session.attachment.stop_at_once()
        elif reviewed is not None:
            self._engines.stop(reviewed)

    def _pad_trouble(self, sentence: str) -> None:
        self.post_message(PadTrouble(sentence))

    def on_pad_pressed(self, message: PadPressed) -> None:
        """Do what the terminal's key would."""
        if not self._may("press", (message.action,)):
            self._answer(message.origin.key)
        elif self.session is not None:
            self.session.press_from(message.action, message.origin, message.sight, message.trouble)

    def on_pad_trouble(self, message: PadTrouble) -> None:
        """Report it once; the terminal's keys still work."""
        if message.sentence:
            self.notify(message.sentence, title="pedals and hotkeys", severity="warning", timeout=12)

    async def on_event(self, event: Event) -> None:
        """See App; a key that cannot be meant for this screen does nothing, and says so."""
        if isinstance(event, Key) and not event.is_forwarded and (why := self._doubt(event)):
            if self._meant(event) == "pause" and self.session is not None:
                self._brake(self.session, display(event.key))
            else:
                self._answer(display(event.key), why)
            return
        await super().on_event(event)

    def _doubt(self, event: Key) -> str:
        if not self.screen_stack or event.key in MODIFIERS or self._meant(event) == "stop":
            return ""
        return self._timeliness.doubt(event, self.screen)

    def _meant(self, event: Key) -> str | None:
        """Which safety key this one is, if it is one in another layout or case."""
        position = event.position if isinstance(event, Stroke) else None
        return self._keys.misheard(event.key, event.character, position)

    async def _on_key(self, event: Key) -> None:
        """A key no widget handled: try the key table, in either case; then a stop in another layout; else reply."""
        event.prevent_default()
        self.key_time = event.time
        try:
            for key in dict.fromkeys((event.key, other_case(event.key))):
                if await self._check_bindings(key):
                    return
            if event.key not in MODIFIERS:
                self._misheard(event)
        finally:
            self.key_time = None

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """See App; a covered screen accepts only actions that are safe unseen, from key, click or command."""
        _, name, parameters = parse(action) if isinstance(action, str) else action
        return self._may(name, tuple(parameters)) and await super().run_action(
            action, default_namespace, namespaces
        )

    def _may(self, action: str, parameters: tuple[object, ...]) -> bool:
        screen = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(screen, StationScreen) and screen.covered:
            return screen.works_unseen(action, parameters)
        return True

    def _misheard(self, event: Key) -> None:
        meant = self._meant(event)
        if meant == "stop" and self.check_action("stop", ()):
            self.action_stop()
        elif meant == "pause" and isinstance(self.screen, SessionScreen):
            self.screen.brake()
        elif meant == "pause" and isinstance(self.screen, ReviewScreen):
            self.screen.action_play()
        elif meant == "pause" and self.session is not None:
            self._brake(self.session, display(event.key))
        else:
            self._answer(display(event.key))

    def _brake(self, session: SessionScreen, key: str) -> None:
        """Brake the session below, and report it if its headline is hidden."""
        session.brake()
        if session is not self.screen:
            self.notify(f"{key}: {session.told[0]}", timeout=3)

    def on_torn(self, _: Torn) -> None:
        """A key was pressed, but its escape sequence arrived broken."""
        self._answer("?", "a key came in pieces and counts as none: press it again")

    def on_paste(self, _: Paste) -> None:
        """Pasted text is not a sequence of keys."""
        self._answer("paste", "pasted text does nothing here")

    def _answer(self, key: str, why: str = "") -> None:
        """Report at once that a key means nothing, and which keys stop the arm."""
        if isinstance(self.screen, StationScreen) and self.screen.covered:
            self.screen.tell_unseen(f"{key}: {why or 'does nothing while the terminal is this small'}")
            return
        if self.check_action("stop", ()):
            why = f"{why or 'no such key'}; {self._keys.show('stop')} or Ctrl+X stops"
        elif not why:
            why = "no such key; ? lists those of this screen"
        if isinstance(self.screen, SessionScreen):
            self.screen.answer(key, why)
        elif not any(why in notification.message for notification in self._notifications):
            self.notify(f"{key}: {why}", timeout=3)
