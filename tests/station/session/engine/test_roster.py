"""Which devices recorded a session: journaled at every start, and another one waits for a deliberate word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.journal.journal import Journal
from datasets.journal.records import DevicesConnected
from hardware.cell import Cell
from hardware.device import Device, Devices
from station.session.engine.roster import Roster
from tests.station.session.fakes import PointCell

SCENE = Device(model="C920", serial="A1", firmware="0012", settings={"gain": 4.0})
WRIST = Device(model="C920", serial="B2", firmware="0012")
ARM = Device(model="xArm6", serial="XI1", firmware="2.5.0")
USUAL = {"arm left": ARM, "camera scene": SCENE, "camera wrist": WRIST}
SWAPPED = {"arm left": ARM, "camera scene": WRIST, "camera wrist": SCENE}


class Populated(PointCell):
    """A cell with devices that a test chooses."""

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self.found = devices

    def devices(self) -> Devices:
        return self.found


class Start:
    """One engine's start, as far as devices go."""

    def __init__(self, folder: Path, devices: Devices, *, accept: bool = False) -> None:
        self.said: list[str] = []
        journal = Journal(folder / "journal.jsonl", writable=True)
        roster = Roster(journal, journal.append, self.said.append, session=Path("pour tea"), accept=accept)
        cells: list[Cell] = [Populated(devices)]
        self.problems = [check.told() for check in roster.checks(cells)]
        self.problems_again = [check.told() for check in roster.checks(cells)]
        self.lines: list[dict[str, Any]] = [
            line.record.to_fields() for line in journal.ledger().lines_of(DevicesConnected)
        ]


def test_who_answered_stands_in_the_journal_of_every_start(tmp_path: Path) -> None:
    for starts in (1, 2):
        start = Start(tmp_path, USUAL)
        assert start.problems == start.problems_again == []
        assert len(start.lines) == starts
    camera = start.lines[-1]["devices"]["camera scene"]
    assert (camera["serial"], camera["firmware"], camera["settings"]) == ("A1", "0012", {"gain": 4.0})


def test_swapped_cameras_are_refused_until_just_that_is_confirmed(tmp_path: Path) -> None:
    Start(tmp_path, USUAL)
    early = Start(tmp_path, SWAPPED, accept=True)
    assert early.problems, "nobody had read it yet"
    refused = Start(tmp_path, SWAPPED)
    [said] = refused.problems
    assert "camera scene and camera wrist are swapped: serial B2 was camera wrist last time" in said
    assert "station run 'pour tea' --accept-devices" in said
    assert refused.problems_again == refused.problems
    accepted = Start(tmp_path, SWAPPED, accept=True)
    assert accepted.problems == []
    assert any("Accepted: camera scene and camera wrist are swapped" in said for said in accepted.said)
    assert accepted.lines[-1]["replaced"] and accepted.lines[-1]["accepted"]
    assert Start(tmp_path, SWAPPED).problems == []


def test_what_was_accepted_is_what_was_read(tmp_path: Path) -> None:
    other = Device(model="xArm6", serial="XI2")
    Start(tmp_path, USUAL)
    Start(tmp_path, {**USUAL, "arm left": other})
    [said] = Start(tmp_path, SWAPPED, accept=True).problems
    assert "swapped" in said


def test_devices_that_are_put_back_need_no_word(tmp_path: Path) -> None:
    Start(tmp_path, USUAL)
    assert Start(tmp_path, SWAPPED).problems
    assert Start(tmp_path, USUAL).problems == []


def test_a_new_firmware_and_what_a_camera_did_not_take_are_said_and_refuse_nothing(tmp_path: Path) -> None:
    Start(tmp_path, USUAL)
    updated = Device(model="xArm6", serial="XI1", firmware="2.6.0")
    stubborn = Device(model="C920", serial="B2", firmware="0012", remarks=("gain is 16, not 18.",))
    start = Start(tmp_path, {**USUAL, "arm left": updated, "camera wrist": stubborn})
    assert start.problems == []
    assert start.said == [
        "arm left: firmware 2.5.0 last time, 2.6.0 now.",
        "camera wrist: gain is 16, not 18.",
    ]


def test_a_simulated_cell_leaves_no_line(tmp_path: Path) -> None:
    assert Start(tmp_path, {}).lines == []
