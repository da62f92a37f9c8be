"""Takes VR recordings into a session, under its lock, telling a reporter about each file.

What is read, refused and trimmed is `datasets.importers.vr`; this module only brings session and importer together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.importers import vr
from datasets.journal import Journal
from datasets.lock import WriterLock
from datasets.store import EpisodeStore
from station.errors import UsageError
from station.reporting import Reporter

if TYPE_CHECKING:
    from station.session.folder import SessionFolder


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of all files."""

    imported: int
    duplicates: int
    refused: int


def recordings(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` name, folders opened.

    Raises:
        UsageError: a path does not exist, or there is no recording in any of them.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is nothing at {path}. Give an HDF5 recording or a folder of them.")
    found = vr.files(paths)
    if not found:
        raise UsageError(f"No recording ({', '.join(vr.SUFFIXES)}) in {', '.join(map(str, paths))}.")
    return found


def inspect(folder: SessionFolder, files: Sequence[Path], reporter: Reporter) -> None:
    """Say what an import would do with each file; writes nothing."""
    spec = folder.task.cell.spec
    for done, path in enumerate(files, start=1):
        finding = vr.inspect(path, spec)
        reporter.event("finding", **facts(finding))
        reporter.progress("inspect", done, len(files))
    reporter.event("done", inspected=len(files))


def run(folder: SessionFolder, files: Sequence[Path], reporter: Reporter) -> Summary:
    """Import file by file; what was told as a result is safe, whatever happens next.

    Raises:
        LockedError: an engine or another command works on the session.
        DiskFullError: there is no room; run it again later.
    """
    counts = {"imported": 0, "duplicates": 0, "refused": 0}
    with WriterLock(folder.lock):
        journal = Journal(folder.journal, writable=True)
        store = EpisodeStore(folder.demos, writable=True)
        for done, result in enumerate(vr.run(files, folder.task.cell.spec, store, journal), start=1):
            kind = "refused" if result.refused else "duplicates" if result.duplicate else "imported"
            counts[kind] += 1
            reporter.event("result", **_outcome(result))
            reporter.progress("import", done, len(files))
    return Summary(**counts)


def facts(finding: vr.Finding) -> dict[str, Any]:
    """A finding in plain JSON types."""
    return {
        "file": str(finding.path),
        "usable": finding.refused is None,
        "detail": finding.refused or _in_words(finding),
        "steps": finding.steps,
        "ticks": finding.ticks,
        "seconds": round(finding.ticks / finding.rate, 2) if finding.rate else 0.0,
        "idle": finding.idle,
        "clutch_off": finding.clutch_off,
        "success": finding.success,
        "style": finding.style,
        "notes": list(finding.notes),
    }


def _outcome(result: vr.ImportResult) -> dict[str, Any]:
    return {
        "file": str(result.finding.path),
        "episode": result.episode,
        "refused": result.refused,
        "duplicate": result.duplicate,
        "kept": result.finding.kept,
        "dropped": result.finding.dropped,
        "steps": result.finding.steps,
    }


def _in_words(finding: vr.Finding) -> str:
    label = {True: "success", False: "failure", None: "no label"}[finding.success]
    parts = [
        f"{finding.steps} steps from {finding.ticks} samples at {finding.rate:.0f} Hz",
        label,
        f"{finding.idle} idle and {finding.clutch_off} clutch-off samples dropped",
        *finding.notes,
    ]
    return ", ".join(parts)
