"""What earlier imports of a session brought: which content is known, as which episodes, and understood how. Reads only.

The first episode of a content is called after its fingerprint. Another one of the same content, read by another mapping
or after the first was pruned, gets the next number behind that name: an id always means one and the same episode.
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
from datasets.journal.journal import IMPORT, LABEL, VOID, EpisodeStatus, Journal, Line
from datasets.store import EpisodeStore

BY = "recorder"
"""Who labels, voids and restores in the name of an import, in the journal."""
DECLARED = "import"
"""Who labels there, where the source says nothing and whoever imported it did."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What an import makes of an episode that was read, whether or not its content is known."""

    name: str
    """Under which it is in the store, or will be."""
    is_done: bool
    """It is there, understood just so, and stands: nothing is left to do."""
    voided: EpisodeStatus | None
    """What people took out of its content: it is taken in void."""
    replaced: tuple[EpisodeStatus, ...]
    """Those that are voided for it."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is said of it."""
        if self.voided is not None:
            return (stays_void(self.voided),)
        text = f"takes the place of {', '.join(other.id for other in self.replaced)}, imported before"
        return (warning(Defect.KNOWN, text),) if self.replaced else ()


class Past:
    """Of one session; sees what is appended to its store and journal meanwhile."""

    def __init__(self, store: EpisodeStore, journal: Journal) -> None:
        """Both may be open for reading only."""
        self._store = store
        self._journal = journal
        self._ledger = journal.ledger()
        lines = [line.fields for line in self._ledger.lines.get(IMPORT, ())]
        self.known = {
            str(fields["fingerprint"]): str(fields["episode"]) for fields in lines if fields["episode"]
        }
        """fingerprint -> the episode that stands for it"""

    def look(self, source: Source, fingerprint: str, given: dict[str, str]) -> Look | None:
        """At content that was imported before; None when no import of it still stands.

        Notes tell whether it was voided since, or understood otherwise than by what is `given` now.
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
        """The episode that stands for a content, void or not; None when there is none whose files are here."""
        episode = self.known.get(fingerprint)
        status = self.status(episode) if fingerprint and episode else None
        return None if status is None or status.pruned or status.id not in self._store else status

    def fate(self, episode: Episode, fingerprint: str) -> Fate:
        """What becomes of an episode, new or known."""
        name, standing = self._name_for(episode), self.standing(fingerprint)
        voided = self._taken_out(standing, name)
        replaced = () if voided else tuple(self._others(fingerprint, name))
        is_done = (
            standing is not None
            and standing.id == name
            and (voided is not None or not (standing.void or replaced))
        )
        return Fate(name=name, is_done=is_done, voided=voided, replaced=replaced)

    def _name_for(self, episode: Episode) -> str:
        """The episode of the same content and mapping that is there, or else a name that is free."""
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
        """Episodes of the same content under other names that count at present."""
        return [each for each in self._entered(fingerprint) if each.id != name and not each.void]

    def _taken_out(self, standing: EpisodeStatus | None, name: str) -> EpisodeStatus | None:
        """The one that stands, where people voided it for its content; None when it, or `name` in its place, counts."""
        # one that was voided for its successor, which a crash then kept out, was not voided by people
        if standing is None or not standing.void or standing.by == BY:
            return None
        status = self.status(name)
        if status is not None and not status.void:
            voided = [line.seq for line in self._journal.about(standing.id) if line.op == VOID]
            if max(voided, default=0) > status.seq:  # somebody saw both and chose
                return None
        return standing

    def judged(self, fingerprint: str) -> Line | None:
        """The last label that people gave to any episode of a content whose files are here."""
        return self._last_label(fingerprint, lambda by: by not in (BY, DECLARED))

    def declared(self, fingerprint: str) -> Outcome | None:
        """What was declared of a content when it was imported."""
        line = self._last_label(fingerprint, lambda by: by == DECLARED)
        return None if line is None else Outcome(line.fields["outcome"])

    def _last_label(self, fingerprint: str, by: Callable[[str], bool]) -> Line | None:
        lines = [line for each in self._entered(fingerprint) for line in self._journal.about(each.id)]
        given = [line for line in lines if line.op == LABEL and by(line.fields["by"])]
        return max(given, key=lambda line: line.seq, default=None)

    def status(self, episode: str) -> EpisodeStatus | None:
        """What the journal says about it; None when it does not know it."""
        if self._ledger.through != self._journal.last_seq:
            self._ledger = self._journal.ledger()
        return self._ledger.episodes.get(episode)

    def _entered(self, fingerprint: str) -> list[EpisodeStatus]:
        """Those of a content that the journal knows, but pruned ones."""
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
        """How its source was understood; None when nothing had to be."""
        found: dict[str, str] | None = self._store.header(episode).source.get("mapping")
        return found

    def _names(self, first: str, *, end: bool = False) -> Iterator[str]:
        """In their order; with `end` only as far as there are some."""
        for number in count(1):
            name = first if number == 1 else f"{first}-{number}"
            if end and name not in self._store and self.status(name) is None:
                return
            yield name


def _same(one: dict[str, str] | None, other: dict[str, str] | None) -> bool:
    """Whether two mappings read a source alike."""
    return comparable(one or {}) == comparable(other or {})


def _cut_off(status: EpisodeStatus) -> Note:
    text = f"imported before as {status.id}, whose replacement was cut off; to finish it {AGAIN}"
    return warning(Defect.KNOWN, text)


def stays_void(status: EpisodeStatus) -> Note:
    """What is said of content that people took out."""
    text = f"imported before as {status.id}, which was voided ({status.by}); restore it in the review"
    return warning(Defect.KNOWN, text)


def differences(mapping: dict[str, str] | None, given: dict[str, str]) -> str:
    """What of `given` a mapping has otherwise, in words; empty when nothing."""
    if mapping is None or not given:
        return ""
    wanted, plain = Mapping().with_answers(given).entries(), Mapping().entries()
    told = {name: value for name, value in wanted.items() if name in given or plain.get(name) != value}
    return ", ".join(
        f"{name} {mapping.get(name, 'not set')}, now {value}"
        for name, value in comparable(told).items()
        if mapping.get(name) != value
    )
