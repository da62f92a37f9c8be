"""What lies in the place of a file of ours is neither written through, nor emptied, nor removed; it is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.durable import Disk
from datasets.exporters.error import ExportError
from datasets.exporters.staging import Workplace
from datasets.journal.journal import Journal
from datasets.lock import WriterLock, holder
from datasets.own_files import NotOursError, make_folder, open_own, read_bytes, remove, remove_tree
from datasets.store import EpisodeStore


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's file, elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "thesis"
    path.write_text("chapter 1\n")
    return path


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("not there yet"))


def second_name(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def door(path: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def folder(path: Path, victim: Path) -> None:
    path.mkdir()


def file_above(path: Path, victim: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


def inside(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


Trap = Callable[[Path, Path], None]

WRITERS: dict[str, Callable[[Path], object]] = {
    "open_own": lambda path: open_own(path, "wb"),
    "append": lambda path: Disk().append(path, b"x"),
    "write": lambda path: Disk().write(path, b"x"),
    "lock": lambda path: WriterLock(path).acquire(),
    "journal": lambda path: Journal(path, writable=True),
}


@pytest.mark.parametrize("trap", [link, dangling, second_name, pipe, door, folder, file_above])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_nothing_is_written_to_what_is_no_plain_file_of_ours(
    tmp_path: Path, victim: Path, trap: Trap, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "s" / "file"
    path.parent.mkdir()
    trap(path, victim)
    with pytest.raises(
        OSError, match=r"(belongs\. It was not touched|has 2 names|File exists|Not a directory)"
    ):
        write(path)
    assert victim.read_text() == "chapter 1\n" and inside(victim.parent) == ["thesis"]


def test_replacing_a_file_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path, victim: Path) -> None:
    path = tmp_path / "engine.json"
    link(path, victim)
    link(tmp_path / f".engine.json.{os.getpid()}.partial", victim)
    Disk().replace(path, b"new")
    assert path.read_bytes() == b"new" and not path.is_symlink()
    assert victim.read_text() == "chapter 1\n"


@pytest.mark.parametrize("place", ["", "tmp", "episodes", "quarantine"])
def test_a_store_behind_a_link_is_not_opened_for_writing(tmp_path: Path, victim: Path, place: str) -> None:
    root = tmp_path / "s" / "episodes"
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(victim.parent)
    with pytest.raises(NotOursError, match=rf"{root / place} is a link to {victim.parent}, where a folder"):
        EpisodeStore(root, writable=True)
    assert inside(victim.parent) == ["thesis"]


def test_a_file_in_the_place_of_a_store_is_a_sentence(tmp_path: Path) -> None:
    for root, stray in ((tmp_path / "one", tmp_path / "one"), (tmp_path / "two", tmp_path / "two" / "tmp")):
        stray.parent.mkdir(exist_ok=True)
        stray.write_text("a list of things to do")
        with pytest.raises(NotOursError, match=rf"{stray} is a file, where a folder of the station belongs"):
            EpisodeStore(root, writable=True)
        assert stray.read_text() == "a list of things to do"


def test_only_what_the_store_left_unfinished_is_swept(tmp_path: Path, victim: Path) -> None:
    store = EpisodeStore(tmp_path / "store", writable=True)
    tmp = store.root / "tmp"
    for name in ("online-000001-4711", "online-000002-pruned"):
        (tmp / name / "images").mkdir(parents=True)
    (tmp / "notes.txt").write_text("keep")
    (tmp / "mine").mkdir()
    link(tmp / "online-000003-12", victim.parent)
    EpisodeStore(store.root, writable=True)
    assert inside(tmp) == ["mine", "notes.txt", "online-000003-12"]
    assert victim.exists()


def test_an_episode_that_is_a_link_is_none(tmp_path: Path, victim: Path) -> None:
    store = EpisodeStore(tmp_path / "store", writable=True)
    link(store.root / "episodes" / "online-000001", victim.parent)
    assert not store.ids() and "online-000001" not in store


def test_a_folder_behind_a_link_is_not_emptied(tmp_path: Path, victim: Path) -> None:
    path = tmp_path / "base"
    link(path, victim.parent)
    for act in (remove_tree, make_folder):
        with pytest.raises(NotOursError, match="is a link to"):
            act(path)
    remove(path)
    assert victim.exists() and not path.is_symlink()


def test_who_only_looks_waits_for_no_pipe(tmp_path: Path, victim: Path) -> None:
    path = tmp_path / "pipe"
    pipe(path, victim)
    for look in (holder, read_bytes, Journal):
        with pytest.raises(NotOursError, match="is a pipe, where a file of the station belongs"):
            look(path)
    link(tmp_path / "lock", victim)
    assert read_bytes(tmp_path / "lock") == victim.read_bytes()


def test_an_export_grows_in_no_folder_behind_a_link_and_empties_no_strangers(
    tmp_path: Path, victim: Path
) -> None:
    staging = tmp_path / ".out.partial"
    link(staging, victim.parent)
    work = Workplace(tmp_path / "out", "fingerprint", single=False)
    with pytest.raises(ExportError, match="is a link to"), work:
        pass
    assert inside(victim.parent) == ["thesis"]
    staging.unlink()
    staging.mkdir()
    (staging / "parts").mkdir()
    (staging / "holiday.jpg").touch()
    with pytest.raises(ExportError, match=r"holiday\.jpg was not written by an export"), work:
        pass
    assert inside(staging) == ["holiday.jpg", "lock", "parts"]
    (staging / "holiday.jpg").unlink()
    with work:
        work.payload.mkdir()
        work.publish("card")
    assert not staging.exists() and (tmp_path / "out" / "README.md").read_text() == "card"
