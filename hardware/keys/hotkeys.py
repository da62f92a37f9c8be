"""Global hotkeys, independent of window focus, through pynput; needs an X server.

The package is imported when the listener is opened, because its import fails without a display. The focused window
receives the keys too. pynput receives no keys from native Wayland windows; over SSH it listens to the forwarded
display, if any.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from datasets.errors import ExitCode, StationError
from datasets.wording import did_you_mean
from hardware.keys.interface import KeyPress, KeySource, KeySourceError

if TYPE_CHECKING:
    from pynput.keyboard import GlobalHotKeys

DEVICE = "hotkeys"
MISSING = (
    "the package pynput is missing. Install it: pip install 'station[hotkeys]'; its dependency evdev is compiled on "
    "the spot, which needs: apt install gcc python3-dev linux-libc-dev"
)
UNANSWERED = (
    "the X server at DISPLAY={display} does not answer. Start the station in a terminal of that desktop, or use a "
    "foot pedal."
)
MODIFIERS = ("alt", "alt_gr", "cmd", "ctrl", "shift")
TYPED = (
    *("backspace", "delete", "down", "end", "enter", "esc", "home", "insert", "left", "page_down", "page_up"),
    *("right", "space", "tab", "up"),
)
"""Named keys in everyday use in other windows."""
UNTYPED = (
    *(f"f{number}" for number in range(1, 21)),
    *("media_next", "media_play_pause", "media_previous", "media_volume_down", "media_volume_mute"),
    *("media_volume_up", "menu", "pause", "print_screen", "scroll_lock"),
)
NAMES = (*MODIFIERS, *TYPED, *UNTYPED)
"""Named keys; written <name>."""


class HotkeySyntaxError(StationError, ValueError):
    """An invalid key combination; the message says why and suggests a similar one."""

    exit_code = ExitCode.USAGE


class Hotkeys(KeySource):
    """Key combinations of the desktop."""

    device = DEVICE

    def __init__(self, combinations: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """`combinations` like <ctrl>+<alt>+s; `environment` defaults to this process's."""
        self._combinations = tuple(combinations)
        self._environment = os.environ if environment is None else environment
        self._pressed: queue.SimpleQueue[KeyPress] = queue.SimpleQueue()
        self._listener: GlobalHotKeys | None = None

    def open(self) -> str:
        why = without_display(self._environment)
        if why:
            raise KeySourceError(f"{self.device}: {why}")
        try:
            from pynput.keyboard import GlobalHotKeys
        except ModuleNotFoundError as error:
            raise KeySourceError(f"{self.device}: {MISSING}.") from error
        except ImportError as error:
            unanswered = UNANSWERED.format(display=self._environment.get("DISPLAY"))
            raise KeySourceError(f"{self.device}: {unanswered}") from error
        listener = GlobalHotKeys({keys: self._callback(keys) for keys in self._combinations})
        listener.daemon = True
        listener.start()
        listener.wait()
        self._listener = listener
        return f"X server {self._environment.get('DISPLAY')}"

    def read(self, timeout: float) -> KeyPress | None:
        if self._listener is None:
            raise KeySourceError(f"{self.device}: the listener is not open. Open it first.")
        with suppress(queue.Empty):
            return self._pressed.get(timeout=timeout)
        if not self._listener.is_alive():
            self.close()
            raise KeySourceError(f"{self.device}: the X server has gone. The terminal's keys still work.")
        return None

    def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def _callback(self, keys: str) -> object:
        def pressed() -> None:
            self._pressed.put(KeyPress(device=self.device, key=keys, time=time.monotonic()))

        return pressed


def without_display(environment: Mapping[str, str]) -> str:
    """Why hotkeys cannot work in this environment, and the alternative; empty where they can."""
    if environment.get("DISPLAY"):
        return ""
    if environment.get("WAYLAND_DISPLAY"):
        return (
            "Wayland does not pass other windows' keys to a program. Use the terminal's keys or a foot pedal."
        )
    return "there is no X server here (DISPLAY is not set). Use the terminal's keys or a foot pedal."


def warning(environment: Mapping[str, str]) -> str:
    """The limitation of hotkeys in this environment; empty without one."""
    if environment.get("XDG_SESSION_TYPE") == "wayland" or environment.get("WAYLAND_DISPLAY"):
        return "on Wayland hotkeys work only while an X11 window has the focus"
    if environment.get("SSH_CONNECTION"):
        return "over SSH the hotkeys of the forwarded display work, one network delay later"
    return ""


def parts(combination: str) -> tuple[str, ...]:
    """The keys of a combination in lower case, ``<ctrl>+<alt>+s`` -> ('<ctrl>', '<alt>', 's').

    Raises:
        HotkeySyntaxError: a part is not a key or is repeated, or the whole would fire during normal typing.
    """
    keys = tuple(part.strip().lower() for part in _split(combination))
    for key in keys:
        _check(key)
    if len(set(keys)) != len(keys):
        raise HotkeySyntaxError(f"'{combination}' names a key twice. Write each once.")
    names = {key.strip("<>") for key in keys}
    if names - {*MODIFIERS, *UNTYPED} and not names & {"ctrl", "alt", "cmd"}:
        raise HotkeySyntaxError(
            f"'{combination}' would fire whenever somebody types it in any window. Add a modifier like <ctrl>+<alt>, "
            "or take a function key like <f9>."
        )
    if names <= set(MODIFIERS):
        raise HotkeySyntaxError(f"'{combination}' holds modifiers only. Add a key, like {combination}+s.")
    return keys


def _split(combination: str) -> list[str]:
    # a plus sign may itself be the last key
    head, plus, last = combination.rpartition("+")
    if plus and not last:
        return [*([part for part in head.rstrip("+").split("+") if part]), "+"]
    return combination.split("+")


def _check(key: str) -> None:
    if len(key) == 1 and key.isprintable() and not key.isspace():
        return
    name = key.strip("<>")
    if key == f"<{name}>" and name in NAMES:
        return
    hint = did_you_mean(
        key, [f"<{known}>" for known in NAMES], "Write one character, or a name like <ctrl>, <alt>, <f9>."
    )
    raise HotkeySyntaxError(f"'{key}' is not a key.", remedy=hint)
