"""Which keys do what: the table's defaults, changed by the ``[keys]`` table of the operator's config file.

Where that file is: `station.operator_config`. Also interprets presses without a binding: a stop on a keyboard with
another layout. Nothing here touches a widget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from textual.keys import Keys, format_key

from station.operator_config import KeyConfigError, checked_action, config_path, read_table
from station.tui.actions import ACTIONS, BY_ID
from station.tui.layouts import keys_of

__all__ = ["KeyConfigError", "Keymap", "config_path", "default_keymap", "display", "load_keymap"]

RESERVED: Mapping[str, str] = {
    "ctrl+x": "stop, everywhere",
    "ctrl+p": "the command palette",
    "ctrl+q": "leave",
    "ctrl+c": "stop, on a session's screen",
    "escape": "closing a dialog",
    "enter": "confirming",
    "tab": "moving the focus",
}


_SPELT = frozenset("[]<>;:?~$O")
"""Characters of escape sequences, besides digits."""
_JUDGING = ("success", "failure", "go", "void", "undo")


@dataclass(frozen=True)
class Keymap:
    """Action id -> its keys, the one that is shown first; an action that was unmapped has none."""

    keys: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()
    """Entries that work but should be written differently, one sentence each."""

    def key(self, action: str) -> str:
        """The first key in Textual's spelling, empty when the action has none."""
        return next(iter(self.keys[action]), "")

    def for_textual(self) -> dict[str, str]:
        """Binding id -> keys; Textual ignores an empty key, so an unmapped action gets a key that no keyboard sends."""
        return {
            action: ",".join(map(_named, keys)) or f"unmapped-{action}" for action, keys in self.keys.items()
        }

    def show(self, action: str) -> str:
        """The first key as an operator reads it: ``s``, ``space``, ``^r``, ``?``; empty when there is none."""
        return display(self.key(action))

    def show_all(self, action: str) -> str:
        """All keys as an operator reads them: ``1 f1``."""
        return " ".join(map(display, self.keys[action]))

    @property
    def urgent(self) -> frozenset[str]:
        """Characters that stop, in both cases."""
        letters = {key for key in self.keys["stop"] if len(key) == 1}
        return frozenset(spelling for letter in letters for spelling in (letter.lower(), letter.upper()))

    def misheard(self, key: str, character: str | None = None, position: str | None = None) -> str | None:
        """``stop`` or ``pause`` if an unbound key is in the same position, or is theirs with modifiers held.

        `position`: the key's cap, where the terminal tells it. Nothing else is guessed: a letter of another layout
        must never label an episode or start one.
        """
        if {key, other_case(key)} & self._meant_otherwise:
            return None
        *held, letter = key.split("+")
        places = {letter.lower(), *keys_of(character or letter), *([position.lower()] if position else [])}
        if places & self._places("stop") or ("ctrl" in held and places & {"x", "c"}):
            return "stop"
        return "pause" if not held and places & self._places("pause") else None

    @property
    def _meant_otherwise(self) -> set[str]:
        """Keys of their own meaning, wherever they are on this keyboard."""
        others = (keys for action, keys in self.keys.items() if action not in ("stop", "pause"))
        return {"ctrl+q", *(key for keys in others for key in keys)}

    def _places(self, action: str) -> set[str]:
        return {key.lower() for key in self.keys[action]}


def other_case(key: str) -> str:
    """The same letter in the other case; any other key unchanged."""
    return key.swapcase() if len(key) == 1 else key


def _named(key: str) -> str:
    """A comma would split the list."""
    return "comma" if key == "," else key


def display(key: str) -> str:
    """A key as an operator reads it."""
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return format_key(key) if key else ""


def default_keymap() -> Keymap:
    """The table's own keys."""
    return Keymap({action.id: (action.key,) for action in ACTIONS})


def load_keymap(path: Path | None = None) -> Keymap:
    """The keys of this operator.

    Raises:
        KeyConfigError: the file is not TOML, names an unknown action or key, gives one key to two actions, or takes
            the key from an action that must have one.
    """
    path = path or config_path()
    keys = _merged(read_table("keys", path, example="success = 'j'"), path)
    return Keymap(keys, warnings=tuple(_warnings(keys, path)))


def _merged(changes: Mapping[str, object], path: Path) -> dict[str, tuple[str, ...]]:
    keys = dict(default_keymap().keys)
    for action, written in changes.items():
        keys[action] = _checked(action, written, path)
    _refuse_conflicts(keys, path)
    return keys


def _checked(action: str, written: object, path: Path) -> tuple[str, ...]:
    checked_action(action, BY_ID, path)
    several = written if isinstance(written, list) else [written]
    keys = [key for key in several if isinstance(key, str)]
    if len(keys) < len(several):
        example = BY_ID[action].key
        raise KeyConfigError(
            f"{path}: the key of '{action}' must be text, like '{example}', or a list like ['{example}', 'f5']."
        )
    kept = tuple(dict.fromkeys(_checked_key(action, key, path) for key in keys if key))
    if not kept and BY_ID[action].fixed:
        raise KeyConfigError(
            f"{path}: '{action}' cannot be left without a key. Give it one, or drop the line."
        )
    return kept


def _checked_key(action: str, key: str, path: Path) -> str:
    key = key if len(key) == 1 else key.lower()
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


def _refuse_conflicts(keys: Mapping[str, tuple[str, ...]], path: Path) -> None:
    taken: dict[str, str] = {}
    for action, key in ((action, key) for action, several in keys.items() for key in several):
        shown = display(key)
        if shown in taken:
            raise KeyConfigError(
                f"{path}: the key '{shown}' stands for '{taken[shown]}' and for '{action}'. "
                "Give one of them another key."
            )
        taken[shown] = action


def _warnings(keys: Mapping[str, tuple[str, ...]], path: Path) -> Iterator[str]:
    for action in _JUDGING:
        for key in keys[action]:
            if key.isdecimal() or key in _SPELT:
                yield (
                    f"{path}: '{key}' for '{action}' is also a part of what terminals send for other keys, and on a "
                    "bad line the two may be mixed up. A letter or a function key like 'f5' is safe."
                )
