"""Pedals and hotkeys of the operator's file: maps device keys to actions of the key table.

Reads and checks the tables ``[pedals]`` and ``[hotkeys]``; opens no device and touches no screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.wording import did_you_mean
from hardware.keys import hotkeys
from hardware.keys.evdev_keys import EvdevKeys, known_keys
from hardware.keys.hotkeys import DEVICE, Hotkeys, HotkeySyntaxError
from hardware.keys.interface import KeySource, KeySourceError
from station.operator_config import KeyConfigError, checked_action, config_path, read_table
from station.tui.actions import BY_ID

PEDAL_EXAMPLE = (
    '"usb-PCsensor_FootSwitch-event-kbd" = { KEY_A = "failure", KEY_B = "stop", KEY_C = "success" }'
)
HOTKEY_EXAMPLE = '"<ctrl>+<alt>+x" = "stop"'

_TEXTUAL = {"<esc>": "escape", "<page_up>": "pageup", "<page_down>": "pagedown"}
"""Hotkeys whose name differs in the terminal."""


@dataclass(frozen=True, kw_only=True)
class KeyDevice:
    """One pedal, number pad or listener of the desktop, and what its keys do."""

    name: str
    actions: Mapping[str, str]
    """key -> action id"""

    @property
    def is_hotkeys(self) -> bool:
        """Whether it listens to the desktop rather than a device."""
        return self.name == DEVICE

    def source(self) -> KeySource:
        """The driver, not yet opened."""
        return Hotkeys(tuple(self.actions)) if self.is_hotkeys else EvdevKeys(self.name, tuple(self.actions))


def load_key_devices(
    terminal: Mapping[str, tuple[str, ...]], path: Path | None = None
) -> tuple[KeyDevice, ...]:
    """Every device that the operator's file names; `terminal` is action id -> keys of the terminal.

    Raises:
        KeyConfigError: an unknown action or key, or a hotkey that means something else in the terminal.
    """
    path = path or config_path()
    devices = [
        _pedal(name, keys, path) for name, keys in read_table("pedals", path, example=PEDAL_EXAMPLE).items()
    ]
    combinations = read_table("hotkeys", path, example=HOTKEY_EXAMPLE)
    if combinations:
        devices.append(_hotkeys(combinations, terminal, path))
    return tuple(devices)


def _pedal(name: str, keys: object, path: Path) -> KeyDevice:
    if not isinstance(keys, dict) or not keys:
        raise KeyConfigError(f"{path}: [pedals] '{name}' must name its keys, like {PEDAL_EXAMPLE}.")
    for key in keys:
        _check_key(key, name, path)
    return KeyDevice(
        name=name, actions={key: checked_action(action, BY_ID, path) for key, action in keys.items()}
    )


def _check_key(key: str, device: str, path: Path) -> None:
    try:
        known = known_keys()
    except KeySourceError:
        # without the package that knows the names no pedal works, and the listener reports that
        return
    if key in known:
        return
    hint = did_you_mean(key.upper(), known, "Names look like KEY_B; 'evtest' shows those of a device.")
    raise KeyConfigError(f"{path}: [pedals] '{device}' has no key '{key}'.", remedy=hint)


def _hotkeys(combinations: dict[str, Any], terminal: Mapping[str, tuple[str, ...]], path: Path) -> KeyDevice:
    meaning = {key: action for action, keys in terminal.items() for key in keys}
    meaning |= {"ctrl+x": "stop", "ctrl+c": "stop"}
    actions: dict[str, str] = {}
    for combination, wanted in combinations.items():
        action = checked_action(wanted, BY_ID, path)
        try:
            keys = hotkeys.parts(combination)
        except HotkeySyntaxError as error:
            raise KeyConfigError(f"{path}: [hotkeys] {error}") from error
        other = meaning.get(_in_the_terminal(keys), action)
        if other != action:
            raise KeyConfigError(
                f"{path}: [hotkeys] '{combination}' = '{action}', but the same key is '{other}' in the terminal, "
                "and one press would do both. Give one of them another key."
            )
        actions["+".join(keys)] = action
    return KeyDevice(name=DEVICE, actions=actions)


def _in_the_terminal(keys: tuple[str, ...]) -> str:
    """Textual's names for the same keys."""
    return "+".join(_TEXTUAL.get(key, key.strip("<>") or key) for key in keys)
