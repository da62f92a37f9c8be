"""``station status`` and ``station label``: results, and corrections to labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datasets.errors import StationError, UsageError
from datasets.wording import counted
from station import sessions
from station.commands.options import JsonOption, SessionArgument
from station.errors import refusal
from station.plain import say, terminal

if TYPE_CHECKING:
    from datasets.journal.journal import EpisodeStatus

VERDICTS = ("success", "failure", "timeout", "undo", "void", "restore")
"""Those of `station.jobs.verdicts`, repeated here to avoid importing it."""


def status(
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="Session folder or name; default: all.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show counts, rates and evaluations, computed from the session folder."""
    if session is None:
        _list(as_json=as_json)
        return
    path = sessions.find(session)
    if as_json:
        say(json.dumps(facts(path)))
    else:
        show(path)


def label(
    session: SessionArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[EPISODE] VERDICT",
            help=f"Full name of an episode, e.g. online-000012 (not with --where), then {' | '.join(VERDICTS)}.",
        ),
    ],
    *,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help='Label many, e.g. "demo and pending"; shows the count and asks to confirm.'
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Label many without confirmation.")] = False,
) -> None:
    """Relabel, reopen, void or restore episodes; the learner uses it at its next update.

    One by name: station label mine online-000012 failure. Many by a filter, as in 'station review':
    station label mine --where "demo and pending" success.
    """
    wanted = 2 if where is None else 1
    if len(words) != wanted:
        form = "EPISODE VERDICT" if where is None else '--where "..." VERDICT'
        raise UsageError(f"Usage: station label {session} {form}. Got {counted(len(words), 'word')}.")
    if where is None:
        _label_one(session, *words)
    else:
        _label_many(session, where, words[0], yes=yes)


def _label_many(session: str, where: str, verdict: str, *, yes: bool) -> None:
    from datasets.selection import Where
    from station.jobs import verdicts
    from station.review.catalogue import Catalogue
    from station.session.core.events import EventSource
    from station.session.folder import SessionFolder

    verdicts.require_for_many(verdict)
    meant = Where.parse(where)
    folder = SessionFolder.open(sessions.find(session))
    statuses = [item.status for item in Catalogue(folder).items(meant) if item.status is not None]
    if not statuses:
        raise StationError(
            f"No recording matches --where '{where}'; 'station review {session} --list' shows all."
        )
    chosen = [status for status in statuses if verdicts.changes(status, verdict)]
    say(_preview(statuses, chosen, verdict))
    if not chosen:
        return
    if not yes:
        typer.confirm(f"{verdict} for {counted(len(chosen), 'recording')}?", abort=True)
    verdicts.give_all(folder, [status.id for status in chosen], verdict, source=EventSource.COMMAND)
    say(f"{counted(len(chosen), 'recording')}: {verdict}.")


def _preview(found: list[EpisodeStatus], chosen: list[EpisodeStatus], verdict: str) -> str:
    """What would change, counted by current label."""
    kinds = Counter("void" if one.void else str(one.outcome or "pending") for one in chosen)
    now = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    words = f"{counted(len(found), 'recording')} found; {verdict} would change {len(chosen)}"
    words += f" of them ({now})" if chosen else " of them"
    rest = len(found) - len(chosen)
    return f"{words}; {rest} stay as they are." if rest else f"{words}."


def _label_one(session: str, episode: str, verdict: str) -> None:
    from station.jobs import verdicts
    from station.session.core.events import EventSource
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    given = verdicts.give(folder, episode, verdict, source=EventSource.COMMAND)
    say(f"{episode}: {given}{'' if given == verdict else ', as its recorder said'}.")


def facts(path: Path) -> dict[str, Any]:
    """What ``status --json`` prints for the session at `path`."""
    from datasets.journal.journal import Journal
    from station.jobs.remote import live_state
    from station.session import status as counting
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(path)
    state = live_state(folder) or counting.resting_state(Journal(folder.journal).ledger())
    return counting.to_json(counting.count(folder), state)


def show(path: Path) -> None:
    """The same for people."""
    from rich.table import Table

    found = facts(path)
    shown = Table(title=f"Session {path.name}", show_header=False)
    for name, value in found.items():
        if name not in ("eval", "base_success"):
            shown.add_row(name.replace("_", " "), _in_words(value))
    for point in found["eval"]:
        shown.add_row(f"evaluation at {point['env_steps']} steps", _in_words(point))
    terminal().print(shown)


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and "successes" in value and value.get("n"):
        low, high = value["interval"]
        return f"{value['successes']}/{value['n']} = {value['successes'] / value['n']:.2f} [{low:.2f}, {high:.2f}]"
    return "-" if value is None else str(value)


def _list(*, as_json: bool) -> None:
    """Every session in the sessions folder, one line each."""
    root = sessions.sessions_root()
    known: dict[str, dict[str, Any]] = {}
    for name in sessions.names(root):
        try:
            known[name] = facts(root / name)
        except Exception as error:  # one damaged session hides none of the others
            known_error = refusal(error)
            if known_error is None:
                raise
            say(f"{name}: {known_error.message}", err=True)
    if as_json:
        say(json.dumps(known))
        return
    if not known:
        say(f"No session in {Path(root).absolute()}. Begin with 'station demo' or 'station new'.")
    for name, found in known.items():
        count = f"{counted(found['demos'], 'demo')}, {counted(found['episodes'], 'episode')}"
        say(f"{name:<24} {found['state']:<14} {count}")
