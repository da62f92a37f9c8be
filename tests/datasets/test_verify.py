"""One look that says whether a session's memory is sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted
from datasets.store import EpisodeStore
from datasets.verify import set_aside, verify
from tests.datasets.conftest import MakeEpisode


@pytest.fixture
def store(tmp_path: Path, make_episode: MakeEpisode) -> EpisodeStore:
    store = EpisodeStore(tmp_path / "episodes", writable=True)
    journal = Journal(tmp_path / "journal.jsonl", writable=True)
    for ordinal in range(3):
        store.commit(make_episode(ordinal))
        journal.append(EpisodeCommitted.of(make_episode(ordinal)))
    return store


def test_a_sound_session_is_said_to_be_sound(tmp_path: Path, store: EpisodeStore) -> None:
    told: list[tuple[str, int, int]] = []
    report = verify([store], tmp_path / "journal.jsonl", progress=lambda *step: told.append(step))
    assert report.ok and report.journal.lines == 3
    assert told == [("episodes", 1, 3), ("episodes", 2, 3), ("episodes", 3, 3)]
    assert json.loads(json.dumps(report.to_json()))["stores"][0]["sound"] == 3


def test_damage_torn_ends_and_disagreement_are_all_in_one_report(
    tmp_path: Path, store: EpisodeStore, make_episode: MakeEpisode
) -> None:
    (store.root / "episodes" / "online-000000" / "action" / "c.0.0").unlink()
    shutil.rmtree(store.root / "episodes" / "online-000001")
    (store.root / "tmp" / "online-000009-1").mkdir()
    store.commit(make_episode(7))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"seq":4,"ti')
    report = verify([EpisodeStore(store.root)], tmp_path / "journal.jsonl")
    assert not report.ok
    assert report.stores[0].damaged == ("online-000000",)
    assert report.stores[0].leftovers == ("online-000009-1",)
    assert report.absent == ("online-000001",)
    assert report.unjournaled == ("online-000007",)
    assert report.journal.torn_bytes == 12 and report.journal.ok


def test_a_journal_that_cannot_be_trusted_is_reported_not_raised(tmp_path: Path, store: EpisodeStore) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"ordinal":0', b'"ordinal":9'))
    report = verify([store], path)
    assert not report.ok and "line 1: its checksum" in str(report.journal.error)


def test_damaged_episodes_are_set_aside_on_demand(tmp_path: Path, store: EpisodeStore) -> None:
    chunk = store.root / "episodes" / "online-000002" / "features" / "c" / "c.0.0"
    data = bytearray(chunk.read_bytes())
    data[3] ^= 1
    chunk.write_bytes(data)
    (aside,) = set_aside(store, store.verify())
    assert (aside / "features" / "c" / "c.0.0").read_bytes() == bytes(data)
    assert store.ids() == ["online-000000", "online-000001"]
    assert verify([store], tmp_path / "journal.jsonl").absent == ("online-000002",)
