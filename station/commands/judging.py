"""``station status`` and ``station label``: what happened, and changing one's mind about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station import sessions
from station.commands.options import JsonOption, SessionArgument
from station.errors import UsageError

if TYPE_CHECKING:
    from datasets.journal import EpisodeStatus
    from station.session.events import OperatorEvent
    from station.session.folder import SessionFolder

VERDICTS = ("success", "failure", "timeout", "undo", "void", "restore")


def status(
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="Session folder or name; all without it.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Counts, rates and evaluations, computed from the session folder."""
    if session is None:
        _list(as_json=as_json)
        return
    path = sessions.find(session)
    if as_json:
        typer.echo(json.dumps(facts(path)))
    else:
        show(path)


def label(
    session: SessionArgument,
    episode: Annotated[str, typer.Argument(help="Full name of the episode, e.g. online-000012.")],
    verdict: Annotated[str, typer.Argument(help=" | ".join(VERDICTS))],
) -> None:
    """Relabel, reopen, void or restore one episode; it reaches the learner at its next update."""
    from datasets.journal import Journal
    from station.remote import engine, wait_for
    from station.session.folder import SessionFolder

    if verdict not in VERDICTS:
        raise UsageError(f"'{verdict}' is no verdict. Choose one of {', '.join(VERDICTS)}.")
    folder = SessionFolder.open(sessions.find(session))
    if episode not in Journal(folder.journal).ledger().episodes:
        raise UsageError(
            f"There is no episode {episode} in {folder.path}. Give its full name, e.g. online-000012."
        )
    with engine(folder) as client:
        if client is None:
            _write(folder, episode, verdict)
        else:
            client.send(event_of(episode, verdict))
            wait_for(client, folder, lambda ledger: stands(ledger.episodes[episode], verdict), about=episode)
    typer.echo(f"{episode}: {verdict}.")


def stands(status: EpisodeStatus, verdict: str) -> bool:
    """Whether the journal says of the episode what `verdict` asked for."""
    if verdict in ("void", "restore"):
        return status.void == (verdict == "void")
    return status.outcome == (None if verdict == "undo" else verdict)


def event_of(episode: str, verdict: str) -> OperatorEvent:
    """The event that an operator's key would send."""
    from datasets.episode import Outcome
    from station.session.events import Label, Restore, Source, UndoLabel, Void

    if verdict == "void":
        return Void(episode=episode, source=Source.COMMAND)
    if verdict == "restore":
        return Restore(episode=episode, source=Source.COMMAND)
    if verdict == "undo":
        return UndoLabel(episode=episode, source=Source.COMMAND)
    return Label(episode=episode, outcome=Outcome(verdict), source=Source.COMMAND)


def facts(path: Path) -> dict[str, Any]:
    """What ``status --json`` prints for the session at `path`."""
    from datasets.journal import Journal
    from station.remote import live_state
    from station.session import status as counting
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(path)
    state = live_state(folder) or counting.resting_state(Journal(folder.journal).ledger())
    return counting.to_json(counting.count(folder), state)


def show(path: Path) -> None:
    """The same for people."""
    from rich.console import Console
    from rich.table import Table

    found = facts(path)
    shown = Table(title=f"Session {path.name}", show_header=False)
    for name, value in found.items():
        if name not in ("eval", "base_success"):
            shown.add_row(name.replace("_", " "), _in_words(value))
    for point in found["eval"]:
        shown.add_row(f"evaluation at {point['env_steps']} steps", _in_words(point))
    Console().print(shown)


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and "successes" in value and value.get("n"):
        low, high = value["interval"]
        return f"{value['successes']}/{value['n']} = {value['successes'] / value['n']:.2f} [{low:.2f}, {high:.2f}]"
    return "-" if value is None else str(value)


def _write(folder: SessionFolder, episode: str, verdict: str) -> None:
    """Without an engine: one line in the journal, under the session's lock."""
    from datasets.journal import Journal
    from datasets.lock import WriterLock
    from station.session.events import Source

    with WriterLock(folder.lock):
        journal = Journal(folder.journal, writable=True)
        by = Source.COMMAND.value
        if verdict == "void":
            journal.append("void", episode=episode, by=by, reason="by command")
        elif verdict == "restore":
            journal.append("restore", episode=episode, by=by)
        else:
            journal.append("label", episode=episode, outcome=None if verdict == "undo" else verdict, by=by)


def _list(*, as_json: bool) -> None:
    """Every session in the sessions folder, one line each."""
    root = sessions.sessions_root()
    known = {name: facts(root / name) for name in sessions.names(root)}
    if as_json:
        typer.echo(json.dumps(known))
        return
    if not known:
        typer.echo(f"No session in {Path(root).absolute()}. Begin with 'station demo' or 'station new'.")
    for name, found in known.items():
        typer.echo(f"{name:<24} {found['state']:<14} {found['demos']} demos, {found['episodes']} episodes")
