"""Broken surroundings: no home, no folder to stand in, one damaged session among others, a disk without locks."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from datasets.lock import LockedError, WriterLock
from station.errors import refusal
from station.operator_config import config_path, read_table
from station.session.link import address
from station.tasks.shelf import TaskError, read_toml
from tests.station.conftest import Station, sentences
from tests.station.session.fakes import make_folder


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose home the system does not know."""

    def unknown(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("STATION_CONFIG", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    monkeypatch.setattr(Path, "home", unknown)


def test_a_folder_called_tilde_is_nobodys_home(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "~" / ".config" / "station" / "config.toml"
    trap.parent.mkdir(parents=True)
    trap.write_text('[trust]\nclasses = ["trap:Mine"]\n')
    monkeypatch.chdir(tmp_path)
    assert read_table("trust", config_path(), example="") == {}


def test_a_home_that_nobody_knows_is_said(homeless: None, station: Station) -> None:
    done = station("status", "~nobody-here/x")
    assert done.exit_code == 2 and "Give the whole path" in sentences(done)


def test_a_folder_that_was_removed_under_a_command_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        Path.cwd()
    found = refusal(caught.value)
    assert found is not None and "The folder that you stand in was removed" in found.message


def test_too_little_memory_ends_in_a_sentence() -> None:
    found = refusal(MemoryError())
    assert found is not None and "not enough memory" in found.message


def test_a_damaged_journal_hides_no_other_session(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "rooms"))
    for name in ("one", "two"):
        make_folder(tmp_path / name)
    (tmp_path / "one" / "journal.jsonl").write_bytes(b"torn\ntorn\n")
    said = sentences(station("status"))
    assert "two " in said and "line 1" in said


def test_a_task_file_nested_too_deeply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(TaskError, match=r"deep\.toml is not valid TOML"):
        read_toml(path)


def test_a_disk_without_locks_is_not_called_another_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="this disk does not support file locks") as caught:
        WriterLock(tmp_path / "lock").acquire()
    assert not isinstance(caught.value, LockedError)


def test_a_place_for_sockets_with_too_long_a_path_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("x" * 100)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    folder = make_folder(tmp_path / "s")
    with pytest.raises(address.LinkError, match="Set TMPDIR to a folder with a shorter path"):
        address.listen(folder.path)
