"""A session on disk: its paths, frozen task, schema version and single writer.

Creates and opens the folder. Reads no episode and no journal line; starts no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.durable import Disk, full_disk_named
from datasets.errors import ExitCode, StationError
from datasets.lock import WriterLock
from datasets.own_files import read_bytes, require_file, require_folder, require_owner
from datasets.plain_text import from_toml
from station.sessions import HEADER_FILE
from station.tasks.shelf import in_words
from station.trust import grant_operators_own

if TYPE_CHECKING:
    from pydantic import BaseModel

    from station.tasks.config import Task

SCHEMA = 1
"""Version of the folder's layout and of the journal's operations that this station writes."""

LOG = "engine.log"
_HEADER = "station"
_MOST = 2**22
"""Maximum size of a session.toml in bytes; ours have about ten thousand."""


class SessionError(StationError):
    """The folder is not a session, or no session can be created there."""


class NewerSchemaError(SessionError):
    """The session was written by a newer station; it is left untouched."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True)
class SessionFolder:
    """Paths and facts of one session. Holds nothing open."""

    path: Path
    task_name: str
    seed: int
    created: str
    """ISO 8601, UTC."""
    tables: dict[str, Any]
    """The frozen task as plain TOML content; `task` is the same, checked."""
    source: str = ""
    """The task file it came from, or its name in the library; empty if not recorded."""

    @classmethod
    def create(
        cls, path: Path, task: BaseModel, *, task_name: str, seed: int, source: str = ""
    ) -> SessionFolder:
        """Make the folder and freeze `task` (any settings model) in its ``session.toml``.

        `source`: its file, or its name in the library.

        Raises:
            SessionError: `path` already exists. DiskFullError.
        """
        from station.tasks.settings_text import to_toml

        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise SessionError(f"{path} exists already. Open it with 'station run', or choose another name.")
        created = datetime.now(UTC).isoformat(timespec="seconds")
        header = (
            f"\n[{_HEADER}]\n# Written once; the session belongs to this task and seed.\nschema = {SCHEMA}\n"
            f"task = {_quoted(task_name)}\nseed = {seed}\ncreated = {_quoted(created)}\n"
            + (f"source = {_quoted(source)}\n" if source else "")
        )
        for folder in (path, path / "base", path / "steering", path / "partial"):
            folder.mkdir(parents=True, exist_ok=True)
        with full_disk_named(HEADER_FILE, path):
            Disk().replace(path / HEADER_FILE, (to_toml(task).rstrip() + "\n" + header).encode())
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> SessionFolder:
        """Read an existing session; changes nothing.

        Raises:
            SessionError: no session, or its session.toml is damaged. NewerSchemaError.
        """
        file = path / HEADER_FILE
        try:
            content = from_toml(read_bytes(file, _MOST).decode())
            header = content.pop(_HEADER)
            schema = int(header["schema"])
            if schema > SCHEMA:
                raise NewerSchemaError(
                    f"{path} was written by a newer station (schema {schema}, this one knows {SCHEMA}). "
                    "It was not touched: update the station and open it again."
                )
            facts = str(header["task"]), int(header["seed"]), str(header["created"])
        except FileNotFoundError as error:
            raise SessionError(f"There is no session at {path}. Make one with 'station new'.") from error
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise SessionError(f"{file} is damaged ({error}). Restore it from a copy.") from error
        return cls(path, *facts, content, str(header.get("source", "")))

    @contextmanager
    def writing(self) -> Iterator[WriterLock]:
        """Become the session's only writer, after checking that everything in it is really inside it.

        Raises:
            LockedError: another process is. NotOursError: a link or something else is where a file of ours belongs, or
                it belongs to another user.
        """
        self.require_own()
        with WriterLock(self.lock) as lock:
            yield lock

    def require_own(self) -> None:
        """Raise NotOursError if what would be written or deleted is another user's or behind a link."""
        stores = [
            store / name
            for store in (self.demos, self.episodes)
            for name in ("", "tmp", "episodes", "quarantine")
        ]
        grant_operators_own()
        folders = (*stores, self.base, self.steering, self.partial, self.recordings, self.quarantine)
        files = (self.lock, self.journal, self.latch, self.log)
        for folder in folders:
            require_folder(folder)
        for file in files:
            require_file(file)
        for each in (self.path.resolve(), self.path / HEADER_FILE, *folders, *files):
            require_owner(each)

    @cached_property
    def task(self) -> Task:
        """The frozen task. Raises TaskError when a value is not what this station allows."""
        from station.tasks.config import parse_task

        return parse_task(self.tables, source=str(self.path / HEADER_FILE))

    @property
    def simulated(self) -> bool:
        """Whether the frozen task is for a simulated cell, the default."""
        cell = self.tables.get("cell")
        return not isinstance(cell, dict) or cell.get("kind", "simulated") == "simulated"

    @property
    def words(self) -> str:
        """The task in words, for exports; loads no class that the file names."""
        name, instruction, description = (
            str(self.tables.get(key, "")) for key in ("name", "instruction", "description")
        )
        return in_words(name, instruction, description)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def lock(self) -> Path:
        """Held by the writer: engine, import or training."""
        return self.path / "lock"

    @property
    def journal(self) -> Path:
        """The one numbered journal."""
        return self.path / "journal.jsonl"

    @property
    def demos(self) -> Path:
        """Episode store of the imported demonstrations."""
        return self.path / "demos"

    @property
    def episodes(self) -> Path:
        """Episode store of online and evaluation episodes."""
        return self.path / "episodes"

    @property
    def base(self) -> Path:
        """The base policy."""
        return self.path / "base"

    @property
    def steering(self) -> Path:
        """Checkpoints of the learner."""
        return self.path / "steering"

    @property
    def partial(self) -> Path:
        """Recorded steps of cut-off episodes; not counted anywhere."""
        return self.path / "partial"

    @property
    def recordings(self) -> Path:
        """What the scripted demonstrator recorded."""
        return self.path / "recordings"

    @property
    def quarantine(self) -> Path:
        """Damaged files, each with its reason."""
        return self.path / "quarantine"

    @property
    def latch(self) -> Path:
        """The stop latch, shared by every process of the session."""
        return self.path / "stop.latch"

    @property
    def engine(self) -> Path:
        """Which process runs the session, for people to read (JSON); never used to connect."""
        return self.path / "engine.json"

    @property
    def log(self) -> Path:
        """Output of a detached engine."""
        return self.path / LOG


def _quoted(text: str) -> str:
    """Quoted for TOML. Raises SessionError for a file name that is not valid text."""
    import tomlkit

    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SessionError(
            f"{text} is no name in UTF-8, and cannot be written into the session. Rename it and try again."
        ) from error
    return tomlkit.string(text).as_string()
