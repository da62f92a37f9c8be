"""The doctor of a cell with the vendors' SDKs in the loop: what it finds on emulated arms, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from station.jobs import doctor
from tests.emulators.franka import FrankaEmulator
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY, franka_table
from tests.hardware.arms.xarm_bench import needs_sdk
from tests.hardware.arms.xarm_cell import cell_table, tool_at_home, video
from tests.hardware.fakes import Switchboard
from tests.station.conftest import Station

pytestmark = [pytest.mark.realtime, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own libraries are another test's business."""
    monkeypatch.setattr(doctor, "LIBRARIES", ())
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path / "sessions"))


@pytest.fixture(scope="module")
def emulator() -> Iterator[XArmEmulator]:
    with XArmEmulator() as running:
        yield running


def task_file(folder: Path, cell: dict[str, Any]) -> Path:
    """As people write it: what the cell is made of stands beside it."""
    beside = {name: cell.pop(name) for name in ("arms", "cameras", "safety")}
    path = folder / "task.toml"
    task = {
        "name": "emulated",
        "n_action_steps": 4,
        "cell": cell,
        **beside,
        "policy": {"prediction_horizon": 8},
    }
    path.write_text(tomlkit.dumps(task))
    return path


@pytest.fixture
def xarm(emulator: XArmEmulator, tmp_path: Path) -> dict[str, Any]:
    """The cell of a task file on an emulated xArm."""
    return cell_table(emulator, video(tmp_path / "film.avi"))


class Findings:
    """What the doctor said about each device."""

    def __init__(self, station: Station, path: Path, *words: object) -> None:
        said = json.loads(station("doctor", path, "--seconds", 1.0, *words, "--json").stdout)
        self.ready = bool(said["ready"])
        self._devices = {device["device"]: device for device in said["devices"]}

    def __getitem__(self, device: str) -> dict[str, Any]:
        found: dict[str, Any] = self._devices[device]
        return found

    def refused(self, device: str) -> str:
        """Why this device is not ready, and what is to be done."""
        assert not self.ready
        assert not self[device]["ready"]
        wrong = [*self[device]["problems"], *(limit for limit in self[device]["limits"] if not limit["ok"])]
        return " ".join(f"{each.get('name', '')} {each['detail']} {each['remedy']}" for each in wrong)


@needs_sdk
def test_an_xarm_with_its_gripper_and_a_camera_is_measured(
    station: Station, tmp_path: Path, xarm: dict[str, Any]
) -> None:
    found = Findings(station, task_file(tmp_path, xarm))
    assert found.ready
    arm, gripper, camera = found["arm arm"], found["gripper of arm"], found["camera third"]
    assert "xArm6, serial XI" in arm["identity"] and "firmware 2.5.0" in arm["identity"]
    assert "Robotiq 2F-85" in gripper["identity"]
    assert arm["rate_hz"] > 80.0 and arm["latency_s"] < 0.1
    assert len(arm["limits"]) == 7 and all(limit["ok"] for limit in arm["limits"])
    assert camera["rate_hz"] > 25.0 and camera["frame_age_s"] < 0.5


@needs_sdk
def test_an_xarm_whose_limits_are_not_all_set_is_refused(
    station: Station, tmp_path: Path, xarm: dict[str, Any]
) -> None:
    del xarm["safety"]["velocity"], xarm["arms"][0]["load_mass"], xarm["arms"][0]["home"]
    found = Findings(station, task_file(tmp_path, xarm))
    assert "velocity" in found.refused("task file") and "home" in found.refused("task file")
    assert "load_mass" in found.refused("arm arm")
    assert found["arm arm"]["rate_hz"] is None  # it was not enabled


@needs_sdk
def test_a_home_outside_the_workspace_is_refused_before_the_arm_goes_there(
    station: Station, tmp_path: Path, xarm: dict[str, Any], emulator: XArmEmulator
) -> None:
    x, y, z = tool_at_home()
    assert emulator.truth()["pose_mm"][:3] != pytest.approx([1000.0 * x, 1000.0 * y, 1000.0 * z], abs=5.0)
    xarm["safety"]["workspaces"][0]["upper"] = (0.56, 0.2, z - 0.02)
    assert "0.020 m outside its workspace" in Findings(station, task_file(tmp_path, xarm)).refused("arm arm")


@needs_sdk
def test_an_emergency_stop_is_refused_until_it_is_released_and_cleared(
    station: Station, tmp_path: Path, xarm: dict[str, Any], emulator: XArmEmulator
) -> None:
    path = task_file(tmp_path, xarm)
    emulator.order("press_estop")
    assert "Emergency Stop Button" in Findings(station, path).refused("arm arm")
    assert "Emergency Stop Button" in Findings(station, path, "--recover").refused("arm arm")
    emulator.order("release_estop")
    assert Findings(station, path)["arm arm"]["faulty"]
    assert Findings(station, path, "--recover").ready
    assert Findings(station, path).ready


@needs_sdk
def test_a_missing_recording_an_address_without_an_arm_and_a_missing_sdk_are_told_apart(
    station: Station, tmp_path: Path, xarm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    xarm["cameras"][0]["path"] = str(tmp_path / "gone.avi")
    xarm["arms"][0]["address"] = "127.0.0.99"
    path = task_file(tmp_path, xarm)
    found = Findings(station, path)
    assert f"there is no {tmp_path / 'gone.avi'}" in found.refused("camera third")
    assert "no xArm answers at 127.0.0.99" in found.refused("arm arm")
    (tmp_path / "xarm").mkdir()
    (tmp_path / "xarm" / "__init__.py").write_text("raise ModuleNotFoundError(name='xarm')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    said = Findings(station, path).refused("arm arm")
    assert "pip install 'station[xarm]'" in said


def test_two_frankas_with_their_hands_are_measured_and_a_pressed_stop_is_told(
    station: Station, tmp_path: Path
) -> None:
    pytest.importorskip("franky", reason=NEEDS_FRANKY)
    pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)
    Switchboard(tmp_path / "board")
    camera = {
        "driver": "file",
        "name": "third",
        "path": str(video(tmp_path / "film.avi")),
        "height": 48,
        "width": 64,
    }
    with FrankaEmulator(2) as emulator:
        path = task_file(tmp_path, franka_table(emulator, tmp_path / "board", cameras=[camera]))
        found = Findings(station, path)
        assert found.ready
        for arm in ("left", "right"):
            assert found[f"arm {arm}"]["rate_hz"] > 50.0
            assert "Franka hand" in found[f"gripper of {arm}"]["identity"]
        emulator.order("press_stop", 0)
        found = Findings(station, path)
        assert "stop button is pressed" in found.refused("arm left")
        assert found["arm right"]["ready"]
        emulator.order("release_stop", 0)
        assert Findings(station, path, "--recover").ready
