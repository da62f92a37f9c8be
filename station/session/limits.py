"""A session's limits: those frozen with its task, the journal's changes to them, and its task file's today.

A change is a journal line; an engine applies it at its next start. Tightening needs only the value;
loosening needs explicit confirmation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.journal.journal import Journal
from datasets.journal.records import LimitChanged
from datasets.lock import WriterLock
from hardware.robot.limits import Limit, LimitError, Value, changed, find, limits_of, written
from hardware.robot.settings import RobotCellSettings
from station.session.folder import SessionFolder

if TYPE_CHECKING:
    from station.tasks.config import Task


@dataclass(frozen=True, kw_only=True)
class Row:
    """One limit in a table."""

    name: str
    frozen: Value
    session: Value
    """In force from the next start."""
    file: Value
    """In the session's task file as it is today; the session's own value if there is no file."""
    looser: bool
    """Whether the session leaves the arms more room than the file."""

    @property
    def differs(self) -> bool:
        """Whether session and file differ."""
        return self.session != self.file

    def told(self) -> str:
        """The difference in words."""
        way = "looser here" if self.looser else "not looser here"
        return f"{self.name} {written(self.session)} here, {written(self.file)} there ({way})"


def in_force(folder: SessionFolder) -> Task:
    """The frozen task with the limits that the journal changed. Raises LimitError, TaskError, JournalError."""
    task = folder.task
    overrides = _journaled(folder) if isinstance(task.cell, RobotCellSettings) else {}
    if not overrides or not isinstance(task.cell, RobotCellSettings):
        return task
    return task.model_copy(update={"cell": changed(task.cell, overrides)})


def table(folder: SessionFolder) -> list[Row]:
    """All limits of the session; empty for a simulated cell.

    Raises:
        LimitError: the task file no longer has such a cell. TaskError: it is missing or invalid.
    """
    session = in_force(folder).cell
    if not isinstance(session, RobotCellSettings) or not isinstance(folder.task.cell, RobotCellSettings):
        return []
    frozen, file = limits_of(folder.task.cell), _of_file(folder)
    return [_row(limit, frozen[name].value, file.get(name)) for name, limit in limits_of(session).items()]


def remarks(folder: SessionFolder) -> list[str]:
    """What an operator should know before the session moves: limits that differ from its task file."""
    from station.tasks.shelf import TaskError

    try:
        differences = [row.told() for row in table(folder) if row.differs]
    except (LimitError, TaskError) as error:
        return [f"The session's limits cannot be compared with its task file. {error}"]
    if not differences:
        return []
    return [
        f"This session's limits are not those of {folder.source} today: {'; '.join(differences)}. The session's are in "
        f"force; 'station limits {folder.name}' shows and changes them."
    ]


def change(folder: SessionFolder, name: str, value: Value, *, loosen: bool) -> tuple[Limit, Limit]:
    """Journal a new value for a limit, effective at the next start; returns the limit before and after.

    Raises:
        LimitError: no such limit, an invalid value, or the limit would be loosened and `loosen` is False.
        LockedError: an engine, or another command, works on the session.
    """
    with WriterLock(folder.lock):
        before, after = _proposed(folder, name, value)
        looser = before.loosened_by(after.value)
        if looser and not loosen:
            raise LimitError(
                f"{before.name} = {written(after.value)} leaves the arms more room than {written(before.value)}, or "
                "room that cannot be compared. If that is intended, repeat it with --loosen."
            )
        if before.value != after.value:
            journal = Journal(folder.journal, writable=True)
            journal.append(
                LimitChanged(name=before.name, value=after.value, before=before.value, loosened=looser)
            )
        return before, after


def _proposed(folder: SessionFolder, name: str, value: Value) -> tuple[Limit, Limit]:
    cell = in_force(folder).cell
    if not isinstance(cell, RobotCellSettings):
        raise LimitError(f"{folder.name} has a simulated cell; limits are those of real arms.")
    before = find(cell, name)
    return before, limits_of(changed(cell, {before.name: value}))[before.name]


def _journaled(folder: SessionFolder) -> dict[str, Value]:
    """Name -> newest value; empty if none was ever written."""
    if not Path(folder.journal).exists():
        return {}
    lines = Journal(folder.journal).ledger().lines_of(LimitChanged)
    return {line.record.name: _value(line.record.value) for line in lines}


def _value(content: object) -> Value:
    return tuple(content) if isinstance(content, list) else content  # type: ignore[return-value]


def _of_file(folder: SessionFolder) -> dict[str, Limit]:
    """The task file's limits as they are today; none if the file is unknown."""
    from station.tasks.config import load_task

    if not folder.source:
        return {}
    cell = load_task(folder.source).cell
    if not isinstance(cell, RobotCellSettings):
        raise LimitError(f"{folder.source} describes a simulated cell now.")
    return limits_of(cell)


def _row(limit: Limit, frozen: Value, file: Limit | None) -> Row:
    there = file.value if file else limit.value
    looser = file.loosened_by(limit.value) if file else False
    return Row(name=limit.name, frozen=frozen, session=limit.value, file=there, looser=looser)


def rows_that_differ(rows: list[Row]) -> Iterator[Row]:
    """Limits whose file or frozen copy differs from what is in force."""
    return (row for row in rows if row.differs or row.frozen != row.session)
