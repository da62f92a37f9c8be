"""The operator's own file: which key, pedal or hotkey does what. The users of its tables define their meaning.

It is ``~/.config/station/config.toml``, or what STATION_CONFIG names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets.errors import UsageError
from datasets.plain_text import from_toml
from datasets.wording import did_you_mean


class KeyConfigError(UsageError):
    """A table of the operator's file is invalid; the message says which line, why, and what to do."""


def config_path() -> Path:
    """Path of the operator's config file; the empty file if this user has no home."""
    named = os.environ.get("STATION_CONFIG")
    if named:
        return Path(named)
    try:
        return Path.home() / ".config" / "station" / "config.toml"
    except RuntimeError:
        return Path(os.devnull)


def read_table(name: str, path: Path, *, example: str) -> dict[str, Any]:
    """One table of the file, empty if absent; `example` is a sample line.

    Raises:
        KeyConfigError: the file is not TOML, or the name is not a table.
    """
    try:
        table = from_toml(path.read_text(encoding="utf-8")).get(name, {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KeyConfigError(f"{path} is not readable as TOML: {error}. Correct that line.") from error
    if not isinstance(table, dict):
        raise KeyConfigError(
            f"{path}: {name} must be a table. Write [{name}] and below it lines like {example}."
        )
    return table


def checked_action(action: object, known: Iterable[str], path: Path) -> str:
    """An action of the table by its name. Raises KeyConfigError with the nearest one."""
    known = tuple(known)
    if isinstance(action, str) and action in known:
        return action
    hint = did_you_mean(str(action), known, f"The actions are {', '.join(known)}.")
    raise KeyConfigError(f"{path}: there is no action '{action}'.", remedy=hint)
