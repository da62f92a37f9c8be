"""What every exporter promises: complete or not there, nothing replaced unasked, one episode in memory, resumable.

`Exporter.export` is the way all formats go; a format says how one episode is added to its workplace and how the pieces
become the payload.
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
"""Called with the number of episodes written so far, and of all."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written."""

    path: Path
    episodes: int
    steps: int
    resumed: int
    """Episodes that an interrupted export of the same had finished already."""


class Exporter(ABC):
    """One foreign format. Holds no state: what is done lies in the workplace."""

    name: ClassVar[str]
    """As on the command line."""
    description: ClassVar[str]
    """One sentence."""
    single: ClassVar[bool]
    """It writes one file, not a folder."""
    front_matter: ClassVar[str] = ""
    """Lines of YAML that dataset hubs read from this format's card."""
    layout: ClassVar[int] = 1
    """Counts up when the pieces change, so that a newer program does not take up an older one's."""
    reading: ClassVar[str]
    """How a dataset's reader opens it, a few lines of Markdown for the card; ``{name}`` is the file or folder."""

    def export(
        self,
        source: ExportSource,
        out: Path,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write all episodes of `source` to `out`, which appears complete or not at all.

        Interrupted, it goes on where it was when it is called again for the same.

        Raises:
            ExportError: `out` exists and `force` is not given, the episodes do not fit together, a package is
                missing, or the disk refused. LockedError: another process writes the same export.
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
                "the same command goes on where this one was."
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
        """Raises ExportError when this format cannot hold `source`, or needs a package that is not there."""
        _ = source.spec

    @abstractmethod
    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        """Bring one episode into the workplace; an earlier attempt at the same one may have been cut off."""

    @abstractmethod
    def finish(self, work: Workplace, source: ExportSource) -> None:
        """Make the payload of what was added; an earlier attempt may have been cut off."""
