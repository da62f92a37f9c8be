"""The sessions in a folder, how far each has come, and what to do with it next. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil

from datasets.journal import Journal, JournalError
from station.session.folder import SessionError, SessionFolder
from station.session.link import running_pid
from station.session.snapshot import Counts
from station.session.status import count, resting_state
from station.tui.wording import rate_words


class Progress(StrEnum):
    """How far a session has come."""

    UNREADABLE = "unreadable"
    EMPTY = "new"
    DEMONSTRATIONS = "demonstrations"
    TRAINED = "base trained"
    ONLINE = "teaching"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One line of the list of sessions."""

    path: Path
    name: str
    task: str = ""
    progress: Progress = Progress.EMPTY
    counts: Counts = field(default_factory=Counts)
    running: bool = False
    """An engine works on it."""
    trouble: str = ""


_STATES: dict[str, Progress] = {
    "empty": Progress.EMPTY,
    "demonstrations": Progress.DEMONSTRATIONS,
    "trained": Progress.TRAINED,
    "online": Progress.ONLINE,
    "finished": Progress.FINISHED,
}


def cards(sessions: Path) -> list[Card]:
    """Every session in the folder, the one that was changed last first."""
    found = [path.parent for path in sessions.glob("*/session.toml")]
    return [card(path) for path in sorted(found, key=_changed, reverse=True)]


def card(path: Path) -> Card:
    """One session."""
    try:
        folder = SessionFolder.open(path)
        return Card(
            path=path,
            name=folder.name,
            task=folder.task_name,
            progress=progress(folder),
            counts=count(folder),
            running=_running(folder),
        )
    except (SessionError, JournalError, OSError) as error:
        return Card(path=path, name=path.name, progress=Progress.UNREADABLE, trouble=str(error))


def progress(folder: SessionFolder) -> Progress:
    """How far the session has come, from its journal. Raises JournalError."""
    if not folder.journal.exists():
        return Progress.EMPTY
    return _STATES[resting_state(Journal(folder.journal).ledger())]


def next_step(one: Card) -> str:
    """What an operator would do with this session now."""
    if one.running:
        return "Its engine is running. Enter attaches to it."
    base = rate_words(one.counts.base_success)
    match one.progress:
        case Progress.UNREADABLE:
            said = one.trouble
        case Progress.EMPTY:
            said = "No demonstrations yet. i imports recordings; d has a simulated demonstrator record, then trains."
        case Progress.DEMONSTRATIONS:
            said = f"{one.counts.demos} demonstrations are in. Enter trains the base, i imports more."
        case Progress.TRAINED:
            said = f"The base succeeds at {base}. Enter starts teaching it."
        case Progress.ONLINE:
            said = f"{one.counts.episodes} episodes taught, rolling {rate_words(one.counts.rolling)}. Enter goes on."
        case Progress.FINISHED:
            said = (
                f"The goal is reached: rolling {rate_words(one.counts.rolling)}, base {base}. Enter opens it."
            )
    return said


def _running(folder: SessionFolder) -> bool:
    pid = running_pid(folder)
    return pid is not None and psutil.pid_exists(pid)


def _changed(path: Path) -> float:
    files = [path / "journal.jsonl", path / "session.toml"]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
