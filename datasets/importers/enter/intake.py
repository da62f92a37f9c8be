"""Import of foreign episodes as demonstrations into a session's store; known ones are skipped.

Episodes are identified by a content fingerprint, so importing a folder twice, or again after an interruption, adds no
duplicates. For each one, the order is: commit the episode, write its journal line, its label, and finally the line that
marks the source as done; the next run completes whatever a crash left out. On a repeated import (`again`), an episode
that is now read differently replaces the current one of its content: that one is voided, not deleted, and only after
its successor has taken over the label given by people. If interrupted, both count until the import is finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from datasets.episode import Episode, EpisodeKind, Outcome
from datasets.importers.defects import Defect, QuestionError, warning
from datasets.importers.findings import Answers, Finding, Look, Outline
from datasets.importers.import_history import BY, DECLARED, ImportHistory
from datasets.importers.interface import Source
from datasets.importers.read.reader import refusal
from datasets.journal.journal import EpisodeStatus, Journal
from datasets.journal.records import EpisodeCommitted, Imported, Labelled, Restored, Voided
from datasets.spec import DataSpec
from datasets.store import EpisodeStore


class Reads(Protocol):
    """The part of a `Reader` that an import needs, in this process or another."""

    def find(
        self, paths: Iterable[Path], forced: str | None = None, *, follow: bool = False
    ) -> list[Source | Finding]:
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
    """Result of importing one source."""

    finding: Finding
    episode: str | None = None
    """The demonstration's id; None if refused."""
    duplicate: bool = False
    """Whether its content had been imported before and nothing was added."""
    outline: Outline | None = None
    """Interpretation of sources like this one; given only with the first of them."""

    @property
    def refused(self) -> str | None:
        """Why it was refused."""
        return self.finding.refused


def inspect_all(
    sources: Iterable[Source | Finding],
    spec: DataSpec,
    answers: Answers,
    reader: Reads,
    history: ImportHistory | None = None,
    *,
    again: bool = False,
    declared: Outcome | None = None,
    unanswered: Outline | None = None,
) -> Iterator[Look]:
    """Dry run: what an import would do with each source; without `history`, as if nothing had been imported."""
    for look in _looks(sources, spec, answers, reader, None if again else history, unanswered):
        foretold = _foretold(look, history) if again else look
        yield replace(foretold, finding=_declared(foretold.finding, declared), episode=None)


def _declared(finding: Finding, outcome: Outcome | None) -> Finding:
    """Add the verdict declared by the user to sources without one."""
    if outcome is None or finding.outcome is not None:
        return finding
    told = warning(Defect.NO_LABEL, f"no success label; declared a {outcome.value} by --outcome")
    notes = tuple(told if note.defect is Defect.NO_LABEL else note for note in finding.defects)
    return replace(finding, declared=outcome, defects=notes)


def _foretold(look: Look, history: ImportHistory | None) -> Look:
    """What would happen to content that was read although it may be known."""
    if history is None or look.episode is None:
        return look
    decision = history.decide(look.episode, look.finding.fingerprint)
    finding = replace(look.finding, defects=(*decision.notes, *look.finding.defects))
    replaced = tuple(other.id for other in decision.replaced)
    return replace(
        look, finding=finding, known=decision.name if decision.is_done else None, replaces=replaced
    )


def _looks(
    sources: Iterable[Source | Finding],
    spec: DataSpec,
    answers: Answers,
    reader: Reads,
    history: ImportHistory | None,
    unanswered: Outline | None,
) -> Iterator[Look]:
    """Known content raises no questions, even while a question about all sources is open."""
    for source in sources:
        if isinstance(source, Finding):
            yield Look(finding=source)
            continue
        fingerprint = reader.fingerprint(source)
        known = None if history is None else history.look(source, fingerprint, answers.get("", {}))
        if known is None and unanswered is not None and source.instruction:
            error = QuestionError(unanswered.open)
            finding = refusal(source.path, source.format, error, key=source.key, fingerprint=fingerprint)
            yield Look(finding=finding, outline=unanswered)
        else:
            yield known or reader.look(source, spec, answers, fingerprint=fingerprint, ordinal=0)


class Intake:
    """The part of an import that writes to store and journal."""

    def __init__(self, store: EpisodeStore, journal: Journal) -> None:
        """Both must be open for writing, under the session's lock."""
        self._store = store
        self._journal = journal
        self._history = ImportHistory(store, journal)
        self._told = {line.record for line in journal.ledger().lines_of(Imported)}

    def run(
        self,
        sources: Iterable[Source | Finding],
        spec: DataSpec,
        answers: Answers,
        reader: Reads,
        *,
        again: bool = False,
        declared: Outcome | None = None,
        unanswered: Outline | None = None,
    ) -> Iterator[ImportResult]:
        """Import the sources one by one; can be abandoned between any two. `again`: also re-read known content.

        `unanswered`: the open question which of several tasks to import; until it is answered, no new source with an
        instruction is imported. `declared` labels episodes that neither source nor person has labelled, including
        earlier imports.

        Raises:
            DiskFullError: no space; everything yielded is safe, run the import again later.
        """
        for found in _looks(sources, spec, answers, reader, None if again else self._history, unanswered):
            if found.known is not None:
                yield self._known(found.known, found.finding, declared)
                continue
            look = replace(found, finding=_declared(found.finding, declared))
            yield self._refuse(look) if look.episode is None else self._take_in(look, look.episode)

    def _known(
        self, name: str, finding: Finding, declared: Outcome | None, outline: Outline | None = None
    ) -> ImportResult:
        """Content that is already imported only receives the label declared now."""
        status = self._history.status(name)
        assert status is not None
        unjudged = status.outcome is None or status.by == DECLARED
        if declared not in (None, status.outcome) and unjudged and not status.void:
            assert declared is not None
            self._journal.append(Labelled(episode=name, outcome=declared, by=DECLARED))
            note = warning(Defect.KNOWN, f"imported before as {name}; now a {declared.value} by --outcome")
            finding = replace(finding, declared=declared, defects=(*finding.defects, note))
        return ImportResult(finding=finding, episode=name, duplicate=True, outline=outline)

    def _refuse(self, look: Look) -> ImportResult:
        """Write one journal line per source and reason, no matter how often the import is repeated."""
        record = _imported(look.finding, None)
        if record not in self._told:
            self._journal.append(record)
            self._told.add(record)
        return ImportResult(finding=look.finding, outline=look.outline)

    def _take_in(self, look: Look, episode: Episode) -> ImportResult:
        decision = self._history.decide(episode, look.finding.fingerprint)
        name = decision.name
        finding = replace(look.finding, defects=(*decision.notes, *look.finding.defects))
        if decision.is_done:
            return self._known(name, finding, finding.declared, look.outline)
        if name not in self._store:
            header = replace(episode.header, id=name, ordinal=self._ordinal(name))
            self._store.commit(replace(episode, header=header))
        self._enter(name, finding, decision.voided)
        for other in decision.replaced:
            self._journal.append(Voided(episode=other.id, by=BY, reason=f"replaced by {name}"))
        self._journal.append(_imported(finding, name))
        self._history.known[finding.fingerprint] = name
        return ImportResult(finding=finding, episode=name, outline=look.outline)

    def _enter(self, name: str, finding: Finding, voided: EpisodeStatus | None) -> None:
        """Make it the current episode of its content; it inherits people's labels from those it replaces."""
        if self._history.status(name) is None:
            steps, chunks = self._store.size(name)
            header = self._store.header(name)
            self._journal.append(EpisodeCommitted.of_header(header, steps=steps, chunks=chunks))
        status = self._history.status(name)
        assert status is not None
        if voided is not None and not status.void:
            self._journal.append(Voided(episode=name, by=voided.by, reason=f"as {voided.id}"))
        judged = self._history.judged(finding.fingerprint)
        if judged is None and status.outcome is None:
            self._label(name, finding)
        elif judged is not None and judged.episode != name:
            self._journal.append(Labelled(episode=name, outcome=judged.outcome, by=judged.by))
        if voided is None and status.void:
            self._journal.append(Restored(episode=name, by=BY))

    def _label(self, name: str, finding: Finding) -> None:
        """The source's outcome, otherwise the one declared now, otherwise one declared earlier for the same content."""
        declared = finding.declared or self._history.declared(finding.fingerprint)
        if finding.outcome is not None:
            self._journal.append(Labelled(episode=name, outcome=finding.outcome, by=BY))
        elif declared is not None:
            self._journal.append(Labelled(episode=name, outcome=declared, by=DECLARED))

    def _ordinal(self, name: str) -> int:
        episodes = self._journal.ledger().episodes
        if name in episodes:
            return episodes[name].ordinal
        demos = episodes.rows["ordinal"][episodes.of(EpisodeKind.DEMO)]
        return 1 + int(demos.max(initial=-1))


def _imported(finding: Finding, episode: str | None) -> Imported:
    return Imported(
        file=finding.path.name,
        fingerprint=finding.fingerprint,
        episode=episode,
        refused=finding.refused,
        kept=finding.kept if episode else 0,
        dropped=finding.dropped if episode else finding.ticks,
        key=finding.key or None,
    )
