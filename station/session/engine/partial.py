"""Recordings of cut-off episodes: kept in ``partial/<episode>/`` for review.

A stop, a fault or an engine that ends while a real arm moves leaves the interrupted episode here. A real cell flushes
every chunk, so a killed engine leaves it too. Nothing here is counted or learnt from; the journal has one
line for each, and its episode's number is not reused. The copy of a committed episode is deleted.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.durable import Disk, full_disk_named
from datasets.episode import EpisodeKind
from datasets.image_memory import free_memory
from datasets.own_files import make_folder, open_own
from station.session.engine.recorder import EpisodeRecorder

_PIECE = "steps-"
_OURS = re.compile(rf"({EpisodeKind.ONLINE}|{EpisodeKind.EVALUATION})-\d+.*")
_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
_ALWAYS = {"proprioception", "observation_time", "action", "sent", "command_time"}

Piece = dict[str, NDArray[Any]]
"""Consecutive steps with their next observations: name -> [n, ...]."""


@dataclass(frozen=True, kw_only=True)
class Hole:
    """A piece that cannot be read."""

    path: Path
    detail: str


class PartialLog:
    """The ``partial/`` folder of a session, as its engine writes it."""

    def __init__(self, root: Path) -> None:
        """Nothing is written before the first flush."""
        self._root = root
        self._flushed: dict[str, int] = {}

    def flush(self, episode: str, recorder: EpisodeRecorder) -> None:
        """Write the steps since the last flush; if the disk refuses, the copy is lost, not the episode."""
        with suppress(OSError):
            self._write(episode, recorder)

    def keep(self, episode: str, recorder: EpisodeRecorder) -> int:
        """The episode was cut off: write the rest and wait for the disk; returns the number of steps kept.

        Raises:
            DiskFullError: the rest does not fit; call again once there is room.
        """
        with suppress(OSError), full_disk_named(f"what was recorded of {episode}", self._root):
            self._write(episode, recorder)
            folder = self._root / episode
            for entry in (*folder.glob("*"), folder, self._root):
                Disk().sync(entry)
        return self._flushed.get(episode, 0)

    def committed(self, episode: str) -> None:
        """The episode is in the store."""
        if self._flushed.pop(episode, 0):
            discard(self._root / episode)

    def _write(self, episode: str, recorder: EpisodeRecorder) -> None:
        """Write one more piece, atomically."""
        first, end = self._flushed.get(episode, 0), recorder.steps
        if end == first:
            return
        path = self._root / episode / f"{_PIECE}{first:06d}.npz"
        make_folder(self._root, parents=False)
        make_folder(path.parent, parents=False)
        draft = path.with_name(f".{path.name}")
        try:
            with open_own(draft, "wb") as file:
                np.savez(file, **recorder.steps_between(first, end))  # type: ignore[arg-type]  # taken for its own flags
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        self._flushed[episode] = end


def leftovers(root: Path) -> list[Path]:
    """One folder per episode with pieces here, by name; anything else there belongs to a person."""
    if root.is_symlink() or not root.is_dir():
        return []
    found = (Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    return sorted(entry for entry in found if _OURS.fullmatch(entry.name))


def discard(folder: Path) -> None:
    """Remove an episode's pieces, finished and unfinished; a person's files beside them stay."""
    for pattern in (f"{_PIECE}*.npz", f".{_PIECE}*.npz"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):
        folder.rmdir()


def read(folder: Path) -> tuple[list[Piece], list[Hole]]:
    """An episode's pieces up to the first hole, and every hole; later pieces are not contiguous."""
    pieces: list[Piece] = []
    holes: list[Hole] = []
    steps = 0
    for path in sorted(folder.glob(f"{_PIECE}*.npz")):
        try:
            piece = _load(path, pieces)
        except _BROKEN as error:
            holes.append(Hole(path=path, detail=str(error)))
            continue
        missing = path.with_name(f"{_PIECE}{steps:06d}.npz")
        if not holes and path != missing:
            holes.append(Hole(path=missing, detail="it is missing"))
        if not holes:
            pieces.append(piece)
            steps += len(piece["action"])
    return pieces, holes


def _load(path: Path, before: list[Piece]) -> Piece:
    with open_own(path, "rb") as data, np.load(data, allow_pickle=False) as file:
        with zipfile.ZipFile(data) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > free_memory():
            raise ValueError(f"it claims {unpacked / 2**30:.1f} GiB, more than there is memory")
        piece = {name: file[name] for name in file.files}
    if not piece.keys() >= (before[0].keys() if before else _ALWAYS):
        raise ValueError("some of its arrays are gone")
    return piece
