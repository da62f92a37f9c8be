"""Broken surroundings: no home, no folder to stand in, one damaged session among others, a disk without locks."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.lock import LockedError, WriterLock
from station.errors import refusal
from station.operator_config import config_path, read_table
from station.session.link import address
from station.session.link.client import running_pid
from station.sessions import names
from station.tasks.shelf import TaskError, read_toml
from station.tui.session_list import Library, card
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
    assert found is not None and "The current folder was removed" in found.message


def test_too_little_memory_ends_in_a_sentence() -> None:
    found = refusal(MemoryError())
    assert found is not None and "not enough memory" in found.message


def test_a_library_for_which_there_is_no_room_is_too_little_memory() -> None:
    found = refusal(ImportError("libtorch_cpu.so: failed to map segment from shared object"))
    assert found is not None and "ulimit -v" in found.message
    assert refusal(ImportError("No module named 'datasets.gone'")) is None


@pytest.mark.slow
def test_a_small_address_space_is_warned_of_and_ends_no_stop(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    done = subprocess.run(
        ["prlimit", f"--as={400 * 2**20}", sys.executable, "-m", "station", "stop", folder.path],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0 and "Stopped." in done.stdout
    assert "Warning: this shell allows a program 419 MB" in done.stderr


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


@pytest.mark.parametrize(
    "deep", ["a = " + "[" * 100_000, "a." * 5_000 + "b = 1", "[x]\n" + '"a" . ' * 5_000 + "b = 1"]
)
def test_a_task_file_nested_too_deeply_is_named(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(deep)
    with pytest.raises(TaskError, match=r"deep\.toml is not valid TOML: it is nested too deeply"):
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


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE])
def test_a_session_on_a_disk_that_takes_nothing_is_verified_all_the_same(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(lock: WriterLock) -> None:
        raise OSError(number, os.strerror(number), str(lock.path))

    folder = make_folder(tmp_path / "s")
    folder.journal.write_bytes(b"torn\ntorn\n")
    monkeypatch.setattr(WriterLock, "acquire", refuse)
    done = station("verify", folder.path)
    assert done.exit_code == 1 and "journal.jsonl: " in sentences(done)


def test_a_latch_that_cannot_be_set_is_said_without_numbers_of_the_system(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "stop.latch")

    folder = make_folder(tmp_path / "s")
    monkeypatch.setattr("station.session.link.client.set_latch", refuse)
    said = sentences(station("stop", folder.path))
    assert "Read-only file system (stop.latch). Choose a folder on a writable disk." in said


@pytest.mark.parametrize("told", ["Infinity", "1e400", "-1", "0", "1" + "0" * 40, "true", '"12"'])
def test_a_process_that_there_cannot_be_is_nobodys_engine(tmp_path: Path, told: str) -> None:
    folder = make_folder(tmp_path / "s")
    folder.engine.write_text(f'{{"pid": {told}}}')
    assert running_pid(folder) is None
    folder.engine.unlink()
    os.mkfifo(folder.engine)
    assert running_pid(folder) is None
    assert card(folder.path).running is False


def test_a_session_that_goes_while_sessions_are_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = make_folder(tmp_path / "s"), make_folder(tmp_path / "t")
    glob = Path.glob

    def meanwhile(path: Path, pattern: str) -> list[Path]:
        found = list(glob(path, pattern))
        shutil.rmtree(folder.path, ignore_errors=True)
        return found

    monkeypatch.setattr(Path, "glob", meanwhile)
    assert [one.name for one in Library(tmp_path).cards() if not one.trouble] == [other.name]
    make_folder(tmp_path / "s")
    assert sorted(names(tmp_path)) == ["s", "t"]


def test_a_session_whose_file_is_none_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    (folder.path / "session.toml").unlink()
    os.mkfifo(folder.path / "session.toml")
    assert "a pipe" in card(folder.path).trouble


def test_a_place_for_sockets_with_too_long_a_path_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("x" * 100)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    folder = make_folder(tmp_path / "s")
    with pytest.raises(address.LinkError, match="Set TMPDIR to a folder with a shorter path"):
        address.listen(folder.path)
