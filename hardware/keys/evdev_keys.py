"""USB foot pedals and number pads through the kernel's input devices; needs no focus, X or Wayland.

A device is selected by its stable name in /dev/input/by-id (or by-path) and grabbed exclusively: nothing else on the
machine gets its keys, so a pedal press is never also a key in the terminal. Linux only. The package evdev is imported
when a device is opened. The meaning of a key is decided elsewhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from datasets.wording import did_you_mean
from hardware.keys.interface import Debouncer, KeyPress, KeySource, KeySourceError

FOLDERS = (Path("/dev/input/by-id"), Path("/dev/input/by-path"))
"""Folders whose names are stable across reboots and ports, or at least across reboots."""
MISSING = (
    "the package evdev is missing. Install it: pip install 'station[hotkeys]'; it is compiled on the spot, which "
    "needs: apt install gcc python3-dev linux-libc-dev"
)
DENIED = "this user may not read it. Allow it: sudo usermod -aG input $USER, then log in again"

_KEY, _UP, _DOWN = 0x01, 0, 1
"""EV_KEY, and two of its values; 2 is the repeat of a held key."""
_SET_CLOCK = 0x400445A0
"""EVIOCSCLOCKID: selects the clock for event time stamps."""
_MONOTONIC = 1


class InputEvent(Protocol):
    """An evdev event."""

    @property
    def type(self) -> int:
        """EV_KEY, EV_SYN, ..."""

    @property
    def code(self) -> int:
        """Number of the key."""

    @property
    def value(self) -> int:
        """0 up, 1 down, 2 repeat."""

    def timestamp(self) -> float:
        """s."""


class InputDevice(Protocol):
    """The part of evdev.InputDevice in use; a recording can replace it."""

    @property
    def name(self) -> str:
        """The device's own name."""

    def fileno(self) -> int:
        """For select."""

    def grab(self) -> None:
        """Grab the device exclusively. Raises OSError."""

    def read(self) -> Iterator[InputEvent]:
        """The events since the last call. Raises BlockingIOError, OSError."""

    def close(self) -> None:
        """Release the device."""


Opener = Callable[[str], InputDevice]


class EvdevKeys(KeySource):
    """The keys of one input device."""

    def __init__(self, device: str, keys: Sequence[str], opener: Opener | None = None) -> None:
        """`device`: a name in /dev/input/by-id, or a path; `keys`: the keys to report, e.g. KEY_B.

        `opener` opens a path; default: evdev's own.
        """
        self.device = device
        self._wanted = frozenset(keys)
        self._opener = opener or _open_device
        self._open: InputDevice | None = None
        self._names: dict[int, str] = {}
        self._same_clock = False
        self._debouncer = Debouncer()
        self._pressed: deque[KeyPress] = deque()

    def open(self) -> str:
        self._names = _codes(self._wanted, self.device)
        path = find(self.device)
        try:
            self._open = self._opener(str(path))
            self._open.grab()
        except OSError as error:
            self.close()
            raise KeySourceError(f"{self.device}: {_why(error, path)}.") from error
        self._same_clock = _stamp_with_this_clock(self._open)
        return self._open.name

    def read(self, timeout: float) -> KeyPress | None:
        if self._open is None:
            raise KeySourceError(f"{self.device}: it is not open. Open it first.")
        if not self._pressed:
            self._take_in(self._open, timeout)
        return self._pressed.popleft() if self._pressed else None

    def close(self) -> None:
        device, self._open = self._open, None
        self._pressed.clear()
        if device is not None:
            with suppress(OSError):
                device.close()

    def _take_in(self, device: InputDevice, timeout: float) -> None:
        try:
            readable, _, _ = select.select([device], [], [], timeout)
            for event in device.read() if readable else ():
                self._note(event)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self.close()
            raise KeySourceError(
                f"{self.device}: it was disconnected ({error}). Plug it in again; it is reopened automatically."
            ) from error

    def _note(self, event: InputEvent) -> None:
        key = self._names.get(event.code) if event.type == _KEY else None
        if key is None:
            return
        now = event.timestamp() if self._same_clock else time.monotonic()
        if event.value == _UP:
            self._debouncer.up(key, now)
        elif event.value == _DOWN and self._debouncer.down(key, now):
            self._pressed.append(KeyPress(device=self.device, key=key, time=now))


def find(device: str) -> Path:
    """The path of a device given by its stable name or by its path.

    Raises:
        KeySourceError: not found; the message suggests the most similar device present.
    """
    known = present()
    path = Path(device) if device.startswith("/") else next((p for p in known if p.name == device), None)
    if path is not None and path.exists():
        return path
    if not known:
        raise KeySourceError(
            f"{device}: no input device is plugged into this machine, or none is passed into this container. Plug it "
            "in and look into /dev/input/by-id."
        )
    names = [path.name for path in known]
    hint = did_you_mean(device, names, alike=0.4)
    raise KeySourceError(
        f"{device}: it is not plugged in.", remedy=f"{hint} There are {', '.join(names)}.".strip()
    )


def present() -> list[Path]:
    """Input devices with a stable name; for one with two names, the one in by-id."""
    found: dict[Path, Path] = {}
    for folder in FOLDERS:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            found.setdefault(path.resolve(), path)
    return list(found.values())


def known_keys() -> dict[str, int]:
    """Every kernel key name with its number. Raises KeySourceError when evdev is missing."""
    try:
        from evdev import ecodes
    except ImportError as error:
        raise KeySourceError(f"{MISSING}.") from error
    names: dict[str, int] = {}
    for code, name in ecodes.keys.items():
        names |= dict.fromkeys([name] if isinstance(name, str) else name, code)
    return names


def _codes(keys: frozenset[str], device: str) -> dict[int, str]:
    """Number -> name of the keys to report."""
    try:
        known = known_keys()
    except KeySourceError as error:
        raise KeySourceError(f"{device}: {error}") from error
    return {known[key]: key for key in keys if key in known}


def _open_device(path: str) -> InputDevice:
    import evdev

    device: InputDevice = evdev.InputDevice(path)
    return device


def _stamp_with_this_clock(device: InputDevice) -> bool:
    """Request monotonic time stamps from the kernel; returns whether it provides them."""
    try:
        fcntl.ioctl(device.fileno(), _SET_CLOCK, struct.pack("i", _MONOTONIC))
    except OSError:
        return False
    return True


def _why(error: OSError, path: Path) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"{path}: {DENIED}"
        case errno.EBUSY:
            return f"another program holds {path}. End it (another station, a key mapper), then start again"
        case _:
            reason = os.strerror(error.errno) if error.errno else str(error)
            return f"{path} cannot be opened: {reason}. Unplug it, plug it in again, and start again"
