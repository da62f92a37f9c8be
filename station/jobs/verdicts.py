"""Labels past episodes: through the engine if one runs, else with a journal line under the lock.

``station label`` and the review screen use this, so a session never has two writers. Keys pressed while an
episode moves are events of the session screen instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from datasets.episode import Outcome
from datasets.errors import UsageError
from datasets.importers.import_history import BY as RECORDER
from datasets.journal.journal import Journal, Ledger
from datasets.journal.records import EpisodeCutOff, Labelled
from station.jobs.remote import engine, wait_for
from station.session.core.events import EventSource, Label, Restore, UndoLabel, Void
from station.session.core.verdicts import VerdictEvent, objection, record_of

if TYPE_CHECKING:
    from datasets.journal.journal import EpisodeStatus
    from station.session.folder import SessionFolder

VERDICTS = ("success", "failure", "timeout", "undo", "void", "restore")
"""undo takes the label back, for a demonstration to its recorder's label; void excludes the episode from
everything, restore includes it again."""


def give(folder: SessionFolder, episode: str, verdict: str, *, source: EventSource) -> str:
    """Label an episode; on return it is journaled, and the learner uses it at its next update.

    Returns the resulting verdict: the recorder's, if undo restored it.

    Raises:
        UsageError: no such verdict or episode, or one that cannot get it; see `station.session.core.verdicts`.
        StationError: the engine did not do it.
        LockedError: something other than an engine writes the session. JournalError, LinkError, DiskFullError.
    """
    if verdict not in VERDICTS:
        raise UsageError(f"Unknown verdict '{verdict}'. Choose one of {', '.join(VERDICTS)}.")
    ledger = Journal(folder.journal).ledger()
    if verdict == "undo":
        verdict = _recorded(ledger, episode) or verdict
    if sentence := _objection(ledger, event_of(episode, verdict, source)):
        raise UsageError(sentence)
    if verdict == "restore":
        _require_files(folder, episode)
    give_all(folder, [episode], verdict, source=source)
    return verdict


def give_all(folder: SessionFolder, episodes: Sequence[str], verdict: str, *, source: EventSource) -> None:
    """The same for many, which must be such that they can get it; on return each is journaled.

    Raises:
        StationError: the engine did not do it for all. LockedError, JournalError, LinkError, DiskFullError.
    """
    with engine(folder) as client:
        if client is None:
            with folder.writing():
                journal = Journal(folder.journal, writable=True)
                for episode in episodes:
                    journal.append(record_of(event_of(episode, verdict, source)))
            return
        for episode in episodes:
            number = client.send(event_of(episode, verdict, source))
            wait_for(client, folder, _shown(episode, verdict), number=number, about=episode)


def _shown(episode: str, verdict: str) -> Callable[[Ledger], bool]:
    return lambda ledger: stands(ledger.episodes[episode], verdict)


def require_for_many(verdict: str) -> None:
    """Refuse verdicts that do not apply to many. Raises UsageError."""
    if verdict not in VERDICTS:
        raise UsageError(f"Unknown verdict '{verdict}'. Choose one of {', '.join(VERDICTS)}.")
    if verdict == "undo":
        raise UsageError("undo takes back the label of one episode: name it, or give the many another label.")


def changes(status: EpisodeStatus, verdict: str) -> bool:
    """Whether a verdict on many would change this one; those that cannot get it are passed over."""
    event = event_of(status.id, verdict, EventSource.SYSTEM)
    return not objection(event, status, pruned=status.pruned) and not stands(status, verdict)


def stands(status: EpisodeStatus, verdict: str) -> bool:
    """Whether the journal already has `verdict` for the episode."""
    if verdict in ("void", "restore"):
        return status.void == (verdict == "void")
    return status.outcome == (None if verdict == "undo" else verdict)


def event_of(episode: str, verdict: str, source: EventSource) -> VerdictEvent:
    """The event that an operator's key would send."""
    if verdict == "void":
        return Void(episode=episode, source=source)
    if verdict == "restore":
        return Restore(episode=episode, source=source)
    if verdict == "undo":
        return UndoLabel(episode=episode, source=source)
    return Label(episode=episode, outcome=Outcome(verdict), source=source)


def _objection(ledger: Ledger, event: VerdictEvent) -> str:
    status = ledger.episodes.get(event.episode)
    return objection(
        event,
        status,
        cut_off=any(line.record.episode == event.episode for line in ledger.lines_of(EpisodeCutOff)),
        pruned=status is not None and status.pruned,
    )


def _recorded(ledger: Ledger, episode: str) -> str | None:
    """The recorder's label if it was replaced: what undo means for a demonstration."""
    status = ledger.episodes.get(episode)
    labels = (line.record for line in ledger.lines_of(Labelled) if line.record.episode == episode)
    recorded = next((label.outcome for label in labels if label.by == RECORDER), None)
    return None if status is None or recorded in (None, status.outcome) else recorded


def _require_files(folder: SessionFolder, episode: str) -> None:
    places = (store / "episodes" / episode for store in (folder.demos, folder.episodes))
    if not any(place.is_dir() for place in places):
        raise UsageError(
            f"The files of {episode} are in no store of {folder.path} (damaged ones lie in quarantine): it stays void."
        )
