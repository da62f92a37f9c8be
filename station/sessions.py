"""Finds session folders by name or by path. Opens and changes none of them."""

from __future__ import annotations

import os
from pathlib import Path

from datasets.errors import UsageError
from datasets.wording import did_you_mean

HEADER_FILE = "session.toml"
"""What makes a folder a session."""


def sessions_root() -> Path:
    """Where sessions live unless a path says otherwise: $STATION_SESSIONS, else ./sessions."""
    return Path(os.environ.get("STATION_SESSIONS", "sessions"))


def names(root: Path | None = None) -> list[str]:
    """Names of the sessions in `root`, newest last."""
    folder = root or sessions_root()
    return [path.parent.name for path in sorted(folder.glob(f"*/{HEADER_FILE}"), key=_changed)]


def _changed(file: Path) -> float:
    """s since 1970; 0 for one that was removed meanwhile."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def place(name: str) -> Path:
    """The folder that `name` means: a path if it looks like one or exists, else a name under the sessions folder."""
    path = at_home(name)
    if path.is_absolute() or len(path.parts) > 1 or name.startswith(".") or (path / HEADER_FILE).exists():
        return path
    return sessions_root() / name


def at_home(name: str | Path) -> Path:
    """The path with ~ and ~user expanded. Raises UsageError: no such home."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"The home folder in '{name}' is not known. Give the whole path.") from error


def find(name: str) -> Path:
    """Like `place`, for a session that must exist.

    Raises:
        UsageError: there is none; names the nearest.
    """
    path = place(name)
    if (path / HEADER_FILE).is_file():
        return path
    list_them = "List them with 'station status', or make one with 'station new'."
    raise UsageError(f"There is no session at {path}.", remedy=did_you_mean(name, names(), list_them))
