"""One thread per key source: delivers every press at once, and reopens a device that was unplugged.

Presses are delivered in the source's thread, so that a stop does not wait for a busy screen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from hardware.keys.interface import KeyPress, KeySource, KeySourceError

POLL = 0.2
"""s between two checks for the end."""
RETRY = 1.0
"""s between two attempts to open a device."""


class KeyListener:
    """Listens to one source until it is closed."""

    def __init__(
        self,
        source: KeySource,
        on_press: Callable[[KeyPress], None],
        on_change: Callable[[str], None] = lambda _: None,
        *,
        retry: float = RETRY,
    ) -> None:
        """`on_press` and `on_change` are called in the listener's thread; `on_change` gets the new `trouble`.

        `retry`: s.
        """
        self.source = source
        self.trouble = ""
        """Why no keys arrive, and what to do; empty without a problem."""
        self._on_press = on_press
        self._on_change = on_change
        self._retry = retry
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keys {source.device}", daemon=True)

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening and release the device."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5 * POLL)

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                try:
                    self.source.open()
                    self._say("")
                    self._listen()
                except KeySourceError as error:
                    self._say(str(error))
                    self._over.wait(self._retry)
        finally:
            self.source.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            press = self.source.read(POLL)
            if press is not None:
                self._on_press(press)

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_change(trouble)
