"""What a store must not do when it grows: look at everything to append or open, or show a reader half an episode."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets.durable import Disk
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted
from datasets.lock import LockedError, WriterLock
from datasets.manifest import Fault, inspect_folder
from datasets.store import EpisodeStore, StoreError
from tests.datasets.conftest import MakeEpisode

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from datasets.episode import Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.lock import WriterLock
from datasets.store import EpisodeStore

root, count = Path(sys.argv[1]), int(sys.argv[2])
with WriterLock(root / "lock"):
    store = EpisodeStore(root / "episodes", writable=True)
    journal = Journal(root / "journal.jsonl", writable=True)
    model = store.load("online-000000")
    for ordinal in range(1, count):
        header = replace(model.header, id=f"online-{ordinal:06d}", ordinal=ordinal)
        episode = replace(model, header=header)
        store.commit(episode)
        journal.append(EpisodeCommitted.of(episode))
        journal.append(Labelled(episode=header.id, outcome=Outcome.SUCCESS, by="operator"))
    print("written", flush=True)
    sys.stdin.read()
"""
COUNT = 12


class CountingDisk(Disk):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def write(self, path: Path, data: bytes) -> None:
        self.asked += 1
        super().write(path, data)

    def sync(self, folder: Path) -> None:
        self.asked += 1
        super().sync(folder)


@pytest.mark.slow
def test_appending_never_lists_the_store_and_always_writes_as_much(
    tmp_path: Path, make_episode: MakeEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = CountingDisk()
    store = EpisodeStore(tmp_path, writable=True, disk=disk)
    costs = []
    for ordinal in range(12):
        before, episode = disk.asked, make_episode(ordinal)
        with monkeypatch.context() as blind:
            blind.setattr("datasets.store.inspect_folder", None)
            blind.setattr(EpisodeStore, "ids", None)
            store.commit(episode)
        costs.append(disk.asked - before)
    assert len(set(costs)) == 1


def test_a_sweep_looks_at_the_newest_only_and_what_is_older_is_found_when_read(
    tmp_path: Path, make_episode: MakeEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, journal = EpisodeStore(tmp_path, writable=True), Journal(tmp_path / "journal.jsonl", writable=True)
    for ordinal in (3, 0, 5, 4, 1, 2):
        store.commit(make_episode(ordinal))
        if ordinal != 2:
            journal.append(EpisodeCommitted.of(make_episode(ordinal)))
    for ordinal in (0, 2, 4):
        (tmp_path / "episodes" / f"online-{ordinal:06d}" / "features" / "z" / "c.0.0").write_bytes(b"")
    looked: list[str] = []

    def watched(folder: Path, *, full: bool) -> list[Fault]:
        looked.append(folder.name)
        return inspect_folder(folder, full=full)

    monkeypatch.setattr("datasets.store.inspect_folder", watched)
    monkeypatch.setattr("datasets.store.SWEPT", 2)
    again = EpisodeStore(tmp_path, writable=True)
    assert looked == []
    faults = again.sweep(journal.ledger())
    assert looked == ["online-000002", "online-000004", "online-000001"]
    assert [fault.episode for fault in faults] == ["online-000002", "online-000004"]
    with pytest.raises(StoreError, match="station verify"):
        again.chunks("online-000000")
    assert again.verify(full=False).damaged == ("online-000000",)


@pytest.mark.slow
def test_a_reader_beside_a_writer_sees_whole_episodes_only(tmp_path: Path, make_episode: MakeEpisode) -> None:
    first = make_episode(0)
    EpisodeStore(tmp_path / "episodes", writable=True).commit(first)
    Journal(tmp_path / "journal.jsonl", writable=True).append(EpisodeCommitted.of(first))
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(COUNT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        store, journal = EpisodeStore(tmp_path / "episodes"), Journal(tmp_path / "journal.jsonl")
        seen: set[str] = set()
        deadline = time.monotonic() + 120
        while len(seen) < COUNT:
            assert time.monotonic() < deadline and writer.poll() is None, f"only {len(seen)} episodes came"
            journal.refresh()
            known = set(journal.ledger().episodes)
            assert known <= set(store.ids()), "the journal names what the store does not hold"
            for name in set(store.ids()) - seen:
                assert store.load(name).steps == first.steps
                assert (store.chunks(name).features["z"] == first.features["z"]).all()
                assert not store.verify(only=[name]).faults
            seen |= known
        with pytest.raises(LockedError, match=f"process {writer.pid}"):
            WriterLock(tmp_path / "lock").acquire()
        assert writer.stdin is not None and writer.stdout is not None
        # its last label may still have to come when its last episode is seen
        assert writer.stdout.readline() == "written\n"
        writer.stdin.close()
    assert writer.returncode == 0
    journal.refresh()
    assert journal.unread == 0


def test_features_are_read_without_zarr_exactly_as_with_it(tmp_path: Path, make_episode: MakeEpisode) -> None:
    store = EpisodeStore(tmp_path, writable=True)
    for ordinal, chunks in enumerate((2, 0)):
        episode = make_episode(ordinal, chunks=chunks)
        store.commit(episode)
        record, whole = store.chunks(episode.header.id), store.load(episode.header.id)
        assert record.header == whole.header and record.steps == whole.steps
        for quick, slow in (
            (record.features | record.decisions, whole.features | whole.decisions),
            (
                {"start": record.chunk_start, "length": record.chunk_length},
                {"start": whole.chunk_start, "length": whole.chunk_length},
            ),
        ):
            assert list(quick) == list(slow)
            for name, values in quick.items():
                assert values.dtype == slow[name].dtype and values.shape == slow[name].shape
                assert (values == slow[name]).all() and values.flags.writeable
