"""Every kind of damage is found, moved out of the way and named; the session goes on without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.journal.journal import Journal
from datasets.journal.records import CheckpointSaved
from datasets.lock import WriterLock
from station.jobs.verdicts import give
from station.session.core.events import EventSource
from station.session.engine.checkpoint import CheckpointFacts, Checkpoints
from station.session.folder import SessionFolder
from station.session.status import count
from tests.station.conftest import Station
from tests.station.recorded import recorded

Harm = Callable[[Path], None]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


HARMS: dict[str, Harm] = {
    "truncated": truncate,
    "zero-length": empty,
    "bit-flipped": flip,
    "missing": Path.unlink,
}
FACTS = CheckpointFacts(method="zprl", base_hash="abc", update=1, policy_version=1, steps=10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recorded(tmp_path_factory.mktemp("recorded") / "orange-1")
    checkpoints = Checkpoints(folder.steering)
    for value in (1.0, 2.0):
        checkpoints.save({"w": torch.full((64,), value)}, FACTS)
    checkpoints.mark_best()
    Journal(folder.journal, writable=True).append(CheckpointSaved(update=1, policy_version=1, steps=10))
    return folder.path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> SessionFolder:
    shutil.copytree(whole, tmp_path / "orange-1")
    return SessionFolder.open(tmp_path / "orange-1")


def looked(station: Station, folder: SessionFolder, *options: str) -> tuple[int, dict[str, Any]]:
    result = station("verify", folder.path, "--json", *options)
    return result.exit_code, json.loads(result.stdout)


def test_a_sound_session_is_said_to_have_lost_nothing(station: Station, folder: SessionFolder) -> None:
    said = station("verify", folder.path)
    assert said.exit_code == 0
    assert "Nothing is lost." in said.stdout


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    ("store", "name", "file"),
    [
        ("demos", "demo-a", "images/third/c.0.0.0.0"),
        ("episodes", "online-000001", "action/c.0.0"),
        ("episodes", "online-000001", "MANIFEST.json"),
    ],
)
def test_a_damaged_episode_is_quarantined_and_the_counts_go_on_without_it(
    station: Station, folder: SessionFolder, store: str, name: str, file: str, harm: str
) -> None:
    place = folder.path / store
    HARMS[harm](place / "episodes" / name / file)
    files = len([path for path in place.rglob("*") if path.is_file()])
    before = count(folder)
    code, report = looked(station, folder)
    assert code == 1
    fault = next(fault for part in report["stores"] for fault in part["faults"])
    assert (fault["episode"], fault["file"]) == (name, file)
    torn = file == "MANIFEST.json" and harm in ("truncated", "bit-flipped")
    assert fault["damage"] == ("torn" if torn else harm)
    assert len([path for path in place.rglob("*") if path.is_file()]) == files + 1, "the reason's file is new"
    status = Journal(folder.journal).ledger().episodes[name]
    assert (status.void, status.by) == (True, "system")
    assert count(folder).demos + count(folder).episodes == before.demos + before.episodes - 1
    code, report = looked(station, folder)
    assert (code, report["lost"], report["absent"]) == (0, [name], [])


def test_an_episode_that_lies_in_quarantine_is_not_restored(station: Station, folder: SessionFolder) -> None:
    flip(folder.episodes / "episodes" / "online-000001" / "action" / "c.0.0")
    station("verify", folder.path)
    refused = station("label", folder.path, "online-000001", "restore")
    assert refused.exit_code == 2
    assert "quarantine" in refused.output
    give(folder, "online-000002", "void", source=EventSource.COMMAND)
    give(folder, "online-000002", "restore", source=EventSource.COMMAND)


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_of_the_learner_is_found(
    station: Station, folder: SessionFolder, harm: str
) -> None:
    newest = folder.steering / "newest.safetensors"
    HARMS[harm](newest)
    code, report = looked(station, folder)
    assert code == 1
    assert [fault["file"] for fault in report["files"]] == [str(newest)]
    assert "the one before is used" in report["files"][0]["loss"]
    assert not newest.exists()
    assert len(list((folder.path / "quarantine").glob("steering-newest*-0"))) == (harm != "missing")
    Checkpoints(folder.steering).load("previous")


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_piece_of_what_was_cut_off_is_found_and_costs_nothing_that_counts(
    station: Station, folder: SessionFolder, harm: str
) -> None:
    (left,) = folder.partial.iterdir()
    piece = left / "steps-000000.npz"
    HARMS[harm](piece)
    before = count(folder)
    code, report = looked(station, folder)
    assert code == (harm != "missing")
    assert [fault["file"] for fault in report["files"]] == [str(piece)] * (harm != "missing")
    assert not piece.exists() and count(folder) == before
    said = station("verify", folder.path)
    assert said.exit_code == 0
    assert f"{left.name} can be reviewed up to steps-000000.npz, which is missing" in said.stdout


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_base_is_found(station: Station, session: SessionFolder, harm: str) -> None:
    path = next(session.base.glob("weights-*.safetensors"))
    HARMS[harm](path)
    code, report = looked(station, session)
    assert code == 1
    assert "'station train' trains it again" in report["files"][0]["loss"]


def test_damaged_weights_take_no_sound_file_along_and_one_copy_mends_them(
    station: Station, session: SessionFolder
) -> None:
    path = next(session.base.glob("weights-*.safetensors"))
    data = path.read_bytes()
    flip(path)
    for _ in range(3):
        code, report = looked(station, session)
        assert code == 1
        assert [fault["file"] for fault in report["files"]] == [str(path)]
    assert len(list((session.path / "quarantine").glob("base-weights-*-0"))) == 1
    path.write_bytes(data)
    assert looked(station, session)[0] == 0


def test_a_torn_end_of_the_journal_is_kept_beside_and_named(station: Station, folder: SessionFolder) -> None:
    with folder.journal.open("ab") as file:
        file.write(b'{"seq":99,"ti')
    said = station("verify", folder.path)
    assert said.exit_code == 0
    assert "Lost: what the unfinished line said" in said.stdout
    (torn,) = folder.path.glob("journal.jsonl.torn-*")
    assert torn.read_bytes() == b'{"seq":99,"ti'
    assert "Nothing is lost." in station("verify", folder.path).stdout


def test_a_damaged_line_amid_the_journal_is_named_and_nothing_is_touched(
    station: Station, folder: SessionFolder
) -> None:
    data = folder.journal.read_bytes()
    folder.journal.write_bytes(data.replace(b'"ordinal":1', b'"ordinal":7', 1))
    before = folder.journal.read_bytes()
    code, report = looked(station, folder)
    assert code == 1
    assert "its checksum is wrong" in report["journal"]["error"]
    assert folder.journal.read_bytes() == before


def test_an_episode_that_vanished_is_lost_and_said_so(station: Station, folder: SessionFolder) -> None:
    shutil.rmtree(folder.episodes / "episodes" / "online-000002")
    said = station("verify", folder.path)
    assert said.exit_code == 1
    assert "Lost: 1 episode (online-000002). The session continues" in said.stdout
    assert station("verify", folder.path).exit_code == 0


def test_while_somebody_writes_it_looks_and_moves_nothing(station: Station, folder: SessionFolder) -> None:
    flip(folder.episodes / "episodes" / "online-000001" / "action" / "c.0.0")
    with WriterLock(folder.lock):
        said = station("verify", folder.path)
    assert said.exit_code == 1
    assert "Nothing was moved" in said.stdout and "being written by process" in said.stdout
    assert (folder.episodes / "episodes" / "online-000001").is_dir()


@pytest.mark.parametrize(
    "name", ["base/training.json", "base/report.json", "base/demos", "base/curve.jsonl", "import.toml"]
)
def test_what_training_and_imports_wrote_of_themselves_is_looked_at_too(
    station: Station, session: SessionFolder, name: str
) -> None:
    assert looked(station, session)[0] == 0
    path = session.path / name
    if path.exists():
        truncate(path)
    else:
        path.write_text("[broken")
    code, report = looked(station, session, "--look-only")
    assert code == 1
    assert [fault["file"] for fault in report["files"]] == [str(path)]


def test_a_report_with_which_training_cannot_go_on_is_moved_away(
    station: Station, session: SessionFolder
) -> None:
    path = session.base / "training.json"
    path.write_text("{}")
    code, report = looked(station, session)
    assert (code, [fault["file"] for fault in report["files"]]) == (1, [str(path)])
    assert not path.exists()
