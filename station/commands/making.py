"""``station new``, ``station tasks`` and ``station settings``."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from datasets.errors import UsageError
from station import sessions
from station.commands.options import SeedOption, TaskOption, complete_tasks
from station.plain import say


def new(
    name: Annotated[str, typer.Argument(metavar="SESSION", help="Name or folder of the new session.")],
    *,
    task: TaskOption = "place-orange",
    seed: SeedOption = 0,
) -> None:
    """Create a session folder with a frozen copy of the task's settings."""
    from station.session.folder import SessionFolder
    from station.tasks.config import advice, load_task
    from station.tasks.shelf import source_of

    if not name.strip():
        raise UsageError("A session needs a name.")
    path = sessions.place(name)
    settings = load_task(task)
    SessionFolder.create(path, settings, task_name=settings.name, seed=seed, source=source_of(task))
    for sentence in advice(settings):
        say(f"Warning: {sentence}", err=True)
    simulated = settings.cell.kind == "simulated"
    said = shlex.quote(name)
    other = (
        f", or: station demo --session {said}"
        if simulated
        else f"; 'station doctor {task}' checks its devices"
    )
    say(f"Made {path}. Next: station import {said} RECORDINGS{other}.")


def tasks(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]",
            help="Print this task's file to start your own from.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    *,
    every: Annotated[
        bool,
        typer.Option("--all", help="Include every setting with its meaning and range, defaults too."),
    ] = False,
) -> None:
    """List the task library, or print one task as a file to start your own from."""
    if name is not None:
        from station.tasks.config import load_task, task_to_toml
        from station.tasks.shelf import find_task

        explained = task_to_toml(load_task(name))
        text = explained if every else find_task(name).read_text(encoding="utf-8")
        say(*text.split("\n"), nl=every)
        return
    from station.tasks.shelf import task_summaries

    for known in task_summaries():
        say(f"{known.name:<24} {known.description}")


def settings(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A driver, e.g. xarm, or a section, e.g. safety.")
    ] = None,
) -> None:
    """Explain task files: list all sections and drivers, or every setting of one with unit, range and default."""
    from station.tasks.reference import section, sections
    from station.tasks.settings_text import first_sentence

    if name is not None:
        say(*section(name).text.split("\n"), nl=False)
        return
    for known in sections():
        say(f"{known.name:<16} {known.header:<16} {first_sentence(known.model)}")
    say("", "'station settings NAME' prints one of them as in a task file, every setting explained.")
