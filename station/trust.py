"""Code that a task or session file may name: only what the person at this machine has named as well.

A session or task file that somebody sends is looked at, copied and resumed; a class that it names must not run because
of that. The flag holds for one command and the processes that it starts, the operator's own file for good.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from station.operator_config import KeyConfigError, config_path, read_table


def grant(classes: Iterable[str]) -> None:
    """Let files name these classes (module:Class, or a whole module), here and in processes started from here."""
    from datasets.settings import TRUST

    known = os.environ.get(TRUST, "").split()
    os.environ[TRUST] = " ".join(dict.fromkeys([*known, *classes]))


def grant_operators_own() -> None:
    """The same for those that the operator's file lists. Raises KeyConfigError when it lists something else."""
    path, example = config_path(), 'classes = ["my_package.steering:MySettings"]'
    classes = read_table("trust", path, example=example).get("classes", [])
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise KeyConfigError(f"{path}: [trust] classes must be a list of names. Write {example}.")
    grant(classes)
