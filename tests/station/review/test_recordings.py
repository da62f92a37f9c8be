"""What can be looked at, and how it is played, without a screen."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.episode import EpisodeKind
from datasets.journal.journal import Journal
from datasets.journal.lines import Line, Places
from datasets.journal.records import EpisodeCommitted, EpisodeCutOff, Pruned, Record, Voided
from datasets.selection import Where
from datasets.store import EpisodeStore, StoreError
from station.review.catalogue import Catalogue, Item
from station.review.playback import Playback
from station.review.take import take_of, take_of_partial
from station.session.folder import SessionFolder
from tests.station.conftest import Station
from tests.station.recorded import episode, leave_partial, recorded


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("recorded") / "orange-1").path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> SessionFolder:
    shutil.copytree(whole, tmp_path / "orange-1")
    return SessionFolder.open(tmp_path / "orange-1")


def ids(catalogue: Catalogue, where: str = "") -> list[str]:
    return [item.id for item in catalogue.items(Where.parse(where))]


def test_everything_is_listed_newest_first_and_leftovers_with_it(folder: SessionFolder) -> None:
    found = ids(Catalogue(folder))
    assert found[0].startswith("online-000003-")
    assert found[1:] == ["online-000002", "online-000001", "online-000000", "demo-b", "demo-a"]


def test_the_sentences_of_export_choose_here_too(folder: SessionFolder) -> None:
    catalogue = Catalogue(folder)
    assert ids(catalogue, "failure and date>=yesterday") == ["online-000002"]
    assert ids(catalogue, "demo and pending") == ["demo-b"]
    assert ids(catalogue, "void") == []


def test_what_another_process_writes_is_seen_after_a_refresh(folder: SessionFolder) -> None:
    catalogue = Catalogue(folder)
    assert not catalogue.refresh()
    Journal(folder.journal, writable=True).append(Voided(episode="demo-a", by="command"))
    assert catalogue.refresh()
    assert ids(catalogue, "void") == ["demo-a"]


def test_a_take_shows_what_was_committed(folder: SessionFolder) -> None:
    catalogue = Catalogue(folder)
    take = catalogue.load(next(item for item in catalogue.items() if item.id == "online-000001"))
    assert take.frames == 21 and take.images["third"][7, 0, 0, 0] == 70
    assert [group.title.split(",")[0] for group in take.groups][:4] == [
        "action",
        "sent to the arm",
        "proprioception",
        "gripper",
    ]
    np.testing.assert_allclose(take.time, np.arange(21) / 10, atol=1e-9)
    assert take.groups[0].names == ("x", "y", "z", "rx", "ry", "rz", "gripper")


def test_a_take_of_a_clock_since_1970_begins_at_0(folder: SessionFolder) -> None:
    plain = EpisodeStore(folder.episodes).load("online-000001")
    epoch = 1_795_000_000.0
    take = take_of(
        replace(
            plain, observation_time=plain.observation_time + epoch, command_time=plain.command_time + epoch
        )
    )
    for time in (take.time, *(group.time for group in take.groups)):
        np.testing.assert_allclose(time, np.arange(len(time)) / 10, atol=1e-6)


def test_what_was_cut_off_is_read_by_one_thread_at_a_time(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_partial(folder, "online-000007", pieces=2)
    journal = Journal(folder.journal, writable=True)
    journal.append(EpisodeCutOff(episode="online-000007", steps=10, lost=0, reason="Camera third froze."))
    catalogue = Catalogue(folder)
    alone: list[bool] = []
    read = Places.read

    def watched(places: Places, numbers: Iterable[int]) -> Iterator[Line[Record]]:
        alone.append(catalogue._reading.locked())
        return read(places, numbers)

    monkeypatch.setattr(Places, "read", watched)
    catalogue.items()
    assert alone and all(alone)


def test_what_was_cut_off_stands_in_its_place_and_says_why(station: Station, folder: SessionFolder) -> None:
    leave_partial(folder, "online-000007", pieces=2)
    journal = Journal(folder.journal, writable=True)
    journal.append(EpisodeCutOff(episode="online-000007", steps=10, lost=0, reason="Camera third froze."))
    journal.append(EpisodeCommitted.of(episode("online-000008", EpisodeKind.ONLINE, 8)))
    catalogue = Catalogue(folder)
    assert ids(catalogue)[1:3] == ["online-000008", "online-000007"]
    (item,) = (item for item in catalogue.items() if item.id == "online-000007")
    assert (item.verdict, item.steps, item.reason) == ("partial", 10, "Camera third froze.")
    assert catalogue.load(item).frames == 10
    assert [line.op for line in catalogue.history("online-000007")] == ["cut_off"]
    assert ids(catalogue, "online and void") == []
    listed = station("review", folder.path, "--list").stdout
    assert "partial" in listed and "Camera third froze." in listed
    none = station("review", folder.path, "--list", "--where", "success and version>=99")
    assert (none.stdout, none.stderr) == ("", "No recordings match.\n")
    facts = json.loads(station("review", folder.path, "--episode", "online-000007", "--json").stdout)
    assert (facts[0]["steps"], facts[0]["reason"]) == (10, "Camera third froze.")


def test_what_an_engine_is_recording_is_running_and_not_cut_off(
    station: Station, folder: SessionFolder
) -> None:
    def newest() -> Item:
        return Catalogue(folder).items()[0]

    assert newest().verdict == "partial", "its engine was killed"
    with folder.writing():
        assert newest().verdict == "partial", "a command that writes records nothing"
        folder.engine.write_text(json.dumps({"pid": os.getpid()}))
        assert (newest().verdict, newest().reason) == ("running", "it still runs")
        assert Catalogue(folder).load(newest()).about.startswith("running: 10 steps so far")
        assert "running" in station("review", folder.path, "--list").stdout
        Journal(folder.journal, writable=True).append(
            EpisodeCutOff(episode=newest().id, steps=10, lost=0, reason="Camera third froze.")
        )
        (item,) = (item for item in Catalogue(folder).items() if item.status is None)
        assert (item.verdict, item.reason) == ("partial", "Camera third froze.")


def test_a_leftover_is_shown_up_to_its_first_unreadable_piece(folder: SessionFolder) -> None:
    root = leave_partial(folder, "online-000009-x", pieces=3)
    torn = root / "steps-000005.npz"
    torn.write_bytes(torn.read_bytes()[:200])
    take = take_of_partial(root)
    assert take.frames == 5
    assert "steps-000005.npz" in take.trouble
    torn.unlink()
    assert "steps-000005.npz (it is missing)" in take_of_partial(root).trouble
    (root / "steps-000000.npz").write_bytes(b"")
    with pytest.raises(StoreError, match="can be read"):
        take_of_partial(root)


def test_pruned_files_are_said_to_be_pruned(folder: SessionFolder) -> None:
    journal = Journal(folder.journal, writable=True)
    journal.append(Voided(episode="demo-a", by="command"))
    journal.append(Pruned(episodes=["demo-a"], by="command", bytes=1))
    catalogue = Catalogue(folder)
    item = next(item for item in catalogue.items() if item.id == "demo-a")
    assert item.verdict == "pruned"
    with pytest.raises(StoreError, match="pruned"):
        catalogue.load(item)


def test_stamps_that_were_never_taken_are_replaced_by_the_control_rate() -> None:
    one = episode("demo-x", EpisodeKind.DEMO, 0)
    one.observation_time[:] = 5.0
    np.testing.assert_allclose(take_of(one).time, np.arange(21) / 10)


def test_playing_follows_uneven_stamps() -> None:
    play = Playback(np.array([0.0, 0.1, 0.2, 2.0]))
    play.toggle()
    assert play.advance(0.25) and play.frame == 2
    assert not play.advance(1.0)
    assert play.advance(1.0) and play.at_end and not play.playing
    play.toggle()
    assert (play.frame, play.playing) == (0, True)


def test_steps_stop_at_both_ends_and_speed_at_its_limits() -> None:
    play = Playback(np.arange(3) / 10.0)
    play.step(-5)
    assert play.frame == 0
    play.last()
    assert play.frame == 2
    for _ in range(20):
        play.change_speed(1)
    assert play.speed == 16.0
    empty = Playback(np.zeros(0))
    empty.toggle()
    empty.last()
    assert (empty.frame, empty.playing, empty.elapsed) == (0, False, 0.0)


def test_the_command_lists_what_a_sentence_means(station: Station, folder: SessionFolder) -> None:
    listed = json.loads(station("review", folder.path, "--where", "failure", "--json").stdout)
    assert [facts["id"] for facts in listed] == ["online-000002", "online-000001"]
    assert "demo-b" in station("review", folder.path, "--list").stdout
    assert station("review", folder.path, "--where", "sucess").exit_code == 2


def test_the_list_for_scripts_holds_every_judgement_in_order(station: Station, folder: SessionFolder) -> None:
    for verdict in ("success", "undo", "void"):
        assert station("label", folder.path, "online-000001", verdict).exit_code == 0
    listed = json.loads(station("review", folder.path, "--json").stdout)
    histories = {facts["id"]: facts["history"] for facts in listed}
    said = [(each["what"], each.get("outcome")) for each in histories["online-000001"]]
    assert said == [("label", "failure"), ("label", "success"), ("label", None), ("void", None)]
    assert histories["online-000001"][-1]["by"] == "command"
    times = [each["time"] for each in histories["online-000001"]]
    assert times == sorted(times) and times[-1] > 1e9
    assert histories["demo-b"] == []
    catalogue = Catalogue(folder)
    told = catalogue.histories()
    assert all(tuple(told.get(item.id, ())) == catalogue.history(item.id) for item in catalogue.items())


def test_one_episode_is_written_for_the_rerun_viewer(
    station: Station, folder: SessionFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rerun", reason="pip install 'station[rerun]'")
    out = tmp_path / "one.rrd"
    written = station("review", folder.path, "--episode", "online-000001", "--rerun", out)
    assert written.exit_code == 0, written.output
    assert out.read_bytes()[:3] == b"RRF"
    data = out.read_bytes()
    assert b"cameras/third" in data and b"action/gripper" in data and b"sent_to_the_arm/gripper" in data
    assert "WARN" not in capfd.readouterr().err
    missing = station("review", folder.path, "--episode", "online-9", "--rerun", out)
    assert missing.exit_code == 2


def test_without_the_library_the_line_that_brings_it_is_said(
    station: Station, folder: SessionFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    refused = station("review", folder.path, "--rerun", tmp_path / "x.rrd")
    assert refused.exit_code == 1
    assert "pip install" in refused.output
