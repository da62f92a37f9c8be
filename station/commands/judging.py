"""``station status`` and ``station label``: what happened, and changing one's mind about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from datasets.wording import counted
from station import sessions
from station.commands.options import JsonOption, SessionArgument

VERDICTS = ("success", "failure", "timeout", "undo", "void", "restore")
"""Of `station.verdicts`, said here without loading it."""


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
    from station import verdicts
    from station.session.events import Source
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    given = verdicts.give(folder, episode, verdict, source=Source.COMMAND)
    typer.echo(f"{episode}: {given}{'' if given == verdict else ', as its recorder said'}.")


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


def _list(*, as_json: bool) -> None:
    """Every session in the sessions folder, one line each."""
    from station.session.folder import SessionError

    root = sessions.sessions_root()
    known: dict[str, dict[str, Any]] = {}
    for name in sessions.names(root):
        try:
            known[name] = facts(root / name)
        except SessionError as error:  # one damaged session hides none of the others
            typer.echo(f"{name}: {error}", err=True)
    if as_json:
        typer.echo(json.dumps(known))
        return
    if not known:
        typer.echo(f"No session in {Path(root).absolute()}. Begin with 'station demo' or 'station new'.")
    for name, found in known.items():
        count = f"{counted(found['demos'], 'demo')}, {counted(found['episodes'], 'episode')}"
        typer.echo(f"{name:<24} {found['state']:<14} {count}")
