"""Foreign episodes become demonstrations in a session's store: known ones passed over, the others read and committed.

An episode is known by a fingerprint of its content, so importing a folder twice, or again after an interruption, adds
nothing twice. For each the order is: commit the episode, its journal line, its label, and last the line that says that
the source is done; whatever was missing when a crash came is made up for on the next run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from datasets.episode import EpisodeKind
from datasets.importers.findings import Answers, Finding, Look, Outline
from datasets.importers.interface import Source
from datasets.journal import IMPORT, Journal, header_fields
from datasets.spec import DataSpec
from datasets.store import EpisodeStore

BY = "recorder"
"""Who gave the label, in the journal."""


class Reads(Protocol):
    """What an import needs of a `Reader`, in this process or another."""

    def find(self, paths: Iterable[Path], forced: str | None = None) -> list[Source | Finding]:
        """See Reader."""
        ...

    def fingerprint(self, source: Source) -> str:
        """See Reader."""
        ...

    def look(
        self, source: Source, spec: DataSpec, answers: Answers, *, fingerprint: str, ordinal: int
    ) -> Look:
        """See Reader."""
        ...


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What became of one source."""

    finding: Finding
    episode: str | None = None
    """The demonstration's id, None when refused."""
    duplicate: bool = False
    """Its content had been imported before; nothing was added."""
    outline: Outline | None = None
    """How sources like this one are understood; only with the first of them."""

    @property
    def refused(self) -> str | None:
        """Why it was refused."""
        return self.finding.refused


def inspect_all(
    sources: Iterable[Source | Finding], spec: DataSpec, answers: Answers, reader: Reads
) -> Iterator[Look]:
    """All that an import would do with each source, but writing."""
    for source in sources:
        if isinstance(source, Finding):
            yield Look(finding=source)
            continue
        fingerprint = reader.fingerprint(source)
        look = reader.look(source, spec, answers, fingerprint=fingerprint, ordinal=0)
        yield replace(look, episode=None)


class Intake:
    """The store and journal side of an import."""

    def __init__(self, store: EpisodeStore, journal: Journal) -> None:
        """Both opened for writing, under the session's lock."""
        self._store = store
        self._journal = journal
        lines = [line.fields for line in journal.ledger().lines.get(IMPORT, ())]
        self._known = {str(fields["fingerprint"]): fields["episode"] for fields in lines if fields["episode"]}
        self._told = {_text(fields) for fields in lines}

    def run(
        self, sources: Iterable[Source | Finding], spec: DataSpec, answers: Answers, reader: Reads
    ) -> Iterator[ImportResult]:
        """Import source after source; may be abandoned between any two.

        Raises:
            DiskFullError: there is no room; what was yielded is safe, run it again later.
        """
        for source in sources:
            if isinstance(source, Finding):
                yield self._refuse(Look(finding=source))
                continue
            fingerprint = reader.fingerprint(source)
            known = self._imported(source, fingerprint)
            if known is not None:
                yield known
                continue
            ordinal = self._ordinal(f"demo-{fingerprint}")
            look = reader.look(source, spec, answers, fingerprint=fingerprint, ordinal=ordinal)
            yield self._refuse(look) if look.episode is None else self._take_in(look)

    def _imported(self, source: Source, fingerprint: str) -> ImportResult | None:
        """The result of an earlier import of the same content, None when there is none that still stands."""
        episode = self._known.get(fingerprint)
        if not fingerprint or episode is None or episode not in self._store:
            return None
        steps = self._journal.ledger().episodes[episode].steps
        finding = Finding(
            path=source.path, key=source.key, format=source.format, fingerprint=fingerprint, steps=steps
        )
        return ImportResult(finding=finding, episode=episode, duplicate=True)

    def _refuse(self, look: Look) -> ImportResult:
        """One journal line per source and reason, however often the import is repeated."""
        fields = _fields(look.finding, None)
        if _text(fields) not in self._told:
            self._journal.append(IMPORT, **fields)
            self._told.add(_text(fields))
        return ImportResult(finding=look.finding, outline=look.outline)

    def _take_in(self, look: Look) -> ImportResult:
        episode = look.episode
        assert episode is not None
        name = episode.header.id
        if name not in self._store:
            self._store.commit(episode)
        ledger = self._journal.ledger()
        if name not in ledger.episodes:
            steps, chunks = self._store.size(name)
            self._journal.append(
                "episode", **header_fields(self._store.header(name), steps=steps, chunks=chunks)
            )
            ledger = self._journal.ledger()
        finding = look.finding
        if finding.outcome is not None and not ledger.episodes[name].by:
            self._journal.append("label", episode=name, outcome=finding.outcome.value, by=BY)
        self._journal.append(IMPORT, **_fields(finding, name))
        self._known[finding.fingerprint] = name
        return ImportResult(finding=finding, episode=name, outline=look.outline)

    def _ordinal(self, name: str) -> int:
        episodes = self._journal.ledger().episodes
        if name in episodes:
            return episodes[name].ordinal
        demos = (status.ordinal for status in episodes.values() if status.kind is EpisodeKind.DEMO)
        return 1 + max(demos, default=-1)


def _fields(finding: Finding, episode: str | None) -> dict[str, Any]:
    fields = {
        "file": finding.path.name,
        "fingerprint": finding.fingerprint,
        "episode": episode,
        "refused": finding.refused,
        "kept": finding.kept if episode else 0,
        "dropped": finding.dropped if episode else finding.ticks,
    }
    return {**fields, "key": finding.key} if finding.key else fields


def _text(fields: dict[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True)
