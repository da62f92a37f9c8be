"""What is trusted: the classes that a task or session file may name, and whose files count as the operator's own.

The person at this machine names both. A session or task file that somebody sends is looked at, copied and resumed; a
class that it names must not run because of that. The flag holds for one command and the processes that it starts, the
operator's own file for good.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from datasets.own_files import OWNERS, user_name
from station.operator_config import KeyConfigError, config_path, read_table


def grant(classes: Iterable[str]) -> None:
    """Let files name these classes (module:Class, or a whole module), here and in processes started from here."""
    from datasets.settings import TRUST

    known = os.environ.get(TRUST, "").split()
    os.environ[TRUST] = " ".join(dict.fromkeys([*known, *classes]))


def grant_owners(users: Iterable[str]) -> None:
    """Let files of these users (names or numbers) count as ours, here and in processes started from here."""
    known = os.environ.get(OWNERS, "").split()
    os.environ[OWNERS] = " ".join(dict.fromkeys([*known, *users]))


def grant_operators_own() -> None:
    """Grant what the operator's file lists: classes and owners.

    Raises:
        KeyConfigError: it lists something else, or another user can write the file.
    """
    path, example = config_path(), 'classes = ["my_package.steering:MySettings"]'
    table = read_table("trust", path, example=example)
    if not table:
        return
    _require_operators_own(path)
    for name, line, hand_over in (
        ("classes", example, grant),
        ("owners", 'owners = ["alice"]', grant_owners),
    ):
        listed = table.get(name, [])
        if not (isinstance(listed, list) and all(isinstance(each, str) for each in listed)):
            raise KeyConfigError(f"{path}: [trust] {name} must be a list of names. Write {line}.")
        hand_over(listed)


def _require_operators_own(path: Path) -> None:
    """Anyone who can write this file could make the station run any code."""
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyConfigError(
            f"{path} belongs to user {user_name(found.st_uid)}, and its [trust] would let that user's code run. Make a "
            "file of your own and name it in STATION_CONFIG."
        )
    if found.st_mode & stat.S_IWOTH:
        raise KeyConfigError(
            f"{path} may be written by everybody, and its [trust] lets code run. Say: chmod o-w {path}"
        )
