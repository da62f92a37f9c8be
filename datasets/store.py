"""Committed episodes on disk: each is complete or absent, even if a process is killed at any point.

A commit writes ``root/tmp/<id>-<pid>``, fsyncs it and renames it to ``root/episodes/<id>``. A folder that fails its
manifest moves to ``root/quarantine`` and is never deleted. Episodes are immutable; their labels are lines of the
session's journal. Readers need no lock; a writer holds the session's `datasets.lock.WriterLock`.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import zarr_codec
from datasets.durable import Disk, DiskFullError, full_disk_named
from datasets.episode import Episode, EpisodeHeader
from datasets.errors import StationError
from datasets.image_memory import free_memory
from datasets.journal.journal import Ledger
from datasets.manifest import MANIFEST, Fault, Manifest, describe, inspect_folder, manifest_of
from datasets.own_files import make_folder, read_bytes, remove_tree
from datasets.plain_text import from_json
from datasets.zarr_codec import ChunkRecord

__all__ = ["ChunkRecord", "DiskFullError", "EpisodeStore", "StoreError", "StoreReport", "unjournaled"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LEFTOVER = re.compile(rf"{_ID.pattern}-(\d+|pruned)")
"""Leftovers in tmp/: an episode that was being written, or one that was about to be deleted."""
SWEPT = 32
"""Number of newest episodes that a sweep checks: a crash can damage only recent writes. Damage to older episodes is
found when they are read, and by `EpisodeStore.verify`."""
_READ_ERRORS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    OverflowError,
    AttributeError,
    MemoryError,
)


class StoreError(StationError):
    """An episode is missing, unreadable, or must not be written."""


@dataclass(frozen=True, kw_only=True)
class StoreReport:
    """Result of verifying a store."""

    root: Path
    full: bool
    """Whether contents were compared, not only sizes."""
    sound: tuple[str, ...]
    """ids of episodes without a fault."""
    faults: tuple[Fault, ...]
    leftovers: tuple[str, ...]
    """Unfinished folders in tmp/; removed when the store is next opened for writing."""
    quarantined: tuple[str, ...]
    """Episodes in quarantine/, each with a note of the reason."""

    @property
    def ok(self) -> bool:
        """Whether no committed episode is damaged."""
        return not self.faults

    @property
    def damaged(self) -> tuple[str, ...]:
        """ids of episodes with a fault."""
        return tuple(dict.fromkeys(fault.episode for fault in self.faults))

    def reason(self, episode: str) -> str:
        """What is wrong with an episode, in one line."""
        return describe([fault for fault in self.faults if fault.episode == episode])


class EpisodeStore:
    """A folder of episodes."""

    def __init__(self, root: Path, *, writable: bool = False, disk: Disk | None = None) -> None:
        """Open the store; a writer creates it and removes unfinished folders. No episode is read.

        Raises:
            StoreError: opened for reading, but there is no store.
            DiskFullError: its folders could not be made. NotOursError: their paths hold something else.
        """
        self.root = root
        self.writable = writable
        self._disk = disk or Disk()
        self._episodes = root / "episodes"
        self._tmp = root / "tmp"
        self._quarantine = root / "quarantine"
        if writable:
            self._make_folders()
            self._sweep_tmp()
        elif not self._episodes.is_dir():
            raise StoreError(f"There is no episode store in {root}. Check the path of the session.")

    def __contains__(self, episode: str) -> bool:
        """Whether the episode has been committed."""
        folder = self._episodes / episode
        return folder.is_dir() and not folder.is_symlink()

    def ids(self) -> list[str]:
        """Every committed episode, sorted."""
        return sorted(
            entry.name for entry in os.scandir(self._episodes) if entry.is_dir(follow_symlinks=False)
        )

    def commit(self, episode: Episode) -> None:
        """Write an episode durably; once this returns, a crash cannot lose it.

        Raises:
            StoreError: the store is read-only, or the id is not a valid folder name or already exists.
            DiskFullError: no space; no trace of the episode is left, commit it again later.
        """
        name = episode.header.id
        self._check_commit(name)
        files = zarr_codec.encode(episode)
        files[MANIFEST] = manifest_of(files, steps=episode.steps, chunks=episode.chunks).to_bytes()
        folder = self._tmp / f"{name}-{os.getpid()}"
        made = False
        try:
            with full_disk_named(f"episode {name}", self.root):
                remove_tree(folder)
                folder.mkdir()
                made = True
                self._write(folder, files)
                folder.rename(self._episodes / name)
                made = False
                self._disk.sync(self._episodes)
        except OSError as error:
            raise StoreError(f"Episode {name} could not be written to {self.root}: {error}.") from error
        finally:
            if made:
                shutil.rmtree(folder, ignore_errors=True)

    def header(self, episode: str) -> EpisodeHeader:
        """Everything but the arrays. Raises StoreError."""
        self._folder(episode)
        try:
            data = self._checked(episode, "zarr.json", self._manifest(episode))
            return EpisodeHeader.from_json(from_json(data)["attributes"]["header"])
        except _READ_ERRORS as error:
            raise self._unreadable(episode, error) from error

    def size(self, episode: str) -> tuple[int, int]:
        """(steps, chunks), without reading an array. Raises StoreError."""
        self._folder(episode)
        try:
            manifest = self._manifest(episode)
        except _READ_ERRORS as error:
            raise self._unreadable(episode, error) from error
        return manifest.steps, manifest.chunks

    def load(self, episode: str) -> Episode:
        """The whole episode. Raises StoreError."""
        folder = self._folder(episode)
        self._require_whole(episode)
        try:
            return zarr_codec.decode(folder)
        except _READ_ERRORS as error:
            raise self._unreadable(episode, error) from error

    def chunks(self, episode: str) -> ChunkRecord:
        """Decisions and features without images; about a millisecond. Raises StoreError."""
        self._folder(episode)
        try:
            manifest = self._manifest(episode)
            return zarr_codec.decode_chunks(lambda name: self._checked(episode, name, manifest))
        except _READ_ERRORS as error:
            raise self._unreadable(episode, error) from error

    def verify(
        self,
        *,
        full: bool = True,
        only: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> StoreReport:
        """Check every file of every episode (or of `only` these); `full` compares contents as well as sizes.

        Changes nothing. Calls `progress` with the numbers of episodes checked and in total.
        """
        ids = self.ids() if only is None else list(only)
        faults: list[Fault] = []
        for done, name in enumerate(ids, 1):
            faults += inspect_folder(self._episodes / name, full=full)
            if progress is not None:
                progress(done, len(ids))
        damaged = {fault.episode for fault in faults}
        return StoreReport(
            root=self.root,
            full=full,
            sound=tuple(name for name in ids if name not in damaged),
            faults=tuple(faults),
            leftovers=_entries(self._tmp),
            quarantined=tuple(
                name for name in _entries(self._quarantine) if not name.endswith(".reason.txt")
            ),
        )

    def sweep(self, ledger: Ledger) -> tuple[Fault, ...]:
        """Quarantine episodes that a crash damaged; returns their faults.

        Lists the names of all episodes, but checks (by size) only those missing from the journal and the `SWEPT` most
        recent journal entries. Raises StoreError: opened for reading.
        """
        present = set(self.ids())
        entered = [name for name in ledger.episodes if name in present]
        newest = [*sorted(present.difference(entered)), *entered[-SWEPT:]]
        report = self.verify(full=False, only=newest)
        for name in report.damaged:
            self.quarantine(name, report.reason(name))
        return report.faults

    def quarantine(self, episode: str, reason: str) -> Path:
        """Move an episode to quarantine with a note of the reason; returns its new path. Raises StoreError."""
        if not self.writable:
            raise StoreError(f"{self.root} was opened for reading; episodes are moved by a writer.")
        source = self._folder(episode)
        number = 0
        while (target := self._quarantine / f"{episode}-{number}").exists():
            number += 1
        source.rename(target)
        self._disk.sync(self._episodes)
        self._disk.sync(self._quarantine)
        with full_disk_named("the reason of a quarantine", self._quarantine):
            self._disk.write(target.with_name(f"{target.name}.reason.txt"), f"{reason}\n".encode())
        return target

    def _make_folders(self) -> None:
        with full_disk_named("the episode store", self.root):
            for folder in (self.root, self._tmp, self._episodes, self._quarantine):
                make_folder(folder)
            self._disk.sync(self.root)

    def _sweep_tmp(self) -> None:
        """Remove leftovers of a crash; ignore anything else in tmp/."""
        for entry in os.scandir(self._tmp):
            if _LEFTOVER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))

    def _check_commit(self, name: str) -> None:
        if not self.writable:
            raise StoreError(
                f"{self.root} was opened for reading; open it writable, under the session's lock."
            )
        if not _ID.fullmatch(name):
            raise StoreError(
                f"'{name}' cannot be a folder's name; use letters, digits, dot, dash and underscore."
            )
        if name in self:
            raise StoreError(f"Episode {name} is in {self.root} already, and episodes never change.")

    def _write(self, folder: Path, files: dict[str, bytes]) -> None:
        """Write the manifest last, and fsync everything before the folder is renamed."""
        folders = [folder]
        for name, data in files.items():
            # top down, so a session folder moved away at this moment is not recreated at its old path
            for parent in reversed(Path(name).parents):
                if folder / parent not in folders:
                    (folder / parent).mkdir()
                    folders.append(folder / parent)
            self._disk.write(folder / name, data)
        for made in folders:
            self._disk.sync(made)

    def _folder(self, episode: str) -> Path:
        if episode not in self:
            raise StoreError(f"There is no episode '{episode}' in {self.root}; `station status` lists them.")
        return self._episodes / episode

    def _manifest(self, episode: str) -> Manifest:
        return Manifest.from_bytes(read_bytes(self._episodes / episode / MANIFEST))

    def _checked(self, episode: str, name: str, manifest: Manifest) -> bytes:
        """A file's bytes, checked against the manifest. Raises StoreError."""
        data = read_bytes(self._episodes / episode / name, most=min(manifest.files[name][0], free_memory()))
        if manifest.files[name] != (len(data), zlib.crc32(data)):
            raise ValueError(f"the checksum of {name} is wrong")
        return data

    def _require_whole(self, episode: str) -> None:
        """Check file sizes: zarr would silently read a missing chunk as zeros."""
        faults = inspect_folder(self._episodes / episode, full=False)
        if faults:
            raise self._unreadable(episode, StoreError(describe(faults)))

    def _unreadable(self, episode: str, error: Exception) -> StoreError:
        return StoreError(
            f"Episode {episode} in {self.root} cannot be read ({error}). Run `station verify` on the session; "
            "it quarantines damaged episodes and says which remain."
        )


def unjournaled(store: EpisodeStore, ledger: Ledger) -> list[str]:
    """Committed episodes without a journal line: a crash came between the commit and its line."""
    return [name for name in store.ids() if name not in ledger.episodes]


def _entries(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else ()
