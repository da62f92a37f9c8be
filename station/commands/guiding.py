"""``station guide``: the guides in a terminal, through its pager; elsewhere as they are written."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from datasets.errors import ExitCode, UsageError
from station.plain import say, terminal

WIDTH = 100
"""Columns; longer lines are hard to read."""


def complete_guides(incomplete: str) -> list[str]:
    """Names for the shell's tab key."""
    from station.guides.pages import guides

    return [guide.name for guide in guides() if guide.name.startswith(incomplete)]


def guide(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Which guide, e.g. xarm, or part of its name. Default: list all.",
            autocompletion=complete_guides,
        ),
    ] = None,
    *,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="WORDS", help="Find the sections that contain all words."),
    ] = None,
) -> None:
    """Read a guide: one page per task, from the first session to a real arm."""
    if name is not None and search is not None:
        raise UsageError("Give the name of a guide, or --search WORDS, not both.")
    if search is not None:
        _show_hits(search)
    elif name is None:
        _show_list()
    else:
        from station.guides.pages import find

        _show_page(find(name).text)


def _show_list() -> None:
    from station.guides.pages import guides

    for known in guides():
        say(f"{known.name:<16} {known.summary}")
    say(
        "",
        "'station guide NAME' opens one, 'station guide --search WORDS' finds words in all. In the UI: F1.",
    )


def _show_hits(words: str) -> None:
    from station.guides.pages import search

    hits = search(words)
    if not hits:
        say(
            f"No section holds all of '{words}'. Try fewer words; 'station guide' lists all guides.", err=True
        )
        raise typer.Exit(ExitCode.FAILED)
    for hit in hits:
        say(f"{hit.guide.name}: {hit.heading}", f"    {hit.line}")


def _show_page(text: str) -> None:
    if not _on_a_terminal():
        say(*text.split("\n"), nl=False)
        return
    from rich.markdown import Markdown

    from station.guides.pages import with_links

    console = terminal()
    console.width = min(console.width, WIDTH)
    # less shows colours only when asked to, and what fits on the screen needs no pager
    os.environ.setdefault("LESS", "-FRX")
    page = with_links(text, lambda words, page: f"{words} (`station guide {page}`)")
    with console.pager(styles=not console.no_color):
        console.print(Markdown(page, hyperlinks=False))


def _on_a_terminal() -> bool:
    return sys.stdout.isatty()
