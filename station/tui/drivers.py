"""Drivers for a terminal and a browser: keys as they were pressed, and the terminal restored on exit.

Textual's drivers with our own key reader, without reports of mouse movement, and with SIGTERM
and SIGINT as exits that leave the terminal usable.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable

from textual import constants, messages
from textual.driver import Driver
from textual.drivers._byte_stream import ByteStream
from textual.drivers.linux_driver import LinuxDriver
from textual.drivers.web_driver import WebDriver, _ExitInput
from textual.events import Key
from textual.message import Message

from station.interruption import exit_code, heard
from station.tui.keystrokes import URGENT, Keystrokes

_KITTY_FLAGS = 0b11101
"""Unambiguous codes, the key's place on the keyboard, all keys, and the text that they give."""
_POLITE = (signal.SIGTERM, signal.SIGINT)
_TURN = 0.1
"""s between clock checks."""


def _keystrokes(driver: Driver) -> Keystrokes:
    return Keystrokes(urgent=getattr(driver._app, "urgent", URGENT))


class TerminalDriver(LinuxDriver):
    """A terminal on this machine or behind SSH."""

    def start_application_mode(self) -> None:
        """See Driver."""
        super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual's own
        if not constants.DISABLE_KITTY_KEY:
            # in addition to Textual's flags: a key's position, so that stop works in another layout
            self.write(f"\x1b[={_KITTY_FLAGS};1u")
            self.flush()
        loop = asyncio.get_running_loop()
        for number in _POLITE:
            loop.add_signal_handler(number, self._leave, number)
        if signal.SIGHUP in heard():
            # the terminal is gone: there is nothing to restore
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def stop_application_mode(self) -> None:
        """See Driver."""
        self._forget_signals()
        super().stop_application_mode()

    def _leave(self, number: signal.Signals) -> None:
        # a second one ends the process at once, even if the terminal accepts no more output
        self._forget_signals()
        self._app.exit(exit_code(number), message=f"Left because of {number.name}.")

    def _forget_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _POLITE:
            loop.remove_signal_handler(number)

    def _enable_mouse_support(self) -> None:
        """Clicks and the wheel, but no movement without a pressed button."""
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")
            self.flush()

    def _enable_mouse_pixels(self) -> None:
        """Disabled: character resolution is enough."""

    def _query_in_band_window_resize(self) -> None:
        """Disabled: SIGWINCH reports a new size."""

    def run_input_thread(self) -> None:
        """Read keys until the terminal or the app goes."""
        strokes = _keystrokes(self)
        # one wrong byte must not end the thread that hears the stop
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_TURN):
                    data = os.read(self.fileno, 4096)
                    if not data:
                        self.send_message(messages.ExitApp())
                        return
                    _pass_on(self, strokes.feed(decode(data)))
                _pass_on(self, strokes.tick())


class BrowserDriver(WebDriver):
    """A browser's tab, through `station serve`."""

    def write(self, data: str) -> None:
        """See Driver."""
        # Textual asks here, in the middle of its start, for the mouse's every move
        super().write(data.replace("\x1b[?1003h", ""))

    def _enable_mouse_support(self) -> None:
        """Clicks and the wheel."""
        self.write("\x1b[?1000h\x1b[?1006h")

    def run_input_thread(self) -> None:
        """Read packets until the server disconnects; typed input is handled like a terminal's keys."""
        strokes, stream = _keystrokes(self), ByteStream()
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        try:
            for data in self._input_reader:
                for kind, payload in stream.feed(data) if data else ():
                    self._packet(kind, payload, strokes, decode)
                _pass_on(self, strokes.tick())
        except _ExitInput:
            pass
        finally:
            self._input_reader.close()

    def _packet(self, kind: str, payload: bytes, strokes: Keystrokes, decode: Callable[[bytes], str]) -> None:
        if kind == "D":
            _pass_on(self, strokes.feed(decode(payload)))
        else:
            self._on_meta(kind, payload)


def _pass_on(driver: Driver, events: Iterable[Message]) -> None:
    unasked: Callable[[Key], None] | None = getattr(driver._app, "stop_unasked", None)
    for event in events:
        if unasked is not None and isinstance(event, Key):
            unasked(event)
        driver.process_message(event)


INSTEAD_OF: dict[type[Driver], type[Driver]] = {LinuxDriver: TerminalDriver, WebDriver: BrowserDriver}
"""Textual's driver -> ours."""
