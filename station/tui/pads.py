"""Listens to the operator's pedals and hotkeys while the UI runs; the app handles the presses.

Opens every configured device and tracks its problems. No widget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardware.keys.interface import KeyPress, KeySource
from hardware.keys.listener import KeyListener
from station.key_devices import KeyDevice

OnPress = Callable[[str, KeyPress], None]
"""Gets action id and press, in the device's thread."""


@dataclass(frozen=True, kw_only=True)
class PadLine:
    """One device in words."""

    name: str
    keys: str
    """``KEY_B STOP, KEY_C success``"""
    trouble: str


class Pads:
    """All key devices of one operator."""

    def __init__(
        self, devices: Sequence[KeyDevice] = (), driver: Callable[[KeyDevice], KeySource] = KeyDevice.source
    ) -> None:
        """Opens nothing yet; `driver` creates a device's driver."""
        self._devices = tuple(devices)
        self._driver = driver
        self._listeners: list[KeyListener] = []

    def start(self, on_press: OnPress, on_trouble: Callable[[str], None]) -> None:
        """Listen to all; both are called in a device's thread, `on_trouble` with a sentence, empty when it is over."""
        for device in self._devices:
            listener = KeyListener(self._driver(device), _translated(device, on_press), on_trouble)
            self._listeners.append(listener)
            listener.start()

    def close(self) -> None:
        """Release all devices."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def lines(self) -> list[PadLine]:
        """Every device with its keys and any problem."""
        troubles = {listener.source.device: listener.trouble for listener in self._listeners}
        return [
            PadLine(
                name=device.name,
                keys=", ".join(f"{key} {action}" for key, action in device.actions.items()),
                trouble=troubles.get(device.name, ""),
            )
            for device in self._devices
        ]


def _translated(device: KeyDevice, on_press: OnPress) -> Callable[[KeyPress], None]:
    def pressed(press: KeyPress) -> None:
        on_press(device.actions[press.key], press)

    return pressed
