"""What other people wrote reaches a terminal as text, and as nothing else."""

from __future__ import annotations

import ast
import io
import logging
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.table import Table
from textual.pilot import Pilot

from station import plain
from station.plain import PlainFormatter, drawable, say, terminal, visible
from station.session.snapshot import Phase
from station.tui.app import StationApp
from tests.station.conftest import Station
from tests.station.tui.conftest import Open, engines, feed, open_app  # noqa: F401 - fixtures
from tests.station.tui.fakes import FakeFeed, snapshot
from tests.station.tui.screens.test_screens import made

STATION = Path(plain.__file__).parent
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\u202eevil\x7f [/red][bold]\udcff"
"""Sets a title, clears the screen, recolours, overwrites, turns text around, closes a tag that nobody opened."""


def controls(text: str) -> set[str]:
    """Characters that a terminal would obey."""
    return {char for char in text if char == "\u202e" or unicodedata.category(char) == "Cc"} - {"\n"}


def test_control_characters_are_shown_and_text_and_tabs_stay() -> None:
    assert visible("\x1b[31mred\x07") == "␛[31mred␇"
    assert visible("Müller 取って\n\tdone") == "Müller 取って␊\tdone"
    assert not controls(visible(HOSTILE))


def test_a_piece_of_a_drawn_line_keeps_its_width() -> None:
    assert drawable("\x1b[31mred\x07") == "[31mred"


def test_what_a_command_says_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    say(HOSTILE, err=True)
    shown = capsys.readouterr()
    assert not controls(shown.out)
    assert not controls(shown.err)


def test_a_line_of_a_log_moves_no_cursor() -> None:
    record = logging.makeLogRecord({"msg": HOSTILE})
    assert not controls(PlainFormatter("%(asctime)s %(message)s").format(record))


def test_a_terminal_of_another_encoding_does_not_end_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    say("取って\udcff")
    stream.seek(0)
    assert stream.read() == "????\n"


def test_tables_show_markup_as_it_is_written() -> None:
    table = Table("name", "mark", title=HOSTILE)
    table.add_row(HOSTILE, ":skull:")
    console = terminal(width=200)
    console.file = io.StringIO()
    console.print(table)
    console.print(Panel(HOSTILE), HOSTILE)
    shown = console.file.getvalue()
    assert not controls(shown)
    assert shown.count("[/red][bold]") == 4
    assert ":skull:" in shown


FORGED = "orange\nforged  online"
"""A name that goes on where a line of ours would begin."""


def lines_of(text: str) -> list[str]:
    """What stands at the beginning of each line, within frames and tables too."""
    return [line.strip(" \t│┃") for line in text.splitlines()]


def forged(text: str) -> list[str]:
    return [line for line in lines_of(text) if line.startswith("forged")]


def test_a_line_end_in_a_name_begins_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", title=FORGED, caption=FORGED)
    table.add_row(FORGED)
    console = terminal(width=60)
    console.print(FORGED, table, Panel(FORGED))
    say("", FORGED)
    shown = capsys.readouterr().out
    assert shown.count("orange") == 6
    assert forged(shown) == []


def test_what_a_message_of_a_log_holds_begins_no_line() -> None:
    try:
        raise RuntimeError(FORGED)
    except RuntimeError:
        record = logging.LogRecord("station", logging.ERROR, "", 0, "about %s", (FORGED,), sys.exc_info())
    first, *more = PlainFormatter().format(record).split("\n")
    assert first.endswith("about orange␊forged  online") and len(more) > 2
    assert all(line.startswith("  ") for line in more)


def test_an_error_has_the_lines_that_it_was_raised_with(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path))
    assert forged(station("status", tmp_path / FORGED).output) == []
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[session]\nhorizon = -1\ngrace = -1\n"x\\nforged" = 1\n')
    said = station("new", tmp_path / "s", "--task", wrong).output
    assert forged(said) == []
    assert len([line for line in lines_of(said) if "wrong.toml" in line]) >= 3


@pytest.mark.slow
def test_a_name_with_a_line_end_is_one_line_of_every_list(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path))
    assert station("new", tmp_path / "good").exit_code == 0
    (tmp_path / "good").rename(tmp_path / FORGED)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{FORGED}.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for words in (
        ["status"],
        ["status", tmp_path / FORGED],
        ["review", tmp_path / FORGED, "--list"],
        ["verify", tmp_path / FORGED],
        ["import", tmp_path / FORGED, tmp_path / "data", "--dry-run"],
        ["run", tmp_path / FORGED, "--headless", "--autopilot"],
    ):
        assert forged(station(*words).output) == [], words


def test_no_command_prints_by_another_way() -> None:
    """Rich's own consoles and Typer's echo let everything through."""
    found = []
    for path in STATION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in (
                "print",
                "typer.echo",
                "typer.secho",
                "click.echo",
                "Console",
                "sys.stderr.write",
                "logging.Formatter",
            ):
                found.append(f"{path.relative_to(STATION)}: {called}")
    assert sorted(found) == [
        "__main__.py: sys.stderr.write",  # one sentence of our own, before anything is imported
        "tui/widgets/page.py: Console",  # lays out a guide of ours, and prints nowhere
    ]


def test_a_session_with_a_hostile_name_is_listed_and_described(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path))
    assert station("new", tmp_path / "good").exit_code == 0
    (tmp_path / "good").rename(tmp_path / HOSTILE.replace("/", "|"))
    listed = station("status")
    assert listed.exit_code == 0
    assert not controls(listed.output)
    assert not controls(station("status", "\x1b[2Jnowhere").output)
    assert not controls(station("status", tmp_path / HOSTILE.replace("/", "|")).output)


def drawn(app: StationApp) -> str:
    """Everything that the screen hands to the terminal."""
    return "".join(segment.text for strip in app.screen._compositor.render_strips() for segment in strip)


async def shown(pilot: Pilot[int], words: str) -> str:
    """What is drawn once these words are."""
    for _ in range(600):
        if words in (text := drawn(pilot.app)):  # type: ignore[arg-type]
            return text
        await pilot.pause(0.05)
    pytest.fail(f"never drawn: {words}")


async def test_a_hostile_snapshot_draws_text(open_app: Open, feed: FakeFeed) -> None:  # noqa: F811
    image = next(iter(snapshot().tiles.values()))
    feed.play(
        session=HOSTILE,
        task=HOSTILE,
        phase=Phase.FAULT,
        reason=HOSTILE,
        log=(HOSTILE,),
        tiles={HOSTILE: image},
    )
    async with open_app().run_test(size=(140, 45)) as pilot:
        assert not controls(await shown(pilot, "evil"))


async def test_a_hostile_session_is_listed_as_text(open_app: Open, tmp_path: Path) -> None:  # noqa: F811
    made(tmp_path, "good").path.rename(tmp_path / "[bold]\x1b[2J[=evil")
    async with open_app(folder=None).run_test(size=(140, 45), notifications=True) as pilot:
        pilot.app.notify(f"Made {HOSTILE}.", title=HOSTILE)
        assert not controls(await shown(pilot, "Made"))
        pilot.app.notify("Well [red]done[/red].")
        await shown(pilot, "[red]done[/red]")
