"""A file that somebody, or a runaway program, has filled costs neither the machine's memory nor a traceback."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datasets.manifest import MANIFEST
from datasets.own_files import NotOursError, read_tail
from datasets.store import EpisodeStore
from station.session.folder import SessionError, SessionFolder
from station.tasks.shelf import TaskError, read_toml
from station.tui.engines import told_end
from station.tui.session_list import card
from tests.station.conftest import Station, sentences

HUGE = 2 << 30
"""Bytes; sparse files, which take no room on the disk."""
ROOM = 400e6
"""Bytes that a look may take, the modules that it loads included."""


def fill(path: Path, size: int = HUGE) -> None:
    """Let a file be so large; what it held stays at its begin."""
    with path.open("ab") as file:
        file.truncate(size)


def endless(path: Path, size: int = 96 << 20) -> None:
    """One line without an end, and shorter than what is refused for its size alone."""
    path.write_bytes(b"")
    fill(path, size)


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert taken < ROOM, f"{taken / 1e6:.0f} MB more than before"


FILES: dict[str, Callable[[SessionFolder], Path]] = {
    "journal": lambda session: session.journal,
    "index": lambda session: session.journal.with_suffix(".index"),
    "training.json": lambda session: session.base / "training.json",
    "report.json": lambda session: session.base / "report.json",
    "curve": lambda session: session.base / "curve.jsonl",
    "mark": lambda session: session.base / "demos",
    "policy": lambda session: session.base / "policy.json",
    "weights": lambda session: next(session.base.glob("weights-*.safetensors")),
    "manifest": lambda session: next(session.demos.glob(f"episodes/*/{MANIFEST}")),
    "answers": lambda session: session.path / "import.toml",
    "checkpoint": lambda session: session.steering / "newest.safetensors",
    "engine.log": lambda session: session.log,
    "engine.json": lambda session: session.engine,
}
HARMLESS = {"index", "engine.log", "engine.json"}
"""Nobody needs what stands in them."""


@pytest.mark.parametrize("name", FILES)
def test_verify_names_a_file_that_is_too_large_and_does_not_read_it(
    station: Station, session: SessionFolder, name: str
) -> None:
    path = FILES[name](session)
    path.parent.mkdir(exist_ok=True)
    fill(path)
    with little_memory():
        done = station("verify", session.path, "--look-only")
    assert done.exit_code == (0 if name in HARMLESS else 1), done.output
    if name not in HARMLESS:
        place = path.parent.name if name == "manifest" else path.name
        assert place in sentences(done)
    assert "Traceback" not in done.output


@pytest.mark.parametrize("happens", [fill, endless])
@pytest.mark.parametrize("words", [("status", "SESSION"), ("status",), ("review", "SESSION", "--list")])
def test_a_journal_without_an_end_is_a_sentence(
    station: Station,
    session: SessionFolder,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    happens: Callable[[Path], None],
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(session.path.parent))
    happens(session.journal)
    with little_memory():
        done = station(*(str(session.path) if word == "SESSION" else word for word in words))
    assert done.exit_code == (0 if words == ("status",) else 1), done.output
    said = sentences(done)
    assert ("at most 1,074 MB" if happens is fill else "longer than any line") in said
    with little_memory():
        assert "journal.jsonl" in card(session.path).trouble


@pytest.mark.parametrize("name", ["session.toml", "journal.jsonl"])
def test_the_list_of_sessions_holds_the_others_all_the_same(
    station: Station, session: SessionFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(session.path.parent))
    broken = session.path.parent / "broken"
    broken.mkdir()
    (broken / "session.toml").write_bytes((session.path / "session.toml").read_bytes())
    fill(broken / name)
    with little_memory():
        listed = station("status")
    assert listed.exit_code == 0
    assert (
        session.path.name in listed.output
        and "broken" in listed.output
        and "from a copy" in sentences(listed)
    )


def test_a_session_or_task_file_that_is_too_large_is_not_read(session: SessionFolder, tmp_path: Path) -> None:
    fill(session.path / "session.toml")
    fill(tmp_path / "task.toml")
    with little_memory():
        with pytest.raises((SessionError, NotOursError), match=r"session\.toml has 2147483648 bytes"):
            SessionFolder.open(session.path)
        with pytest.raises(TaskError, match=r"task\.toml"):
            read_toml(tmp_path / "task.toml")


def test_what_an_engine_said_last_is_read_from_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    fill(log)
    with log.open("ab") as file:
        file.write(b"\nThe arm is gone.\n")
    with little_memory():
        assert told_end(1, log) == "exit code 1: The arm is gone."
    assert len(read_tail(log)) == 1 << 16


def test_an_episode_whose_file_is_not_as_long_as_it_was_is_not_read(session: SessionFolder) -> None:
    store = EpisodeStore(session.demos)
    name = store.ids()[0]
    fill(session.demos / "episodes" / name / "zarr.json")
    with little_memory():
        [fault] = store.verify().faults
        with pytest.raises(Exception, match="cannot be read"):
            store.header(name)
    assert "instead of" in fault.detail
