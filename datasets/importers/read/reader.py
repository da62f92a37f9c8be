"""Inspects foreign episodes and does everything an import needs except writing.

`Reader` contains all code that touches foreign bytes, so it can run in a separate process. It knows no store and no
journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets.episode import Outcome
from datasets.importers.convert import conversion
from datasets.importers.defects import Defect, Note, RefusedError, Treatment, defect_of, why
from datasets.importers.findings import Answers, Finding, Look
from datasets.importers.formats.described import describe
from datasets.importers.interface import Source
from datasets.importers.read.look import EpisodeImport
from datasets.importers.read.registry import Found, format_named, search
from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError


class Reader:
    """Reads foreign files in the current process."""

    def __init__(self, beat: conversion.Beat = lambda: None) -> None:
        """`beat` is called often during a long read."""
        self._beat = beat
        self._outlined: set[str] = set()

    def find(
        self,
        paths: Iterable[Path],
        forced: str | None = None,
        *,
        follow: bool = False,
        within: Path | None = None,
    ) -> list[Source | Finding]:
        """Every episode at `paths`, and a refusal for each file that should hold some but is unreadable.

        Links out of each path (or out of `within`) are refused, unless links are to be followed.

        Raises:
            UnknownFormatError: `forced` is not a format.
        """
        found: list[Source | Finding] = []
        for place in search(paths, forced, follow=follow, within=within):
            found += self._keys(place)
            self._beat()
        return found

    def fingerprint(self, source: Source) -> str:
        """The content's fingerprint; empty if unreadable."""
        try:
            return format_named(source.format).fingerprint(source.path, source.key)
        except (OSError, RecordingError):
            return ""

    def success(self, source: Source) -> bool | None:
        """The source's own verdict; None if it has none or is unreadable."""
        try:
            with format_named(source.format).open(source.path, source.key) as raw:
                if raw.own is None:
                    return raw.success
                return None if raw.own.outcome is None else raw.own.outcome is Outcome.SUCCESS
        except (OSError, RecordingError):
            return None

    def describe(self, path: Path, spec: DataSpec) -> str:
        """A description template for files in no known format.

        Raises:
            RefusedError: no file there holds arrays, or none can be read.
        """
        return describe(path, spec)

    def look(
        self, source: Source, spec: DataSpec, answers: Answers, *, fingerprint: str, ordinal: int
    ) -> Look:
        """Read, check and convert one episode; a refusal is returned as a finding, not raised."""
        about: dict[str, Any] = {
            "path": source.path,
            "key": source.key,
            "format": source.format,
            "fingerprint": fingerprint,
        }
        work = EpisodeImport(source, format_named(source.format), spec, fingerprint, ordinal, self._beat)
        episode = None
        try:
            if not fingerprint:
                raise self._unreadable(source)
            episode = work.run(answers, self._outlined)
        except (RecordingError, OSError) as raised:
            error = raised if isinstance(raised, RecordingError) else _system(raised)
            note = Note(defect=defect_of(error), treatment=Treatment.REFUSED, text=str(error))
            work.facts["defects"] = (*work.facts.get("defects", ()), note)
            return Look(finding=Finding(**about, refused=str(error), **work.facts), outline=work.outline)
        return Look(finding=Finding(**about, **work.facts), episode=episode, outline=work.outline)

    def _unreadable(self, source: Source) -> RecordingError:
        """Why a source has no fingerprint."""
        try:
            format_named(source.format).fingerprint(source.path, source.key)
        except RecordingError as error:
            return error
        except OSError as error:
            return _system(error)
        return RefusedError(Defect.UNREADABLE, "it changed while it was read; import it again")

    def _keys(self, place: Found) -> list[Source | Finding]:
        if place.format is None:
            return [refusal(place.path, "", place.refused or RefusedError(Defect.UNREADABLE, "unreadable"))]
        found = format_named(place.format)
        try:
            keys = list(found.keys(place.path))
            lost = [refusal(place.path, place.format, error) for error in found.unlisted(place.path)]
        except RecordingError as error:
            return [refusal(place.path, place.format, error)]
        told = self._instructions(place)
        return [
            *(
                Source(path=place.path, format=place.format, key=key, instruction=told.get(key, ""))
                for key in keys
            ),
            *lost,
        ]

    def _instructions(self, place: Found) -> dict[str, str]:
        """Where they cannot be read no episode is lost for it: the rest of the import says what is damaged."""
        try:
            return format_named(str(place.format)).instructions(place.path)
        except (OSError, RecordingError):
            return {}


def _system(error: OSError) -> RefusedError:
    return RefusedError(Defect.UNREADABLE, f"unreadable ({why(error)})")


def refusal(
    path: Path, format_name: str, error: RecordingError, *, key: str = "", fingerprint: str = ""
) -> Finding:
    """The finding for an error raised before any number was read."""
    note = Note(defect=defect_of(error), treatment=Treatment.REFUSED, text=str(error))
    return Finding(
        path=path, key=key, format=format_name, fingerprint=fingerprint, refused=str(error), defects=(note,)
    )
