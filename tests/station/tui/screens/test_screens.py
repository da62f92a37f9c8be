from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import BaseEvaluated, BaseTrained, EpisodeCommitted, Labelled, Voided
from datasets.settings import Settings
from station.session.folder import SessionFolder
from station.tui import findings
from station.tui.app import StationApp
from station.tui.keymap import default_keymap
from station.tui.screens import import_screen
from station.tui.screens.creation import NewSessionScreen
from station.tui.screens.help import KeysHelp
from station.tui.screens.home import HomeScreen
from station.tui.screens.import_dialogs import AnswersScreen, ReplaceScreen
from station.tui.screens.import_screen import ImportScreen
from station.tui.screens.review import ReviewScreen
from station.tui.screens.session import SessionScreen
from station.tui.session_list import Library, SessionStage, card, next_step
from tests.station.tui.conftest import Open
from tests.station.tui.fakes import FakeEngines

TRAINING = """
import json
for done in range(1, 6):
    figures = {"loss": 1 / done, "held_out": 2 / done}
    print(json.dumps({"event": "progress", "stage": "joint", "done": done, "total": 5, **figures}))
print(json.dumps({"event": "result", "path": "latent", "successes": 44, "n": 100, "low": 0.3, "high": 0.5}))
print(json.dumps({"event": "done"}))
"""
FAILING_ONCE = """
import json, pathlib, sys
mark = pathlib.Path(sys.argv[1])
if mark.exists():
    sys.exit(0)
mark.touch()
print(json.dumps({"event": "error", "message": "The disk is full. Free some space.", "exit_code": 1}))
sys.exit(1)
"""
WAITING = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
print('{"event": "progress", "stage": "joint", "done": 3, "total": 9}', flush=True)
time.sleep(60)
"""
IMPORTING = """
import json, sys
dry = "--dry-run" in sys.argv
for index in range(3):
    file, bad = f"r{index}.h5", index == 1
    if dry:
        facts = {"usable": not bad, "detail": "cut off" if bad else "fine", "success": True}
        print(json.dumps({"event": "finding", "file": file, "steps": 50, "seconds": 5.0, **facts}))
    else:
        refused = "cut off" if bad else None
        print(json.dumps({"event": "result", "file": file, "refused": refused, "duplicate": False, "steps": 50}))
    stage = "inspect" if dry else "import"
    print(json.dumps({"event": "progress", "stage": stage, "done": index + 1, "total": 3}))
print(json.dumps({"event": "done"}))
"""
PATIENCE = 60.0


class TinyTask(Settings):
    name: str = "tiny"


def made(sessions: Path, name: str) -> SessionFolder:
    return SessionFolder.create(sessions / name, TinyTask(), task_name="tiny", seed=0)


def demonstrated(sessions: Path, name: str) -> SessionFolder:
    folder = made(sessions, name)
    journal = Journal(folder.journal, writable=True)
    journal.append(
        EpisodeCommitted(
            id="demo-1",
            kind=EpisodeKind.DEMO,
            ordinal=0,
            steps=10,
            chunks=0,
            ending=Ending.RECORDED,
            policy_version=0,
        )
    )
    journal.append(Labelled(episode="demo-1", outcome=Outcome.SUCCESS, by="import"))
    return folder


def trained(sessions: Path, name: str) -> SessionFolder:
    folder = demonstrated(sessions, name)
    journal = Journal(folder.journal, writable=True)
    journal.append(
        BaseTrained(stage="done", demos="demo-1", base_hash="abc", episodes=1, stages=[], seconds=1.0)
    )
    journal.append(
        BaseEvaluated(path="latent", layouts="evaluation", n=4, outcomes=[True, False, True, False])
    )
    return folder


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the app work until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {pilot.app.screen}"
        await pilot.pause(0.02)
    await pilot.pause()


async def shows(pilot: Pilot[int], screen: type[Screen[Any]]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))


async def reads(pilot: Pilot[int], selector: str, words: str) -> None:
    await until(pilot, lambda: bool(pilot.app.screen.query(selector)) and words in said(pilot, selector))


def said(pilot: Pilot[int], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector).render())


def test_each_session_says_what_to_do_next(tmp_path: Path) -> None:
    for make, progress, sentence in (
        (made, SessionStage.EMPTY, "No demonstrations yet"),
        (demonstrated, SessionStage.DEMONSTRATIONS, "1 demonstration in. Enter trains the base"),
        (trained, SessionStage.TRAINED, "The base is trained. Enter starts"),
    ):
        found = card(make(tmp_path, progress.name).path)
        assert found.progress is progress
        assert sentence in next_step(found)


def test_a_session_that_cannot_be_read_says_why_and_hides_no_other(tmp_path: Path) -> None:
    made(tmp_path, "good")
    broken = made(tmp_path, "broken").path / "session.toml"
    broken.write_text("[station\n")
    found = {one.name: one for one in Library(tmp_path).cards()}
    assert found["good"].progress is SessionStage.EMPTY
    assert "session.toml is damaged" in next_step(found["broken"])


def test_a_journal_is_read_again_only_once_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = demonstrated(tmp_path, "orange-1")
    library = Library(tmp_path)
    assert library.cards()[0].counts.demos == 1
    with monkeypatch.context() as blind:
        blind.setattr("station.tui.session_list.Journal", None)
        assert library.cards()[0].counts.demos == 1
    Journal(folder.journal, writable=True).append(Voided(episode="demo-1", by="command"))
    assert library.cards()[0].counts.demos == 0


@pytest.mark.slow
async def test_the_home_screen_lists_sessions_and_the_next_step(open_app: Open, tmp_path: Path) -> None:
    trained(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(120, 36)) as pilot:
        await reads(pilot, "#chosen", "Enter starts teaching it")
        assert [*map(str, pilot.app.screen.query_one(DataTable).get_row_at(0)[:3])] == [
            "orange-1",
            "tiny",
            "base trained",
        ]
        await pilot.press("enter")
        await shows(pilot, SessionScreen)
        await reads(pilot, "#call", "MOVING")
        await pilot.press("q", "k")
        await shows(pilot, HomeScreen)
        await pilot.press("q")
        await pilot.pause()
    assert pilot.app.return_code == 0


async def test_an_empty_folder_says_how_to_begin(open_app: Open) -> None:
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await reads(pilot, "#empty", "Press n to begin one")


async def test_the_cursor_stays_with_its_session_when_another_one_moves_up(
    open_app: Open, tmp_path: Path
) -> None:
    other, mine = demonstrated(tmp_path, "other"), trained(tmp_path, "mine")
    for older, folder in enumerate((mine, other)):
        for file in (folder.journal, folder.path / "session.toml"):
            os.utime(file, (1000 - older, 1000 - older))
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await reads(pilot, "#chosen", "Enter starts teaching it")
        os.utime(other.journal, (2000, 2000))
        home = pilot.app.screen
        assert isinstance(home, HomeScreen)
        home.action_look()
        await until(pilot, lambda: home.query_one(DataTable).get_row_at(0)[0].plain == "other")
        await pilot.press("enter")
        await shows(pilot, SessionScreen)


async def test_a_session_that_was_just_made_is_the_chosen_one(open_app: Open, tmp_path: Path) -> None:
    trained(tmp_path, "old")
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await reads(pilot, "#chosen", "Enter starts teaching it")
        new = made(tmp_path, "new")
        home = pilot.app.screen
        assert isinstance(home, HomeScreen)
        home.choose(new.path)
        await reads(pilot, "#chosen", "No demonstrations yet")


async def test_every_key_of_the_list_of_sessions_stands_in_its_help(open_app: Open, tmp_path: Path) -> None:
    trained(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await reads(pilot, "#chosen", "Enter starts teaching it")
        home = pilot.app.screen
        await pilot.press("question_mark")
        await shows(pilot, KeysHelp)
        words = " ".join(" ".join(str(each.render()) for each in pilot.app.screen.query(Static)).split())
        assert all(each.tooltip in words for each in home.BINDINGS if isinstance(each, Binding))
        await pilot.press("question_mark")
        await shows(pilot, HomeScreen)


@pytest.mark.slow
async def test_letters_in_the_name_of_a_new_session_are_text(open_app: Open) -> None:
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await shows(pilot, HomeScreen)
        await pilot.press("n")
        assert isinstance(pilot.app.screen, NewSessionScreen)
        await pilot.press(*"qnxit")
        assert pilot.app.screen.query_one("#name", Input).value == "qnxit"
        await pilot.press("escape")
        await shows(pilot, HomeScreen)


async def test_a_new_session_without_a_name_is_asked_for_one(open_app: Open) -> None:
    async with open_app(folder=None).run_test(size=(100, 40)) as pilot:
        await shows(pilot, HomeScreen)
        await pilot.press("n", "tab", "tab", "enter")
        await reads(pilot, "#said", "A name has letters")


def prepared(engines: FakeEngines, folder: Path, script: str) -> StationApp:
    return StationApp(
        folder=folder,
        sessions=folder.parent,
        engines=engines,
        keymap=default_keymap(),
        preparation=[sys.executable, "-c", script, str(folder / "mark")],
    )


async def test_the_session_begins_when_its_preparation_is_done(engines: FakeEngines, tmp_path: Path) -> None:
    async with prepared(engines, tmp_path, TRAINING).run_test(size=(100, 30)) as pilot:
        await shows(pilot, SessionScreen)


async def test_a_failed_preparation_says_why_and_can_be_tried_again(
    engines: FakeEngines, tmp_path: Path
) -> None:
    async with prepared(engines, tmp_path, FAILING_ONCE).run_test(size=(100, 30)) as pilot:
        await reads(pilot, "#head", "The disk is full")
        assert "FAILED" in said(pilot, "#head")
        await pilot.press("c")
        await shows(pilot, SessionScreen)


async def test_training_is_interrupted_and_continued_by_key(engines: FakeEngines, tmp_path: Path) -> None:
    async with prepared(engines, tmp_path, WAITING).run_test(size=(100, 30)) as pilot:
        await reads(pilot, "#head", "33%")
        await pilot.press("i")
        await reads(pilot, "#head", "INTERRUPTED")
        await pilot.press("c")
        await reads(pilot, "#head", "WORKING")
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_value is not None)
    assert pilot.app.return_code == 0


@pytest.fixture
def fake_import(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    return scripted(monkeypatch, IMPORTING)


def scripted(monkeypatch: pytest.MonkeyPatch, script: str) -> list[tuple[str, ...]]:
    """Imports run this script; returns the words of every call."""
    given: list[tuple[str, ...]] = []

    def command(*words: str) -> list[str]:
        given.append(words)
        return [sys.executable, "-c", script, *words]

    monkeypatch.setattr(import_screen, "station_command", command)
    return given


async def opened_import(pilot: Pilot[int]) -> None:
    await reads(pilot, "#chosen", "No demonstrations yet")
    await pilot.press("i")
    await shows(pilot, ImportScreen)


@pytest.mark.slow
async def test_recordings_are_looked_at_before_they_are_imported(
    open_app: Open, tmp_path: Path, fake_import: list[tuple[str, ...]]
) -> None:
    made(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(120, 36)) as pilot:
        await opened_import(pilot)
        await pilot.press("ctrl+o")
        assert fake_import == []
        pilot.app.screen.query_one(Input).value = str(tmp_path)
        await pilot.press("enter")
        await reads(pilot, "#head", "Usable: 2 of 3 recordings")
        assert "--dry-run" in fake_import[0]
        assert pilot.app.screen.query_one(DataTable).get_row_at(1)[0].plain == "✗"
        await pilot.press("ctrl+o")
        await reads(pilot, "#head", "Taken in: 2 recordings")
        assert "cut off" in said(pilot, "#head")
        assert "--dry-run" not in fake_import[1]


def test_the_terminal_front_end_does_not_load_torch() -> None:
    code = "import sys, station.tui.app; sys.exit('torch' in sys.modules or 'mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ASKING = """
import json, sys
words = sys.argv[1:]
told = {words[i + 1] for i, word in enumerate(words) if word == "--map"}
asked = [
    {"name": "colour", "text": "the order of the colours is not written",
     "choices": ["rgb", "bgr"], "flag": "--colour"},
    {"name": "rate", "text": "the source holds no time", "choices": [], "flag": "--rate 50"},
]
open_ = [q for q in asked if not any(t.startswith(q["name"] + "=") for t in told)]
entries = [{"name": "camera.third", "value": "cam_high", "origin": "proposed"}]
image = {"height": 1, "width": 1, "pixels": "/wAA"}
print(json.dumps({"event": "mapping", "structure": "1a", "format": "aloha", "entries": entries, "questions": open_,
                  "settled": [], "columns": {"qpos": 7}, "images": {"cam_high": image}}))
print(json.dumps({"event": "finding", "file": "e.hdf5", "usable": not open_, "detail": "", "success": None}))
sys.exit(bool(open_))
"""


@pytest.mark.slow
async def test_what_a_source_does_not_say_is_asked_and_the_answers_go_with_the_import(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = scripted(monkeypatch, ASKING)
    made(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(120, 44)) as pilot:
        await opened_import(pilot)
        await pilot.press("enter")
        await reads(pilot, "#head", "The order of the colours is not written")
        await reads(pilot, "#mapping", "camera.third")
        await pilot.press(*"bgr", "enter")
        await reads(pilot, "#head", "The source holds no time")
        await pilot.press(*"5O", "enter")
        await reads(pilot, "#head", "'5O' is no number")
        await pilot.press("backspace", "0", "enter")
        await reads(pilot, "#head", "Usable: 1 of 1 recording.")
        assert given[1][3:7] == ("--map", "colour=bgr", "--map", "rate=50")
        await until(pilot, lambda: isinstance(pilot.app.focused, DataTable))
        await pilot.press("enter")
        assert len(given) == 2
        pilot.app.screen.query_one("#path", Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: len(given) == 3)
        await until(pilot, lambda: isinstance(pilot.app.focused, DataTable))
        await reads(pilot, "#head", "Usable: 1 of 1 recording.")
        assert "colour=bgr" in given[2] and "rate=50" in given[2]
        await pilot.press("ctrl+o")
        await reads(pilot, "#head", "Taken in: ")
        assert "--dry-run" not in given[3] and "colour=bgr" in given[3]
        await pilot.press("ctrl+g")
        await shows(pilot, ReviewScreen)
        await pilot.press("escape")
        await shows(pilot, ImportScreen)


REPLACING = """
import json, sys
words = sys.argv[1:]
again, dry, told = "--again" in words, "--dry-run" in words, "colour=rgb" in words
colour = {"name": "colour", "text": "the order of the colours is not written",
          "choices": ["rgb", "bgr"], "flag": "--colour"}
if again:
    value = "rgb" if told else "bgr"
    print(json.dumps({"event": "mapping", "structure": "1a", "format": "aloha", "entries": [], "questions": [],
                      "settled": [colour | {"value": value}], "columns": {}, "images": {}}))
found = {"usable": True, "detail": "imported before; to replace it say --again", "success": None}
if dry:
    same = {"duplicate": not (again and told), "replaces": ["demo-1"] if again and told else []}
    print(json.dumps({"event": "finding", "file": "e.hdf5", **found, **same}))
else:
    print(json.dumps({"event": "result", "file": "e.hdf5", "refused": None, "duplicate": False}))
"""


@pytest.mark.slow
async def test_what_was_imported_with_a_wrong_answer_is_replaced_by_key_once_confirmed(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = scripted(monkeypatch, REPLACING)
    made(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await opened_import(pilot)
        await pilot.press("enter")
        await reads(pilot, "#head", "imported before: 1. ^n looks at them again")
        assert "press ^n" in said(pilot, "#head")
        await pilot.press("ctrl+n")
        await reads(pilot, "#head", "unchanged: 1. Nothing to do")
        await pilot.press("ctrl+y")
        await shows(pilot, AnswersScreen)
        await pilot.press("enter")
        await reads(pilot, "#head", "Type rgb or bgr, then Enter. So far: bgr")
        await pilot.press(*"rgb", "enter")
        await reads(pilot, "#head", "1 replacing earlier imports")
        await pilot.press("ctrl+o")
        await shows(pilot, ReplaceScreen)
        await pilot.press("escape")
        await shows(pilot, ImportScreen)
        assert all("--dry-run" in words for words in given)
        await pilot.press("ctrl+o")
        await shows(pilot, ReplaceScreen)
        await pilot.press("y")
        await reads(pilot, "#head", "Taken in: 1 recording")
        assert given[-1][3:] == ("--map", "colour=rgb", "--again", "--json")
        pilot.app.screen.query_one("#path", Input).focus()
        await pilot.press("enter")
        await reads(pilot, "#head", "imported before: 1.")
        assert "--again" not in given[-1], "looking is without it, unless asked for"


WONDERING = """
import json, sys
words = sys.argv[1:]
asked = {"name": "outcome", "text": "the source does not say whether they succeeded", "optional": True,
         "choices": ["success", "failure", "unknown"], "flag": "--outcome"}
open_ = [] if "--map" in words else [asked]
print(json.dumps({"event": "mapping", "structure": "1a", "format": "aloha", "entries": [], "questions": open_,
                  "settled": [], "columns": {"qpos": 7}, "images": {}}))
print(json.dumps({"event": "finding", "file": "e.hdf5", "usable": True, "detail": "", "success": None}))
"""


@pytest.mark.slow
async def test_the_screen_asks_whether_unlabelled_demonstrations_succeeded_and_takes_enter_for_unknown(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = scripted(monkeypatch, WONDERING)
    made(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(120, 44)) as pilot:
        await opened_import(pilot)
        await pilot.press("enter")
        await reads(pilot, "#head", "The source does not say whether they succeeded")
        await reads(pilot, "#head", "Enter alone means unknown")
        await pilot.press(*"perhaps", "enter")
        await reads(pilot, "#head", "it should be success, failure or unknown")
        pilot.app.screen.query_one("#answer", Input).value = ""
        await pilot.press("enter")
        await reads(pilot, "#head", "Usable: 1 of 1 recording.")
        assert given[1][3:5] == ("--map", "outcome=unknown")


@pytest.mark.slow
async def test_any_answer_can_be_taken_back_before_the_import(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = scripted(monkeypatch, ASKING)
    made(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(100, 30)) as pilot:
        await opened_import(pilot)
        await pilot.press("enter")
        await reads(pilot, "#head", "The order of the colours")
        await pilot.press(*"bgr", "enter")
        await reads(pilot, "#head", "The source holds no time")
        await pilot.press("ctrl+y")
        await shows(pilot, AnswersScreen)
        await pilot.press("enter")
        await reads(pilot, "#head", "So far: bgr")
        await pilot.press(*"rgb", "enter")
        await reads(pilot, "#head", "The source holds no time")
        await pilot.press(*"50", "enter")
        await reads(pilot, "#head", "Usable: 1 of 1 recording.")
        await pilot.press("ctrl+y")
        await shows(pilot, AnswersScreen)
        await pilot.press("down", "enter")
        await reads(pilot, "#head", "The source holds no time. Type the answer, then Enter. So far: 50")
        await pilot.press(*"25", "enter")
        await reads(pilot, "#head", "Usable: 1 of 1 recording.")
        assert given[-1][3:7] == ("--map", "colour=rgb", "--map", "rate=25")


@pytest.mark.slow
async def test_the_keys_of_the_import_are_in_the_footer_in_help_and_in_the_palette(
    open_app: Open, tmp_path: Path, fake_import: list[tuple[str, ...]]
) -> None:
    made(tmp_path, "orange-1")
    async with open_app(folder=None).run_test(size=(80, 24)) as pilot:
        await opened_import(pilot)
        screen = pilot.app.screen
        commands = {command.title: command for command in pilot.app.get_system_commands(screen)}
        assert "again (^n)" in commands and "import (^o)" not in commands
        pilot.app.call_later(commands["again (^n)"].callback)
        await until(pilot, lambda: len(fake_import) == 1)
        assert "--again" in fake_import[0]
        await reads(pilot, "#head", "Usable: 2 of 3 recordings")
        shown = {binding.description for _, binding, enabled, _ in screen.active_bindings.values() if enabled}
        assert {"look", "again", "import", "back", "help"} <= shown and "train" not in shown
        await pilot.press("f1")
        await shows(pilot, KeysHelp)
        words = "\n".join(str(each.render()) for each in pilot.app.screen.query(Static))
        assert "Change an answer" in words and "^n  Preview again" in words


def test_the_chooser_offers_what_an_import_reads() -> None:
    from datasets.importers.read.registry import suffixes

    assert suffixes() == import_screen.SUFFIXES


def test_recordings_of_a_folder_are_named_by_where_they_lie_and_known_ones_marked() -> None:
    found = {"usable": True, "detail": "", "steps": 3, "success": True}
    root = Path("/data/all")
    rows = [
        findings.row({**found, "file": "/data/all/one/demos[demo-1]"}, root),
        findings.row({**found, "file": "/data/all/two/demos[demo-1]", "duplicate": True}, root),
        findings.row({**found, "file": "/data/all"}, root),
        findings.row({**found, "file": f"/data/all/{'long/' * 9}demos[demo-1]"}, root),
    ]
    assert [row[:2] for row in rows] == [
        ("✓", "one/demos[demo-1]"),
        ("=", "two/demos[demo-1]"),
        ("✓", "all"),
        ("✓", "…/long/long/long/demos[demo-1]"),
    ]
