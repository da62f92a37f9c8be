"""The interface of an exporter: atomic, resumable, one episode in memory, never overwriting without being asked.

All formats run through `Exporter.export`; a format defines how to add one episode to its workplace and how to assemble
the payload.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.exporters.card import card
from datasets.exporters.error import ExportError
from datasets.exporters.source import ExportSource
from datasets.exporters.staging import Workplace

__all__ = ["ExportError", "ExportReport", "Exporter", "Progress"]

Progress = Callable[[int, int], None]
"""Called with the numbers of episodes written so far and in total."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """Result of an export."""

    path: Path
    episodes: int
    steps: int
    resumed: int
    """Episodes already finished by an earlier, interrupted attempt at the same export."""


class Exporter(ABC):
    """One export format. Stateless: progress is kept in the workplace."""

    name: ClassVar[str]
    """Name on the command line."""
    description: ClassVar[str]
    """One sentence."""
    single: ClassVar[bool]
    """Whether it writes a single file instead of a folder."""
    front_matter: ClassVar[str] = ""
    """YAML lines in the card for dataset hubs."""
    layout: ClassVar[int] = 1
    """Version of the intermediate pieces; a newer program does not resume from an older version."""
    reading: ClassVar[str]
    """How to load the dataset: a few lines of Markdown for the card; ``{name}`` is the file or folder."""

    def export(
        self,
        source: ExportSource,
        out: Path,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write all episodes of `source` to `out`, which appears complete or not at all.

        If interrupted, call it again with the same source to resume.

        Raises:
            ExportError: `out` exists and `force` is not given, the episodes are incompatible, a package is missing, or
                a write failed. LockedError: another process is writing the same export.
        """
        self.check(source)
        out = out.absolute()
        total = len(source.entries)
        fingerprint = f"{self.name} {self.layout} {source.fingerprint}"
        try:
            with Workplace(out, fingerprint, single=self.single, force=force) as work:
                resumed = work.done
                for index in range(resumed, total):
                    self.add(work, source, index)
                    work.mark(index + 1)
                    if progress is not None:
                        progress(index + 1, total)
                self.finish(work, source)
                work.publish(self._card(source, out.name))
        except OSError as error:
            raise ExportError(
                f"{out} could not be written ({error.strerror or error}). Free some space, or choose another folder; "
                "run the same command to resume."
            ) from error
        return ExportReport(path=out, episodes=total, steps=source.steps, resumed=resumed)

    def _card(self, source: ExportSource, name: str) -> str:
        return card(
            source,
            form=self.description,
            reading=self.reading.format(name=name),
            front_matter=self.front_matter,
        )

    def check(self, source: ExportSource) -> None:
        """Raises ExportError when this format cannot represent `source`, or a required package is missing."""
        _ = source.spec

    @abstractmethod
    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        """Add one episode to the workplace; an earlier attempt at it may have been interrupted."""

    @abstractmethod
    def finish(self, work: Workplace, source: ExportSource) -> None:
        """Assemble the payload from the added episodes; an earlier attempt may have been interrupted."""
