from __future__ import annotations

import os
from pathlib import Path

import pytest

from datasets.lock import WriterLock
from station.tui.engines import LocalEngines, told_end
from station.tui.feed import FeedError
from tests.station.session.fakes import make_folder

ROUTINE = "2026-11-21 02:04:03,625 The last motion command went out 137 ms late."


@pytest.mark.parametrize(
    ("code", "log", "told"),
    [
        (-9, ROUTINE, "killed by signal 9 (Killed)"),
        (
            -6,
            f"{ROUTINE}\nterminate called without an active exception",
            "signal 6 (Aborted): terminate called",
        ),
        (-11, "", "killed by signal 11 (Segmentation fault)"),
        (1, f"{ROUTINE}\n2026-11-21 02:04:44,001 The base is missing.", "exit code 1: The base is missing."),
        (1, f"{ROUTINE}\nValueError: no", "exit code 1: ValueError: no"),
        (0, ROUTINE, "it ended in order"),
        (143, ROUTINE, "ended in order, asked by signal 15 (Terminated)"),
    ],
)
def test_the_end_of_an_engine_is_told_without_what_it_said_long_before(
    tmp_path: Path, code: int, log: str, told: str
) -> None:
    path = tmp_path / "engine.log"
    path.write_text(log)
    said = told_end(code, path)
    assert told in said
    assert "02:04" not in said and "motion command" not in said


def test_an_engine_whose_socket_was_deleted_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    with WriterLock(folder.lock):
        said = LocalEngines().absence(folder.path)
    assert f"Process {os.getpid()} holds" in said and f"kill {os.getpid()}" in said
    assert "No engine runs" in LocalEngines().absence(folder.path)


@pytest.mark.parametrize("happens", ["link", "gone", "damaged"])
def test_nothing_that_lies_at_a_sessions_path_ends_the_ui(tmp_path: Path, happens: str) -> None:
    """The screen asks, stops, starts and attaches whatever somebody has made of the folder meanwhile."""
    folder, engines = make_folder(tmp_path / "s"), LocalEngines()
    if happens == "link":
        (tmp_path / "thesis").write_text("chapter 1")
        folder.latch.symlink_to(tmp_path / "thesis")
    elif happens == "gone":
        folder.path.rename(tmp_path / "moved")
    else:
        (folder.path / "session.toml").write_text("what")
    trouble = engines.stop(folder.path)
    assert trouble.startswith("The stop could not be set") and "emergency stop" in trouble
    said = {"link": "is a link to", "gone": "There is no session", "damaged": "is damaged"}[happens]
    assert said in trouble
    if happens != "link":
        with pytest.raises(FeedError):
            engines.start(folder.path)
        with pytest.raises(FeedError):
            engines.attach(folder.path)
    assert engines.absence(folder.path)
    obituary = engines.obituary(folder.path)
    assert ("removed, renamed or replaced" in (obituary or "")) is (happens == "gone")
    assert folder.path.exists() is (happens != "gone")
    if happens == "link":
        assert (tmp_path / "thesis").read_text() == "chapter 1"
