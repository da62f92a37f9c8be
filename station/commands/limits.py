"""``station limits``: what a session's arms may do, and a limit made stricter."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import UsageError
from datasets.plain_text import from_toml
from station import sessions
from station.commands.options import JsonOption, SessionArgument
from station.plain import say, terminal

if TYPE_CHECKING:
    from hardware.robot.limits import Value
    from station.session.folder import SessionFolder
    from station.session.limits import Row

NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", help="A limit, e.g. velocity, workspaces.left.upper or arms.left.home_speed."
    ),
]
ValueArgument = Annotated[
    str | None,
    typer.Argument(metavar="[VALUE]", help="Its new value, as in a task file: 0.15, or '[0.5, 0.2, 0.3]'."),
]
LoosenOption = Annotated[
    bool, typer.Option("--loosen", help="Confirm a value that gives the arms more room.")
]


def limits(
    session: SessionArgument,
    name: NameArgument = None,
    value: ValueArgument = None,
    *,
    loosen: LoosenOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the limits of a session's arms beside those of its task file, or make one stricter.

    A session keeps the limits that its task file had when it was created. `station limits SESSION velocity 0.15` lowers
    one of them: it is journaled and takes effect at the next start. A value that gives the arms more room is refused
    without --loosen.
    """
    from station.session.folder import SessionFolder

    folder = SessionFolder.open(sessions.find(session))
    if name is None:
        _show(folder, as_json=as_json)
        return
    if value is None:
        raise UsageError(f"Give the value as well: station limits {session} {name} VALUE")
    from hardware.robot.limits import written
    from station.session.limits import change

    before, after = change(folder, name, _parsed(value), loosen=loosen)
    if before.value == after.value:
        say(f"{after.name} is already {written(after.value)}.")
        return
    say(f"{after.name}: {written(before.value)} -> {written(after.value)}, from the next start on.")


def _parsed(text: str) -> Value:
    """A value as in a task file; a word needs no quotes."""
    try:
        found = from_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    if isinstance(found, list):
        return tuple(found)
    return found if isinstance(found, (int, float, str)) else text


def _show(folder: SessionFolder, *, as_json: bool) -> None:
    from station.session.limits import table

    rows = table(folder)
    if as_json:
        say(json.dumps([{**asdict(row), "differs": row.differs} for row in rows]))
        return
    if not rows:
        say("A simulated cell has no limits: nothing real moves.")
        return
    print_rows(folder, rows)


def print_rows(folder: SessionFolder, rows: list[Row]) -> None:
    """A table with a mark at whatever is not what the task file says today."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from hardware.robot.limits import written

    shown = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in ("limit", "session", "task file today", ""):
        shown.add_column(title, overflow="fold")
    for row in rows:
        mark = (
            Text("looser here", "bold red")
            if row.looser
            else Text("differs" if row.differs else "", "yellow")
        )
        session = written(row.session) + (
            f" (frozen as {written(row.frozen)})" if row.frozen != row.session else ""
        )
        shown.add_row(row.name, session, written(row.file) if folder.source else "-", mark)
    console = terminal()
    console.print(shown)
    where = f"Task file: {folder.source}." if folder.source else "The task file of this session is unknown."
    console.print(f"{where} The session's values are in force.")
