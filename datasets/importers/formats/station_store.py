"""Episodes in this station's own store format: a ``zarr`` export, or the episodes of another session.

Labels come from ``journal.jsonl`` beside the episodes or one folder above; void episodes are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.interface import Format, OwnEpisode, RawEpisode
from datasets.importers.mapping import Mapping
from datasets.importers.recording import ArrayFrames
from datasets.journal.journal import EpisodeStatus, Journal, JournalError
from datasets.manifest import MANIFEST
from datasets.spec import DataSpec
from datasets.store import EpisodeStore, StoreError

_JOURNAL = "journal.jsonl"


class StationStoreFormat(Format):
    """The station's own episodes."""

    name: ClassVar[str] = "zarr"
    description: ClassVar[str] = "this station's episodes, one zarr v3 group each"

    def recognises(self, path: Path) -> bool:
        if not path.is_dir() or not (path / "episodes").is_dir():
            return False
        return any(entry.is_dir() and (entry / MANIFEST).exists() for entry in (path / "episodes").iterdir())

    def keys(self, path: Path) -> Iterator[str]:
        yield from EpisodeStore(path).ids()

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        try:
            episode = EpisodeStore(path).load(key)
        except StoreError as error:
            raise RefusedError(Defect.UNREADABLE, str(error)) from error
        status = _status(path, key)
        if status is not None and status.void:
            raise RefusedError(Defect.UNFIT, "it was declared void")
        yield RawEpisode(
            frames={name: ArrayFrames(images) for name, images in episode.images.items()},
            attributes={"id": key, "style": episode.header.method, "layout": episode.header.layout},
            own=OwnEpisode(
                spec=episode.header.spec,
                proprioception=episode.proprioception.astype(np.float64),
                observation_time=episode.observation_time,
                action=episode.action.astype(np.float64),
                sent=episode.sent.astype(np.float64),
                command_time=episode.command_time,
                outcome=None if status is None else status.outcome,
            ),
        )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        return Mapping()

    def fingerprint(self, path: Path, key: str) -> str:
        folder = path / "episodes" / key
        return fingerprints.of_files(sorted(file for file in folder.rglob("*") if file.is_file()))


def _status(path: Path, key: str) -> EpisodeStatus | None:
    """The episode's status in the nearest journal; None without a journal."""
    for file in (path / _JOURNAL, path.parent / _JOURNAL):
        if file.is_file():
            try:
                return Journal(file).ledger().episodes.get(key)
            except JournalError as error:
                raise RefusedError(Defect.UNREADABLE, f"its journal is damaged ({error})") from error
    return None
