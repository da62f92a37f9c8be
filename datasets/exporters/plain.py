"""Episodes in the store's own format, with a journal of their labels; another station reads them directly.

``OUT/episodes/<id>/`` are byte-for-byte copies, latents and features included; ``OUT/journal.jsonl`` has one line per
episode and one per label. The only format that may mix episodes of different specs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from datasets.durable import Disk
from datasets.exporters.interface import Exporter, ExportError
from datasets.exporters.source import Entry, ExportSource
from datasets.exporters.staging import Workplace, whole
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.manifest import describe, inspect_folder
from datasets.own_files import open_own


class PlainExporter(Exporter):
    """zarr v3, one group per episode."""

    name: ClassVar[str] = "zarr"
    description: ClassVar[str] = "one zarr v3 group per episode, as recorded, with a journal of the labels"
    single: ClassVar[bool] = False
    reading: ClassVar[str] = """```python
import zarr
episode = zarr.open_group("{name}/episodes/<id>", mode="r")
episode["action"][:], episode["images/<camera>"][:], episode.attrs["header"]
```

There is one observation more than there are actions: the last one is what the last action led to. Labels are the
lines of `journal.jsonl`; `MANIFEST.json` in each folder lists sizes and CRC-32 of its files."""

    def check(self, source: ExportSource) -> None:
        """Any source is accepted."""

    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        """Copy one folder and verify the copy."""
        entry = source.entries[index]
        with whole(work.payload / "episodes" / entry.header.id) as folder:
            # copy links as links; the check below rejects them, as their targets are not part of the recording
            shutil.copytree(entry.folder, folder, symlinks=True)
            faults = inspect_folder(folder, full=True)
        if faults:
            raise ExportError(
                f"Episode {entry.header.id} is damaged ({describe(faults)}). Run 'station verify' on the session."
            )

    def finish(self, work: Workplace, source: ExportSource) -> None:
        """Write the labels."""
        path = work.payload / "journal.jsonl"
        path.unlink(missing_ok=True)
        journal = Journal(path, writable=True, disk=_WithoutWaiting())
        for entry in source.entries:
            _enter(journal, entry)


class _WithoutWaiting(Disk):
    """A disk without fsync per line: an export is synchronised once, as a whole, before it is renamed."""

    def append(self, path: Path, data: bytes) -> None:
        with open_own(path, "ab") as file:
            file.write(data)


def _enter(journal: Journal, entry: Entry) -> None:
    status = entry.status
    journal.append(
        EpisodeCommitted.of_header(entry.header, steps=entry.steps, chunks=status.chunks, block=status.block)
    )
    if status.outcome is not None:
        journal.append(Labelled(episode=status.id, outcome=status.outcome, by=status.by))
