"""The tasks that come with the station and those an operator wrote: their files and names.

Reads no more than a name and a description, so that lists appear without loading a policy or a simulator.
`station.tasks.config` reads whole tasks.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from datasets.errors import ExitCode, StationError
from datasets.own_files import NotOursError, read_bytes
from datasets.plain_text import from_toml
from datasets.wording import did_you_mean
from station.sessions import at_home

_MOST = 2**22
"""Maximum size of a task file in bytes."""


class TaskError(StationError):
    """A task that does not exist or whose file is invalid; names file, section and key."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """One line of the list of tasks."""

    name: str
    description: str
    path: Path


def list_tasks() -> list[str]:
    """Names of the tasks that come with the station."""
    return sorted(_files())


def task_summaries() -> list[TaskSummary]:
    """The task library with each task's description."""
    return [
        TaskSummary(name=name, description=str(read_toml(path).get("description", "")), path=path)
        for name, path in sorted(_files().items())
    ]


def find_task(name: str | Path) -> Path:
    """The file of a task of the library, or of the operator's own by its path.

    Raises:
        TaskError: there is none; the nearest name is suggested.
    """
    if is_path(name):
        path = at_home(name)
        if path.is_file():
            return path
        raise TaskError(f"There is no task file {path}. Give a path to a .toml file, or the name of a task.")
    known = _files()
    if str(name) in known:
        return known[str(name)]
    hint = did_you_mean(str(name), known, alike=0.4)
    raise TaskError(
        f"There is no task '{name}'.", remedy=f"{hint} Known tasks: {', '.join(sorted(known))}.".strip()
    )


def source_of(name: str | Path) -> str:
    """A task's location-independent source: its name in the library, or the absolute path of its file."""
    return str(at_home(name).resolve()) if is_path(name) else str(name)


def is_path(name: str | Path) -> bool:
    """Whether a task is named by its file rather than by its name in the library."""
    return isinstance(name, Path) or name.endswith(".toml") or "/" in name


def read_toml(path: Path) -> dict[str, object]:
    """The plain content of a task file.

    Raises:
        TaskError: unreadable, or not TOML; says the line.
    """
    try:
        return from_toml(read_bytes(path, _MOST).decode())
    except NotOursError as error:
        raise TaskError(str(error)) from error
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror}. Check the path and its owner.") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{path} is not valid TOML: {error}. Correct that place and try again.") from error


def in_words(name: str, instruction: str, description: str) -> str:
    """A task as policies read it: its instruction, else its description up to the colon, else its name."""
    return instruction or description.partition(":")[0].strip() or name


def _files() -> dict[str, Path]:
    """Name -> file of the library."""
    folder = Path(str(resources.files("station.tasks")))
    return {path.stem: path for path in folder.glob("*.toml")}
