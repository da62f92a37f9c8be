"""Which key does what: the table's defaults, changed by the ``[keys]`` table of the operator's config file.

Where that file is: `station.operator_config`. Nothing here touches a widget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from textual.keys import Keys, format_key

from station.operator_config import KeyConfigError, checked_action, config_path, read_table
from station.tui.actions import ACTIONS, BY_ID

__all__ = ["KeyConfigError", "Keymap", "config_path", "default_keymap", "display", "load_keymap"]

RESERVED: Mapping[str, str] = {
    "ctrl+x": "stop, everywhere",
    "ctrl+p": "the command palette",
    "ctrl+q": "leave",
    "ctrl+c": "copy",
    "escape": "closing a dialog",
    "enter": "confirming",
    "tab": "moving the focus",
}


@dataclass(frozen=True)
class Keymap:
    """Action id -> key; an action that was unmapped has the empty string."""

    keys: Mapping[str, str]

    def key(self, action: str) -> str:
        """The key in Textual's spelling, empty when the action has none."""
        return self.keys[action]

    def for_textual(self) -> dict[str, str]:
        """Binding id -> key; Textual ignores an empty key, so an unmapped action gets one that no keyboard sends."""
        return {action: key or f"unmapped-{action}" for action, key in self.keys.items()}

    def show(self, action: str) -> str:
        """The key as an operator reads it: ``s``, ``space``, ``^r``, ``?``."""
        return display(self.keys[action])


def display(key: str) -> str:
    """A key as an operator reads it."""
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return format_key(key) if key else ""


def default_keymap() -> Keymap:
    """The table's own keys."""
    return Keymap({action.id: action.key for action in ACTIONS})


def load_keymap(path: Path | None = None) -> Keymap:
    """The keys of this operator.

    Raises:
        KeyConfigError: the file is not TOML, names an unknown action or key, gives one key to two actions, or takes
            the key from an action that must have one.
    """
    path = path or config_path()
    return Keymap(_merged(read_table("keys", path, example="success = 'j'"), path))


def _merged(changes: Mapping[str, object], path: Path) -> dict[str, str]:
    keys = dict(default_keymap().keys)
    for action, key in changes.items():
        keys[action] = _checked(action, key, path)
    _refuse_conflicts(keys, path)
    return keys


def _checked(action: str, key: object, path: Path) -> str:
    checked_action(action, BY_ID, path)
    if not isinstance(key, str):
        raise KeyConfigError(f"{path}: the key of '{action}' must be text, like '{BY_ID[action].key}'.")
    if not key:
        if BY_ID[action].fixed:
            raise KeyConfigError(
                f"{path}: '{action}' cannot be left without a key. Give it one, or drop the line."
            )
        return key
    if key in RESERVED:
        raise KeyConfigError(
            f"{path}: '{key}' stands for {RESERVED[key]}. Choose another key for '{action}'."
        )
    if not _is_key(key):
        raise KeyConfigError(f"{path}: '{key}' is no key name. Write a character, 'space', 'f5' or 'ctrl+g'.")
    return key


def _is_key(key: str) -> bool:
    if len(key) == 1:
        return key.isprintable() and not key.isspace()
    bare = key.removeprefix("ctrl+")
    return (
        key in {known.value for known in Keys} or format_key(key) != key or (key != bare and len(bare) == 1)
    )


def _refuse_conflicts(keys: Mapping[str, str], path: Path) -> None:
    taken: dict[str, str] = {}
    for action, key in keys.items():
        shown = display(key)
        if key and shown in taken:
            raise KeyConfigError(
                f"{path}: the key '{shown}' stands for '{taken[shown]}' and for '{action}'. "
                "Give one of them another key."
            )
        taken[shown] = action
