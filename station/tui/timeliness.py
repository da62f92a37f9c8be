"""Whether a key can be meant for the screen it would act on; checked for every screen and key.

A key that went down before a screen or dialog appeared was meant for the previous one; a key from a screen
that was frozen was meant for what it showed then. Stop, brake, leave and close still work, and
text still reaches its field. The session screen knows more about what it shows; see `sight`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.actions import parse
from textual.events import Key
from textual.screen import Screen
from textual.widgets import Input

from station.tui.screens.base import SAFE_UNSEEN, StationScreen, TakesKeys
from station.tui.screens.session import SessionScreen
from station.tui.sight import Pulse, late


class Timeliness:
    """Watches the loop that handles keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._pulse = Pulse(clock)

    def beat(self) -> None:
        """Call several times a second from the loop that handles keys."""
        self._pulse.beat()

    def doubt(self, event: Key, screen: Screen[object]) -> str:
        """Why this key does nothing on this screen, in words; empty if it may act."""
        if _is_safe(event, screen):
            return ""
        if isinstance(screen, TakesKeys) and (before := screen.came_up - event.time) > 0.0:
            return f"this screen came up {before:.1f} s after the key went down: look, then press again"
        if isinstance(screen, SessionScreen) or (isinstance(screen.focused, Input) and event.key != "enter"):
            return ""
        return late(event.time, self._clock()) or self._pulse.complaint


def _is_safe(event: Key, screen: Screen[object]) -> bool:
    active = screen.active_bindings.get(event.key)
    if active is None:
        return False
    _, name, parameters = parse(active.binding.action)
    if isinstance(screen, StationScreen):
        return screen.works_unseen(name, tuple(parameters))
    return name in SAFE_UNSEEN
