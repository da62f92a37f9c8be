"""``station review``: recordings on the screen, as a list, or as a file for the Rerun viewer."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import UsageError
from station import sessions
from station.commands.options import JsonOption, SessionArgument
from station.plain import say

if TYPE_CHECKING:
    from datasets.journal.journal import Line
    from datasets.journal.records import Record
    from station.review.catalogue import Catalogue, Item


def review(
    session: SessionArgument,
    *,
    where: Annotated[
        str, typer.Option("--where", help='Which episodes, e.g. "failure and online and date>=yesterday".')
    ] = "",
    episode: Annotated[
        str | None, typer.Option("--episode", help="Show this one first, e.g. online-000012.")
    ] = None,
    rerun: Annotated[
        Path | None,
        typer.Option(
            "--rerun", help="Write the episode as a .rrd file for the Rerun viewer; do not open the UI."
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the recordings; do not open the UI.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Play demonstrations and episodes in the terminal; relabel, void, restore. Works while an engine runs."""
    from datasets.selection import Where
    from station.review.catalogue import Catalogue
    from station.session.folder import SessionFolder

    meant = Where.parse(where)
    folder = SessionFolder.open(sessions.find(session))
    catalogue = Catalogue(folder)
    items = catalogue.items(meant)
    if episode is not None:
        items = [_one(items, episode)]
    if rerun is not None:
        _write_rerun(catalogue, _one(items, episode), rerun)
    elif listing or as_json or not sys.stdout.isatty():
        _list(catalogue, items, meant=where, as_json=as_json)
    else:
        from station.tui.app import Review, run

        raise typer.Exit(run(folder.path, folder.path.parent, review=Review(where=where, episode=episode)))


def _one(items: list[Item], episode: str | None) -> Item:
    """The named recording, or the newest."""
    found = next((item for item in items if episode in (None, item.id)), None)
    if found is None:
        named = f"There is no recording {episode}" if episode else "No recordings match"
        raise UsageError(f"{named}. List them with 'station review SESSION --list'.")
    return found


def _write_rerun(catalogue: Catalogue, item: Item, path: Path) -> None:
    from station.review import rerun_file

    rerun_file.write(catalogue.load(item), path, verdict=item.verdict)
    say(f"Wrote {item.id} to {path}. Open it with 'rerun {path}'.")


def _list(catalogue: Catalogue, items: list[Item], *, meant: str, as_json: bool) -> None:
    if as_json:
        histories = catalogue.histories()
        facts = [
            {**_facts(item), "history": [_judgement(line) for line in histories.get(item.id, ())]}
            for item in items
        ]
        say(json.dumps(facts))
        return
    if not items:
        say("No recordings match." if meant else "Nothing is recorded here yet.", err=True)
    for item in items:
        steps = "" if item.steps is None else item.steps
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.entered))
        say(f"{item.id:<34} {item.verdict:<8} {steps:>5}  {moment}  {item.reason}".rstrip())


def _judgement(line: Line[Record]) -> dict[str, object]:
    """The verdict, when (s since 1970) and by whom; no outcome: a label was taken back."""
    fields = line.record.to_fields()
    told: dict[str, object] = {name: fields[name] for name in ("outcome", "by", "reason") if name in fields}
    return {"what": line.op, "time": line.time, **told}


def _facts(item: Item) -> dict[str, object]:
    status = item.status
    facts: dict[str, object] = {
        "id": item.id,
        "verdict": item.verdict,
        "steps": item.steps,
        "entered": item.entered,
    }
    if status is None:
        return {**facts, "reason": item.reason}
    return {
        **facts,
        "kind": status.kind.value,
        "outcome": status.outcome,
        "void": status.void,
        "policy_version": status.policy_version,
        "by": status.by,
    }
