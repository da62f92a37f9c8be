"""Labels past episodes: through the engine if one runs, else with a journal line under the lock.

``station label`` and the review screen use this, so a session never has two writers. Keys pressed while an
episode moves are events of the session screen instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from datasets.errors import UsageError
from datasets.importers.past import BY as RECORDER
from datasets.journal.journal import LABEL, RESTORE, VOID, Journal, Ledger
from station.jobs.remote import engine, wait_for

if TYPE_CHECKING:
    from datasets.journal.journal import EpisodeStatus
    from station.session.core.events import EventSource, OperatorEvent
    from station.session.folder import SessionFolder

VERDICTS = ("success", "failure", "timeout", "undo", "void", "restore")
"""undo takes the label back, for a demonstration to its recorder's label; void excludes the episode from
everything, restore includes it again."""


def give(folder: SessionFolder, episode: str, verdict: str, *, source: EventSource) -> str:
    """Label an episode; on return it is journaled, and the learner uses it at its next update.

    Returns the resulting verdict: the recorder's, if undo restored it.

    Raises:
        UsageError: no such verdict or episode, one that was pruned, or no label that could be taken back.
        StationError: the engine did not do it.
        LockedError: something other than an engine writes the session. JournalError, LinkError, DiskFullError.
    """
    if verdict not in VERDICTS:
        raise UsageError(f"Unknown verdict '{verdict}'. Choose one of {', '.join(VERDICTS)}.")
    ledger = Journal(folder.journal).ledger()
    _require(folder, ledger, episode, verdict)
    if verdict == "restore":
        _require_files(folder, episode)
    if verdict == "undo":
        verdict = _before(ledger, episode)
    with engine(folder) as client:
        if client is None:
            _write(folder, episode, verdict, source)
            return verdict
        number = client.send(event_of(episode, verdict, source))
        wait_for(client, folder, _shown(episode, verdict), number=number, about=episode)
    return verdict


def give_all(folder: SessionFolder, episodes: Sequence[str], verdict: str, *, source: EventSource) -> None:
    """Label many; on return each is journaled.

    Raises:
        StationError: the engine did not do it for all. LockedError, JournalError, LinkError, DiskFullError.
    """
    with engine(folder) as client:
        if client is None:
            with folder.writing():
                journal = Journal(folder.journal, writable=True)
                for episode in episodes:
                    _append(journal, episode, verdict, source)
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
    """Whether a verdict on many would change this one; void and pruned ones keep their label."""
    if status.pruned:
        return False
    if verdict == "restore":
        return status.void
    return not status.void and not stands(status, verdict)


def stands(status: EpisodeStatus, verdict: str) -> bool:
    """Whether the journal already has `verdict` for the episode."""
    if verdict in ("void", "restore"):
        return status.void == (verdict == "void")
    return status.outcome == (None if verdict == "undo" else verdict)


def event_of(episode: str, verdict: str, source: EventSource) -> OperatorEvent:
    """The event that an operator's key would send."""
    from datasets.episode import Outcome
    from station.session.core.events import Label, Restore, UndoLabel, Void

    if verdict == "void":
        return Void(episode=episode, source=source)
    if verdict == "restore":
        return Restore(episode=episode, source=source)
    if verdict == "undo":
        return UndoLabel(episode=episode, source=source)
    return Label(episode=episode, outcome=Outcome(verdict), source=source)


def _require(folder: SessionFolder, ledger: Ledger, episode: str, verdict: str) -> None:
    from station.session.operations import CUT_OFF

    status = ledger.episodes.get(episode)
    if any(line.fields["episode"] == episode for line in ledger.lines.get(CUT_OFF, ())):
        raise UsageError(f"{episode} was cut off: it is not counted and cannot be labelled.")
    if status is None:
        raise UsageError(
            f"There is no episode {episode} in {folder.path}. Give its full name, e.g. online-000012."
        )
    if status.pruned:
        raise UsageError(f"The files of {episode} were pruned; it stays void.")
    if status.void and verdict not in ("void", "restore"):
        raise UsageError(f"{episode} is void; restore it before you label it.")


def _before(ledger: Ledger, episode: str) -> str:
    """What undo means: the recorder's label if it was replaced, else 'undo' for none."""
    labels = (line.fields for line in ledger.lines.get(LABEL, ()) if line.fields["episode"] == episode)
    recorded = next((str(fields["outcome"]) for fields in labels if fields["by"] == RECORDER), None)
    present = ledger.episodes[episode].outcome
    if recorded not in (None, present):
        return str(recorded)
    if present is None:
        raise UsageError(f"{episode} has no label that could be taken back.")
    return "undo"


def _require_files(folder: SessionFolder, episode: str) -> None:
    places = (store / "episodes" / episode for store in (folder.demos, folder.episodes))
    if not any(place.is_dir() for place in places):
        raise UsageError(
            f"The files of {episode} are in no store of {folder.path} (damaged ones lie in quarantine): it stays void."
        )


def _write(folder: SessionFolder, episode: str, verdict: str, source: EventSource) -> None:
    """Without an engine: one line in the journal, under the session's lock."""
    with folder.writing():
        _append(Journal(folder.journal, writable=True), episode, verdict, source)


def _append(journal: Journal, episode: str, verdict: str, source: EventSource) -> None:
    if verdict == "void":
        journal.append(VOID, episode=episode, by=source.value, reason=f"by {source.value}")
    elif verdict == "restore":
        journal.append(RESTORE, episode=episode, by=source.value)
    else:
        outcome = None if verdict == "undo" else verdict
        journal.append(LABEL, episode=episode, outcome=outcome, by=source.value)
