from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from hardware.cell import Check
from hardware.robot.devices import DeviceLocks
from hardware.robot.examination import DeviceReport
from hardware.robot.settings import RobotCellSettings
from station.jobs import doctor
from station.jobs.cell_doctor import remedies
from station.tasks.config import load_task
from tests.hardware.fakes import Switch, Switchboard, cell_table
from tests.station.conftest import Station, sentences

pytestmark = pytest.mark.realtime


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own libraries take a while to be looked at, and are another test's business."""
    monkeypatch.setattr(doctor, "LIBRARIES", ())
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("DISPLAY", raising=False)


def task_file(folder: Path, **safety: Any) -> Path:
    """A task for one fake arm and one fake camera."""
    table = cell_table(folder / "board")
    table["safety"] = {
        key: value for key, value in {**table["safety"], **safety}.items() if value is not None
    }
    task = {
        "name": "fakes",
        "n_action_steps": 4,
        "cell": table,
        "policy": {"prediction_horizon": 8},
        "session": {"cells": 1},
    }
    path = folder / "fakes.toml"
    path.write_text(tomlkit.dumps(task))
    Switchboard(folder / "board")
    return path


def told(station: Station, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(station("doctor", *words, "--json").stdout)
    return found


@pytest.mark.slow
def test_a_cell_that_is_well_is_called_ready(station: Station, tmp_path: Path) -> None:
    done = station("doctor", task_file(tmp_path), "--seconds", 0.5)
    assert done.exit_code == 0, done.output
    assert "The cell is ready" in done.output
    assert "stands at" not in done.output
    assert "fake, serial F1, firmware 1.0" in done.output
    assert "1 of 1 set" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 120])
def test_the_table_holds_every_number_whole_however_narrow_the_terminal(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = station("doctor", task_file(tmp_path), "--seconds", 0.5).output.splitlines()
    assert max(map(len, lines)) <= width
    headers = next(line for line in lines if "rate Hz" in line)
    for name in ("device", "age ms", "latency ms", "limits", "verdict"):
        assert name in headers
    [arm] = [line for line in lines if line.strip().startswith("arm left") and "ready" in line]
    assert "of 100" in arm and "1 of 1 set" in arm
    [camera] = [line for line in lines if line.strip().startswith("camera scene") and "ready" in line]
    assert len(camera.split()) >= 6
    assert any("fake, serial F1, firmware 1.0" in line for line in lines)


@pytest.mark.slow
def test_a_cell_without_limits_is_refused_with_the_names_of_what_to_set(
    station: Station, tmp_path: Path
) -> None:
    path = task_file(tmp_path, velocity=None, workspaces=None)
    done = station("doctor", path, "--seconds", 0.5)
    assert done.exit_code == 1
    assert "NOT ready" in done.output
    assert "workspaces (arm = 'left'), velocity" in done.output
    assert "arm left stands at [0.450, 0.000, 0.300, 0.000, 0.000, 0.000] rad now" in done.output
    found = told(station, path, "--seconds", 0.5)
    assert not found["ready"]
    assert [device["ready"] for device in found["devices"]] == [False, True, True, True]


@pytest.mark.slow
def test_a_fault_is_told_with_the_vendors_words_and_the_remedy(station: Station, tmp_path: Path) -> None:
    path = task_file(tmp_path)
    Switchboard(tmp_path / "board")[Switch.FAULT] = 1
    done = station("doctor", path, "--seconds", 0.5)
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "Collision caused abnormal current (code C31). Free the arm." in said
    assert "run this again with --recover" in said
    assert Switchboard(tmp_path / "board")[Switch.FAULT]
    done = station("doctor", path, "--seconds", 0.5, "--recover")
    assert done.exit_code == 0, done.output
    assert not Switchboard(tmp_path / "board")[Switch.FAULT]


def test_whatever_is_to_be_recovered_is_told_with_the_command_that_does() -> None:
    lost = Check(name="hand", ok=False, detail="hand: too hot. Let it cool down, then recover the gripper.")
    said = remedies([DeviceReport(device="gripper of left", problems=(lost,))])
    assert "then recover the gripper" in said[0] and "--recover" in said[-1]
    off = Check(name="left", ok=False, detail="left: nobody answers. Check its cable.")
    assert not any(
        "--recover" in each for each in remedies([DeviceReport(device="arm left", problems=(off,))])
    )


@pytest.mark.slow
def test_a_fault_that_stays_is_told_after_it_was_to_be_cleared(station: Station, tmp_path: Path) -> None:
    path = task_file(tmp_path)
    board = Switchboard(tmp_path / "board")
    board[Switch.FAULT] = board[Switch.STUBBORN] = 1
    found = told(station, path, "--seconds", 0.5, "--recover")
    arm = found["devices"][1]
    assert (arm["ready"], arm["faulty"]) == (False, True)
    assert "Free the arm." in arm["problems"][0]["detail"]


def test_a_simulated_task_is_timed(station: Station) -> None:
    found = told(station, "place-orange-tiny")
    (device,) = found["devices"]
    assert (device["device"], device["ready"]) == ("simulated cell", True)
    assert device["rate_hz"] > device["wanted_hz"]


def test_a_wrong_task_is_answered_before_anything_is_touched(station: Station) -> None:
    done = station("doctor", "place-organe")
    assert done.exit_code == 2
    assert "Did you mean 'place-orange'" in done.output.replace("\n", " ")


def test_devices_that_a_session_uses_are_left_alone(station: Station, tmp_path: Path) -> None:
    path = task_file(tmp_path)
    cell = load_task(path).cell
    assert isinstance(cell, RobotCellSettings)
    locks = DeviceLocks(cell)
    locks.take()
    done = station("doctor", path)
    locks.release()
    assert done.exit_code == 3
    said = sentences(done)
    assert f"left: process {os.getpid()} " in said and "a device allows one session only" in said


def test_a_configured_pedal_that_is_not_there_makes_the_machine_unfit(
    station: Station, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("[pedals]\n'usb-none' = { KEY_B = 'stop' }\n")
    found = json.loads(station("doctor", "--json").stdout)
    pedal = next(check for check in found if check["name"] == "pedal")
    assert (pedal["ok"], pedal["optional"]) == (False, False)
    assert str(tmp_path / "config.toml") in pedal["remedy"]


def test_hotkeys_that_are_asked_for_where_no_x_server_is_make_the_machine_unfit(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("[hotkeys]\n'<f9>' = 'stop'\n")
    found = json.loads(station("doctor", "--json").stdout)
    hotkeys = next(check for check in found if check["name"] == "hotkeys")
    assert (hotkeys["ok"], hotkeys["optional"]) == (False, False)
    assert "Take [hotkeys] out of" in hotkeys["remedy"]


def test_a_machine_without_input_devices_says_why_no_pedal_can_work(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for parent, why in (
        (tmp_path / "none", "is missing, as in a container"),
        (tmp_path, "nothing is plugged in"),
    ):
        monkeypatch.setattr("hardware.keys.evdev_keys.FOLDERS", (parent / "by-id",))
        found = json.loads(station("doctor", "--json").stdout)
        pedals = next(check for check in found if check["name"] == "foot pedals")
        assert (pedals["ok"], pedals["optional"]) == (False, True)
        assert why in pedals["detail"]


def test_what_cannot_work_here_is_a_note_and_no_failure(station: Station) -> None:
    found = json.loads(station("doctor", "--json").stdout)
    hotkeys = next(check for check in found if check["name"] == "hotkeys")
    assert (hotkeys["ok"], hotkeys["optional"]) == (False, True)
    assert "no X server here" in hotkeys["detail"]
    assert "terminal's keys always work" in hotkeys["remedy"]
