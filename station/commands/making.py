"""``station new`` and ``station tasks``."""

from __future__ import annotations

from typing import Annotated

import typer

from station import sessions
from station.commands.options import SeedOption, TaskOption


def new(
    name: Annotated[str, typer.Argument(metavar="SESSION", help="Name or folder of the new session.")],
    *,
    task: TaskOption = "place-orange",
    seed: SeedOption = 0,
) -> None:
    """Make a session folder with a frozen copy of the task's settings."""
    from station.config import load_task
    from station.session.folder import SessionFolder

    path = sessions.place(name)
    settings = load_task(task)
    SessionFolder.create(path, settings, task_name=settings.name, seed=seed)
    typer.echo(f"Made {path}. Next: station import {name} RECORDINGS, or 'station demo --session {name}'.")


def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Show every setting of this task.")
    ] = None,
) -> None:
    """List the task library, or print one task as a file to start your own from."""
    if name is not None:
        from station.config import load_task, task_to_toml

        typer.echo(task_to_toml(load_task(name)))
        return
    from station.library import task_summaries

    for known in task_summaries():
        typer.echo(f"{known.name:<24} {known.description}")
