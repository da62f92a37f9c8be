"""Import history of a session: which content was imported, as which episodes, with which mapping. Read-only.

The first episode of a content is named after its fingerprint. Another of the same content, read with another mapping or
after the first was pruned, gets the next number appended: an id always means the same episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from datasets.episode import Episode, Outcome
from datasets.importers import fingerprints
from datasets.importers.defects import AGAIN, Defect, Note, warning
from datasets.importers.findings import Finding, Look
from datasets.importers.interface import Source
from datasets.importers.mapping import Mapping, comparable
from datasets.journal.journal import EpisodeStatus, Journal
from datasets.journal.records import Imported, Labelled, Voided
from datasets.store import EpisodeStore

BY = "recorder"
"""The journal's `by` of labels, voids and restores made by an import."""
DECLARED = "import"
"""The journal's `by` of labels declared by the user for sources without a verdict."""


@dataclass(frozen=True, kw_only=True)
class ImportDecision:
    """What an import does with an episode it has read, whether or not its content is known."""

    name: str
    """Its id in the store, now or after the import."""
    is_done: bool
    """Whether it is already imported, unchanged and current: nothing is left to do."""
    voided: EpisodeStatus | None
    """The episode of this content that a person voided; the new one is imported as void."""
    replaced: tuple[EpisodeStatus, ...]
    """Episodes that it replaces, and that are voided."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes for the report."""
        if self.voided is not None:
            return (stays_void(self.voided),)
        text = f"takes the place of {', '.join(other.id for other in self.replaced)}, imported before"
        return (warning(Defect.KNOWN, text),) if self.replaced else ()


class ImportHistory:
    """Import history of one session; sees later additions to its store and journal."""

    def __init__(self, store: EpisodeStore, journal: Journal) -> None:
        """Both may be opened read-only."""
        self._store = store
        self._journal = journal
        self._ledger = journal.ledger()
        imported = [line.record for line in self._ledger.lines_of(Imported)]
        self.known = {record.fingerprint: record.episode for record in imported if record.episode}
        """fingerprint -> its current episode"""

    def look(self, source: Source, fingerprint: str, given: dict[str, str]) -> Look | None:
        """The result for content that was imported before; None if no import of it is current.

        Notes say whether it has been voided since, or was read with a mapping other than the one `given` now.
        """
        status = self.standing(fingerprint)
        if status is None:
            return None
        finding = Finding(
            path=source.path,
            key=source.key,
            format=source.format,
            fingerprint=fingerprint,
            steps=status.steps,
            defects=tuple(self._notes(status, fingerprint, given)),
        )
        return Look(finding=finding, known=status.id)

    def standing(self, fingerprint: str) -> EpisodeStatus | None:
        """The current episode of a content, void or not; None if none has its files in the store."""
        episode = self.known.get(fingerprint)
        status = self.status(episode) if fingerprint and episode else None
        return None if status is None or status.pruned or status.id not in self._store else status

    def decide(self, episode: Episode, fingerprint: str) -> ImportDecision:
        """What the import does with an episode, new or known."""
        name, standing = self._name_for(episode), self.standing(fingerprint)
        voided = self._taken_out(standing, name)
        replaced = () if voided else tuple(self._others(fingerprint, name))
        is_done = (
            standing is not None
            and standing.id == name
            and (voided is not None or not (standing.void or replaced))
        )
        return ImportDecision(name=name, is_done=is_done, voided=voided, replaced=replaced)

    def _name_for(self, episode: Episode) -> str:
        """The existing episode of the same content and mapping, otherwise a free name."""
        for name in self._names(episode.header.id):
            status = self.status(name)
            if status is not None and status.pruned:
                continue
            if name in self._store:
                if _same(self._mapping(name), episode.header.source.get("mapping")):
                    return name
            elif status is None or not status.void:
                return name
        raise AssertionError

    def _others(self, fingerprint: str, name: str) -> list[EpisodeStatus]:
        """Valid (not void) episodes of the same content under other names."""
        return [each for each in self._entered(fingerprint) if each.id != name and not each.void]

    def _taken_out(self, standing: EpisodeStatus | None, name: str) -> EpisodeStatus | None:
        """The current episode if a person voided it for its content; None if it, or `name` in its place, is valid."""
        # an episode voided for a successor that a crash then kept out was not voided by a person
        if standing is None or not standing.void or standing.by == BY:
            return None
        status = self.status(name)
        if status is not None and not status.void:
            lines = self._journal.about(standing.id)
            voided = [line.seq for line in lines if isinstance(line.record, Voided)]
            if max(voided, default=0) > status.seq:  # a person saw both and chose
                return None
        return standing

    def judged(self, fingerprint: str) -> Labelled | None:
        """The last label by a person on any episode of a content whose files are in the store."""
        return self._last_label(fingerprint, lambda by: by not in (BY, DECLARED))

    def declared(self, fingerprint: str) -> Outcome | None:
        """The outcome declared for a content when it was imported."""
        label = self._last_label(fingerprint, lambda by: by == DECLARED)
        return None if label is None else label.outcome

    def _last_label(self, fingerprint: str, by: Callable[[str], bool]) -> Labelled | None:
        lines = [line for each in self._entered(fingerprint) for line in self._journal.about(each.id)]
        said = (line.record for line in sorted(lines, key=lambda line: line.seq, reverse=True))
        return next((record for record in said if isinstance(record, Labelled) and by(record.by)), None)

    def status(self, episode: str) -> EpisodeStatus | None:
        """The episode's status in the journal; None if unknown."""
        if self._ledger.through != self._journal.last_seq:
            self._ledger = self._journal.ledger()
        return self._ledger.episodes.get(episode)

    def _entered(self, fingerprint: str) -> list[EpisodeStatus]:
        """Episodes of a content in the journal, except pruned ones."""
        names = self._names(fingerprints.episode_id(fingerprint), end=True)
        statuses = [self.status(name) for name in names]
        return [status for status in statuses if status is not None and not status.pruned]

    def _notes(self, status: EpisodeStatus, fingerprint: str, given: dict[str, str]) -> Iterator[Note]:
        others = ", ".join(other.id for other in self._others(fingerprint, status.id))
        if status.void:
            yield _cut_off(status) if status.by == BY else stays_void(status)
        elif others:
            text = f"imported before as {status.id}; {others} of the same content counts too"
            yield warning(Defect.KNOWN, f"{text}; to keep only one {AGAIN}")
        changes = differences(self._mapping(status.id), given)
        if changes:
            text = f"imported before with another mapping ({changes}); to replace it {AGAIN}"
            yield warning(Defect.KNOWN, text)

    def _mapping(self, episode: str) -> dict[str, str] | None:
        """The mapping its source was read with; None if none was needed."""
        found: dict[str, str] | None = self._store.header(episode).source.get("mapping")
        return found

    def _names(self, first: str, *, end: bool = False) -> Iterator[str]:
        """Names in order; with `end`, only up to the last that exists."""
        for number in count(1):
            name = first if number == 1 else f"{first}-{number}"
            if end and name not in self._store and self.status(name) is None:
                return
            yield name


def _same(one: dict[str, str] | None, other: dict[str, str] | None) -> bool:
    """Whether two mappings read a source in the same way."""
    return comparable(one or {}) == comparable(other or {})


def _cut_off(status: EpisodeStatus) -> Note:
    text = f"imported before as {status.id}, whose replacement was cut off; to finish it {AGAIN}"
    return warning(Defect.KNOWN, text)


def stays_void(status: EpisodeStatus) -> Note:
    """The note on content that a person voided."""
    text = f"imported before as {status.id}, which was voided ({status.by}); restore it in the review"
    return warning(Defect.KNOWN, text)


def differences(mapping: dict[str, str] | None, given: dict[str, str]) -> str:
    """Entries of `given` that differ from a mapping, in words; empty if none do."""
    if mapping is None or not given:
        return ""
    wanted, plain = Mapping().with_answers(given).entries(), Mapping().entries()
    told = {name: value for name, value in wanted.items() if name in given or plain.get(name) != value}
    return ", ".join(
        f"{name} {mapping.get(name, 'not set')}, now {value}"
        for name, value in comparable(told).items()
        if mapping.get(name) != value
    )
