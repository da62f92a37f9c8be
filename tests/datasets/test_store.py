"""Episodes in the store: the same bytes back, whole or not at all, and no damage goes unseen."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.durable import Disk
from datasets.episode import Episode
from datasets.journal.journal import Journal, Ledger
from datasets.journal.records import EpisodeCommitted
from datasets.manifest import MANIFEST, Damage, manifest_of
from datasets.store import DiskFullError, EpisodeStore, StoreError, unjournaled
from tests.datasets.conftest import MakeEpisode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "episodes"


def assert_same(one: Episode, other: Episode) -> None:
    assert one.header == other.header
    for name in (
        "proprioception",
        "observation_time",
        "action",
        "sent",
        "command_time",
        "chunk_start",
        "chunk_length",
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name, strict=True)
    for group in ("images", "features", "decisions"):
        assert list(getattr(one, group)) == list(getattr(other, group))
        for name, values in getattr(one, group).items():
            np.testing.assert_array_equal(values, getattr(other, group)[name], err_msg=name, strict=True)


@pytest.mark.parametrize("chunks", [2, 0])
def test_a_committed_episode_comes_back_as_it_was(root: Path, make_episode: MakeEpisode, chunks: int) -> None:
    episode = make_episode(chunks=chunks)
    store = EpisodeStore(root, writable=True)
    store.commit(episode)
    reader = EpisodeStore(root)
    assert reader.ids() == ["online-000000"]
    assert_same(reader.load("online-000000"), episode)
    assert reader.header("online-000000") == episode.header
    assert reader.size("online-000000") == (6, chunks)
    record = reader.chunks("online-000000")
    assert record.header == episode.header and record.steps == 6
    np.testing.assert_array_equal(record.features["z"], episode.features["z"])
    np.testing.assert_array_equal(record.decisions["dz"], episode.decisions["dz"])


def test_an_episode_never_changes(root: Path, make_episode: MakeEpisode) -> None:
    store = EpisodeStore(root, writable=True)
    store.commit(make_episode())
    with pytest.raises(StoreError, match="already"):
        store.commit(make_episode())


def test_a_reader_writes_nothing(root: Path, make_episode: MakeEpisode) -> None:
    with pytest.raises(StoreError, match="no episode store"):
        EpisodeStore(root)
    EpisodeStore(root, writable=True)
    with pytest.raises(StoreError, match="for reading"):
        EpisodeStore(root).commit(make_episode())


def _damage(path: Path, damage: Damage) -> None:
    data = bytearray(path.read_bytes())
    match damage:
        case Damage.TRUNCATED:
            path.write_bytes(data[: len(data) // 2])
        case Damage.ZERO_LENGTH:
            path.write_bytes(b"")
        case Damage.MISSING:
            path.unlink()
        case _:
            data[len(data) // 2] ^= 16
            path.write_bytes(data)


@pytest.mark.parametrize(
    "file", ["images/wrist/c.0.0.0.0", "features/z/c.0.0", "action/zarr.json", "zarr.json"]
)
@pytest.mark.parametrize("damage", [Damage.TRUNCATED, Damage.ZERO_LENGTH, Damage.MISSING, Damage.BIT_FLIPPED])
def test_every_kind_of_damage_is_found(
    root: Path, make_episode: MakeEpisode, file: str, damage: Damage
) -> None:
    store = EpisodeStore(root, writable=True)
    store.commit(make_episode(0))
    store.commit(make_episode(1))
    _damage(root / "episodes" / "online-000000" / file, damage)
    report = store.verify()
    assert [(fault.episode, fault.file, fault.damage) for fault in report.faults] == [
        ("online-000000", file, damage)
    ]
    assert report.sound == ("online-000001",)


@pytest.mark.parametrize("damage", [Damage.TRUNCATED, Damage.ZERO_LENGTH, Damage.MISSING, Damage.BIT_FLIPPED])
def test_damaged_arrays_are_refused_when_read(root: Path, make_episode: MakeEpisode, damage: Damage) -> None:
    store = EpisodeStore(root, writable=True)
    store.commit(make_episode())
    _damage(root / "episodes" / "online-000000" / "features" / "z" / "c.0.0", damage)
    with pytest.raises(StoreError, match="station verify"):
        store.chunks("online-000000")
    with pytest.raises(StoreError, match="station verify"):
        store.load("online-000000")


def test_a_sweep_quarantines_damage_and_deletes_nothing(root: Path, make_episode: MakeEpisode) -> None:
    store = EpisodeStore(root, writable=True)
    for ordinal in range(3):
        store.commit(make_episode(ordinal))
    _damage(root / "episodes" / "online-000000" / "MANIFEST.json", Damage.BIT_FLIPPED)
    _damage(root / "episodes" / "online-000001" / "action" / "c.0.0", Damage.TRUNCATED)
    again = EpisodeStore(root, writable=True)
    faults = again.sweep(Ledger())
    assert again.ids() == ["online-000002"]
    assert {fault.damage for fault in faults} == {Damage.TORN, Damage.TRUNCATED}
    aside = root / "quarantine"
    assert (aside / "online-000000-0" / "images" / "third" / "c.0.0.0.0").exists()
    assert "truncated" in (aside / "online-000001-0.reason.txt").read_text()
    again.commit(make_episode(0))
    assert again.ids() == ["online-000000", "online-000002"]


class _SmallDisk(Disk):
    """A disk with so many bytes left."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, path: Path, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(path, data)


@pytest.mark.parametrize("room", [0, 700, 4000])
def test_a_full_disk_leaves_no_trace_and_the_episode_can_be_committed_later(
    root: Path, make_episode: MakeEpisode, room: int
) -> None:
    disk = _SmallDisk(room)
    store = EpisodeStore(root, writable=True, disk=disk)
    with pytest.raises(DiskFullError, match="nothing was lost"):
        store.commit(make_episode())
    assert store.ids() == [] and not any((root / "tmp").iterdir())
    disk.room = 10**9
    store.commit(make_episode())
    assert_same(store.load("online-000000"), make_episode())


def test_episodes_whose_journal_line_a_crash_swallowed_are_named(
    root: Path, make_episode: MakeEpisode
) -> None:
    store = EpisodeStore(root, writable=True)
    journal = Journal(root.parent / "journal.jsonl", writable=True)
    for ordinal in range(2):
        store.commit(make_episode(ordinal))
    journal.append(EpisodeCommitted.of(make_episode(0)))
    assert unjournaled(store, journal.ledger()) == ["online-000001"]


_ROOT = Path(__file__).parents[2]
_COMMIT_FOREVER = """
import sys
from dataclasses import replace
from pathlib import Path
from datasets.store import EpisodeStore
store = EpisodeStore(Path(sys.argv[1]), writable=True)
episode = store.load("online-000000")
for ordinal in range(len(store.ids()), 10**6):
    name = f"online-{ordinal:06d}"
    store.commit(replace(episode, header=replace(episode.header, id=name, ordinal=ordinal)))
    print(name, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_while_committing_loses_and_tears_nothing(
    root: Path, make_episode: MakeEpisode
) -> None:
    episode = make_episode(steps=30)
    EpisodeStore(root, writable=True).commit(episode)
    promised = ["online-000000"]
    for kill in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", _COMMIT_FOREVER, str(root)], stdout=subprocess.PIPE, text=True, cwd=_ROOT
        ) as writer:
            assert writer.stdout is not None
            # killed at another depth of the next commit each time
            promised += [writer.stdout.readline().strip() for _ in range(2 + kill)]
            os.kill(writer.pid, signal.SIGKILL)
            promised += writer.stdout.read().split()
        store = EpisodeStore(root, writable=True)
        assert store.sweep(Ledger()) == ()
        assert store.ids()[: len(promised)] == promised and len(store.ids()) <= len(promised) + 1
        report = store.verify()
        assert report.ok and not report.leftovers
        promised = store.ids()
    np.testing.assert_array_equal(store.load(promised[-1]).images["third"], episode.images["third"])


@pytest.mark.parametrize("chunks", [[1, 1], [2**21, 2**20]])
def test_an_array_that_claims_more_than_it_holds_takes_no_memory(
    root: Path, make_episode: MakeEpisode, chunks: list[int]
) -> None:
    store = EpisodeStore(root, writable=True)
    store.commit(make_episode())
    folder = root / "episodes" / "online-000000"
    described = folder / "action" / "zarr.json"
    facts = json.loads(described.read_text())
    facts["shape"], facts["chunk_grid"]["configuration"]["chunk_shape"] = [2**21, 2**20], chunks
    described.write_text(json.dumps(facts))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files[MANIFEST]
    (folder / MANIFEST).write_bytes(manifest_of(files, steps=6, chunks=2).to_bytes())
    with pytest.raises(StoreError, match=r"(other pieces|more than there is memory)"):
        store.load("online-000000")


def test_an_episode_that_is_written_while_its_session_moves_is_not_written_at_the_old_path(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    root, moved = tmp_path / "s" / "episodes", tmp_path / "moved"

    class Moving(Disk):
        writes = 0

        def write(self, path: Path, data: bytes) -> None:
            super().write(path, data)
            self.writes += 1
            if self.writes == 3:
                (tmp_path / "s").rename(moved)

    store = EpisodeStore(root, writable=True, disk=Moving())
    with pytest.raises(StoreError, match="could not be written"):
        store.commit(make_episode())
    assert not (tmp_path / "s").exists()
    (moved).rename(tmp_path / "s")
    assert EpisodeStore(root, writable=True).ids() == []
