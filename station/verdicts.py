"""One verdict on one episode of the past: through the engine where one runs, else a journal line under the lock.

``station label`` and the review screen judge with this, so that a session never has two writers. Keys pressed while an
episode moves take another way: they are events of the session's screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets.journal import Journal
from datasets.lock import WriterLock
from station.errors import UsageError
from station.remote import engine, wait_for

if TYPE_CHECKING:
    from datasets.journal import EpisodeStatus
    from station.session.events import OperatorEvent, Source
    from station.session.folder import SessionFolder

VERDICTS = ("success", "failure", "timeout", "undo", "void", "restore")
"""undo takes the label back; void takes the episode out of everything, restore brings it back."""


def give(folder: SessionFolder, episode: str, verdict: str, *, source: Source) -> None:
    """Judge an episode; when this returns, the journal says so and the learner hears of it at its next update.

    Raises:
        UsageError: no such verdict or episode, or one that was pruned. StationError: the engine did not do it.
        LockedError: something other than an engine writes the session. JournalError, LinkError, DiskFullError.
    """
    if verdict not in VERDICTS:
        raise UsageError(f"'{verdict}' is no verdict. Choose one of {', '.join(VERDICTS)}.")
    _require(folder, Journal(folder.journal).ledger().episodes.get(episode), episode)
    if verdict == "restore":
        _require_files(folder, episode)
    with engine(folder) as client:
        if client is None:
            _write(folder, episode, verdict, source)
            return
        client.send(event_of(episode, verdict, source))
        wait_for(client, folder, lambda ledger: stands(ledger.episodes[episode], verdict), about=episode)


def stands(status: EpisodeStatus, verdict: str) -> bool:
    """Whether the journal says of the episode what `verdict` asked for."""
    if verdict in ("void", "restore"):
        return status.void == (verdict == "void")
    return status.outcome == (None if verdict == "undo" else verdict)


def event_of(episode: str, verdict: str, source: Source) -> OperatorEvent:
    """The event that an operator's key would send."""
    from datasets.episode import Outcome
    from station.session.events import Label, Restore, UndoLabel, Void

    if verdict == "void":
        return Void(episode=episode, source=source)
    if verdict == "restore":
        return Restore(episode=episode, source=source)
    if verdict == "undo":
        return UndoLabel(episode=episode, source=source)
    return Label(episode=episode, outcome=Outcome(verdict), source=source)


def _require(folder: SessionFolder, status: EpisodeStatus | None, episode: str) -> None:
    if status is None:
        raise UsageError(
            f"There is no episode {episode} in {folder.path}. Give its full name, e.g. online-000012."
        )
    if status.pruned:
        raise UsageError(f"The files of {episode} were pruned; it stays void.")


def _require_files(folder: SessionFolder, episode: str) -> None:
    places = (store / "episodes" / episode for store in (folder.demos, folder.episodes))
    if not any(place.is_dir() for place in places):
        raise UsageError(
            f"The files of {episode} are in no store of {folder.path} (damaged ones lie in quarantine): it stays void."
        )


def _write(folder: SessionFolder, episode: str, verdict: str, source: Source) -> None:
    """Without an engine: one line in the journal, under the session's lock."""
    with WriterLock(folder.lock):
        journal = Journal(folder.journal, writable=True)
        if verdict == "void":
            journal.append("void", episode=episode, by=source.value, reason=f"by {source.value}")
        elif verdict == "restore":
            journal.append("restore", episode=episode, by=source.value)
        else:
            outcome = None if verdict == "undo" else verdict
            journal.append("label", episode=episode, outcome=outcome, by=source.value)
