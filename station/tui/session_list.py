"""The sessions in a folder, the stage of each, and what to do next. Changes nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import psutil

from datasets.errors import StationError
from datasets.journal.journal import Journal
from datasets.wording import counted
from station.plain import visible
from station.session.folder import SessionFolder
from station.session.link.client import running_pid
from station.session.snapshot import Counts
from station.session.status import count_in, resting_state
from station.sessions import HEADER_FILE


class SessionStage(StrEnum):
    """Stage of a session."""

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
    progress: SessionStage = SessionStage.EMPTY
    counts: Counts = field(default_factory=Counts)
    running: bool = False
    """An engine works on it."""
    trouble: str = ""


_STATES: dict[str, SessionStage] = {
    "empty": SessionStage.EMPTY,
    "demonstrations": SessionStage.DEMONSTRATIONS,
    "trained": SessionStage.TRAINED,
    "online": SessionStage.ONLINE,
    "finished": SessionStage.FINISHED,
}


class Library:
    """The sessions of a folder; an unchanged journal is not reread."""

    def __init__(self, sessions: Path) -> None:
        """`sessions` is the folder to search."""
        self._sessions = sessions
        self._read: dict[Path, tuple[object, Card]] = {}

    def cards(self) -> list[Card]:
        """Every session in the folder, last changed first."""
        found = [path.parent for path in self._sessions.glob(f"*/{HEADER_FILE}")]
        return [self._card(path) for path in sorted(found, key=_changed, reverse=True)]

    def _card(self, path: Path) -> Card:
        stamp = _stamp(path)
        before = self._read.get(path)
        if before is None or before[0] != stamp:
            self._read[path] = (stamp, card(path))
        known = self._read[path][1]
        return replace(known, running=known.progress is not SessionStage.UNREADABLE and _running(path))


def card(path: Path) -> Card:
    """One session."""
    try:
        folder = SessionFolder.open(path)
        ledger = Journal(folder.journal).ledger()
        return Card(
            path=path,
            name=visible(folder.name),
            task=visible(folder.task_name),
            progress=_STATES[resting_state(ledger)],
            counts=count_in(folder, ledger),
            running=_running(path),
        )
    except (StationError, OSError) as error:
        return Card(
            path=path,
            name=visible(path.name),
            progress=SessionStage.UNREADABLE,
            trouble=visible(str(error)),
        )


def next_step(one: Card) -> str:
    """What an operator would do with this session now."""
    if one.running:
        return "Its engine is running. Enter attaches to it."
    match one.progress:
        case SessionStage.UNREADABLE:
            said = one.trouble
        case SessionStage.EMPTY:
            said = "No demonstrations yet. i imports recordings; d has a simulated demonstrator record, then trains."
        case SessionStage.DEMONSTRATIONS:
            said = f"{counted(one.counts.demos, 'demonstration')} in. Enter trains the base, i imports more."
        case SessionStage.TRAINED:
            said = "The base is trained. Enter starts teaching it."
        case SessionStage.ONLINE:
            taught = counted(one.counts.episodes, "episode")
            said = f"{taught} taught. Enter continues."
        case SessionStage.FINISHED:
            said = "The goal is reached. Enter opens it."
    return said


def _running(path: Path) -> bool:
    try:
        pid = running_pid(SessionFolder.open(path))
    except (StationError, OSError):
        return False
    return pid is not None and psutil.pid_exists(pid)


def _stats(path: Path) -> list[os.stat_result]:
    """Of journal and task; the session may be removed meanwhile."""
    found = []
    for name in ("journal.jsonl", HEADER_FILE):
        with suppress(OSError):
            found.append((path / name).stat())
    return found


def _changed(path: Path) -> float:
    return max((found.st_mtime for found in _stats(path)), default=0.0)


def _stamp(path: Path) -> object:
    """Changes when journal or task do."""
    return [(found.st_ino, found.st_size, found.st_mtime_ns) for found in _stats(path)]
