"""What every exporter promises: finished files only, nothing overwritten unasked, one episode in memory at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.durable import Disk
from datasets.episode import Episode
from datasets.journal import EpisodeStatus

Labelled = tuple[Episode, EpisodeStatus]
"""An episode and what the journal says about it."""
Progress = Callable[[int], None]
"""Called with the number of episodes written so far."""


class ExportError(Exception):
    """Nothing was exported; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written."""

    path: Path
    episodes: int
    steps: int
    skipped: int
    """Void episodes, which no export holds."""


class Exporter(ABC):
    """One foreign format."""

    name: ClassVar[str]
    """As on the command line."""
    description: ClassVar[str]
    """One sentence."""
    suffix: ClassVar[str]
    """Of the file it writes, with the dot."""

    @abstractmethod
    def export(
        self,
        episodes: Iterable[Labelled],
        out: Path,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write all episodes that are not void to `out`, which appears complete or not at all.

        Raises:
            ExportError: `out` exists and `force` is not given, there is nothing to export, the episodes do not fit
                together, or the disk refused.
        """


@contextmanager
def finished_file(out: Path, *, force: bool) -> Iterator[Path]:
    """A temporary path beside `out` that takes its name when the block ends well and vanishes when it does not.

    Raises:
        ExportError: `out` exists and `force` is not given, or its folder cannot be written.
    """
    if out.exists() and not force:
        raise ExportError(f"{out} exists. Choose another name, or say --force to replace it.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    disk = Disk()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        # h5py leaves no descriptor to synchronise, so the finished file is opened once more
        disk.sync(partial)
        partial.replace(out)
        disk.sync(out.parent)
    except OSError as error:
        raise ExportError(
            f"{out} could not be written: {error}. Free some space or choose another folder."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
