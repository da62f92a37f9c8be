"""The README is the first thing an operator believes: its tables must name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from station.cli import app
from station.tui.actions import ACTIONS, Action

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_SHOWN = {"question_mark": "?"}


def section(title: str) -> str:
    """The text under a second-level heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> list[str]:
    """First cells of a section's table."""
    return [line.split("|")[1].strip() for line in section(title).splitlines() if line.startswith("| `")]


def shown(action: Action) -> str:
    """An action's default key as the README writes it."""
    modifier, plus, key = action.key.rpartition("+")
    return f"{modifier.title()}+{key.upper()}" if plus else _SHOWN.get(key, key)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_key_stands_in_the_table_of_keys(action: Action) -> None:
    assert f"`{shown(action)}`" in " ".join(rows("Keys"))


def test_the_table_of_commands_is_the_command_line() -> None:
    commands = {command.name: command.hidden for command in app.registered_commands}
    groups = {group.name: False for group in app.registered_groups}
    known = {**commands, **groups}
    told = {re.split(r"[ `]", row.removeprefix("`station "))[0] for row in rows("Commands")}
    assert told <= set(known)
    assert {name for name, hidden in known.items() if not hidden} <= told
