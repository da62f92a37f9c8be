"""The doctor of a cell: every device answered for, whatever is missing, and nothing called ready that is not."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datasets.kinematics import ARMS
from hardware.cell import CellError, Check
from hardware.latch import StopLatch
from hardware.plan import Vector
from hardware.robot.cell import RobotCell
from hardware.robot.examination import DeviceReport, Examination, as_plain, examine
from hardware.robot.interlocks import home_inside, limits_set
from hardware.robot.process import ControllerProcess
from hardware.robot.settings import RobotCellSettings
from tests.hardware.fakes import HOME, Switch, Switchboard, cell_table, read_cell

pytestmark = pytest.mark.realtime

FAKE_BEGINS = (HOME[0] + 0.05, *HOME[1:])
"""Where a fake arm stands before it was ever sent home."""


@pytest.fixture
def board(tmp_path: Path) -> Switchboard:
    return Switchboard(tmp_path / "board")


def looked_at(folder: Path, *, hold: bool = True, **changes: Any) -> dict[str, DeviceReport]:
    settings = RobotCellSettings.model_validate(cell_table(folder / "board", **changes))
    reports = examine(settings, folder / "latch", seconds=0.5, hold=hold)
    return {report.device: report for report in reports}


@pytest.mark.usefixtures("board")
@pytest.mark.slow
def test_a_whole_cell_is_measured_at_work(tmp_path: Path) -> None:
    found = looked_at(tmp_path, arms=2)
    assert list(found) == [
        "task file",
        "arm left",
        "gripper of left",
        "arm right",
        "gripper of right",
        "camera scene",
    ]
    assert all(report.ready for report in found.values()), [r.problems for r in found.values()]
    arm, camera = found["arm left"], found["camera scene"]
    assert arm.identity == "fake, serial F1, firmware 1.0"
    assert arm.rate is not None and 80.0 < arm.rate < 110.0
    assert arm.latency is not None and 0.0 < arm.latency < 0.1
    assert [limit.name for limit in arm.limits] == ["collision sensitivity"]
    assert camera.rate is not None and 20.0 < camera.rate < 60.0
    assert camera.frame_age is not None and camera.frame_age < 0.2
    json.dumps([as_plain(report) for report in found.values()])


@pytest.mark.slow
def test_looking_moves_no_arm(tmp_path: Path, board: Switchboard) -> None:
    settings = RobotCellSettings.model_validate(cell_table(tmp_path / "board"))
    with Examination(settings, tmp_path / "latch") as examination:
        examination.measure(0.5)
        (arm,) = examination._arm_group.reports
    assert board[Switch.COMMANDS] > 20
    assert arm.last_motion == 0.0
    assert math.isclose(board[Switch.OPENING], 0.08)


@pytest.mark.slow
def test_arms_are_not_even_enabled_where_that_is_not_wanted(tmp_path: Path, board: Switchboard) -> None:
    found = looked_at(tmp_path, hold=False)
    assert board[Switch.COMMANDS] == 0
    assert found["arm left"].rate is None
    assert found["arm left"].ready


@pytest.mark.slow
def test_a_cell_whose_limits_are_not_set_is_not_ready_and_no_arm_is_enabled(
    tmp_path: Path, board: Switchboard
) -> None:
    table = cell_table(tmp_path / "board")
    del table["safety"]["velocity"]
    reports = examine(RobotCellSettings.model_validate(table), tmp_path / "latch", seconds=0.2)
    assert not reports[0].ready
    assert "velocity" in reports[0].problems[0].detail
    assert "[safety]" in reports[0].problems[0].remedy
    assert board[Switch.COMMANDS] == 0


@pytest.mark.slow
def test_an_arm_that_is_not_reached_and_has_no_home_yet_is_told_and_not_looked_for_at_home(
    tmp_path: Path, board: Switchboard
) -> None:
    board[Switch.LINK] = 1
    table = cell_table(tmp_path / "board")
    table["arms"][0]["home"] = []
    reports = examine(RobotCellSettings.model_validate(table), tmp_path / "latch", seconds=0.2)
    told = [problem.name for report in reports for problem in report.problems]
    assert "home pose of left" in told and not any(report.ready for report in reports[:2])


@pytest.mark.slow
def test_a_vendor_side_limit_that_is_not_set_is_not_ready(tmp_path: Path, board: Switchboard) -> None:
    board[Switch.UNSAFE] = 1
    found = looked_at(tmp_path)
    assert not found["arm left"].ready
    assert found["arm left"].rate is None
    assert found["camera scene"].ready


@pytest.mark.parametrize(
    ("switch", "device", "said"),
    [
        (Switch.LINK, "arm left", "Check its cable"),
        (Switch.FAULT, "arm left", "Free the arm"),
        (Switch.GRIPPER_LINK, "gripper of left", "no answer"),
    ],
)
@pytest.mark.slow
def test_one_broken_device_does_not_hide_the_others(
    tmp_path: Path, board: Switchboard, switch: Switch, device: str, said: str
) -> None:
    board[switch] = 1
    found = looked_at(tmp_path)
    assert said in found[device].problems[0].detail
    assert found["camera scene"].ready


@pytest.mark.slow
def test_a_silent_camera_is_named_and_the_arm_is_measured_all_the_same(
    tmp_path: Path, board: Switchboard
) -> None:
    board[Switch.CAMERA] = 1
    found = looked_at(tmp_path)
    assert "no frame" in found["camera scene"].problems[0].detail
    assert found["arm left"].rate is not None


@pytest.mark.slow
def test_a_stop_while_the_arms_hold_ends_the_measurement_with_that_reason(
    tmp_path: Path, board: Switchboard
) -> None:
    latch = StopLatch(tmp_path / "latch")
    latch.stop()
    found = looked_at(tmp_path)
    assert "stop" in found["arm left"].problems[0].detail
    assert board[Switch.COMMANDS] == 0


@pytest.mark.slow
def test_a_cell_whose_home_lies_outside_its_workspace_is_not_ready_and_starts_nothing(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board", gripper=False)
    table["safety"]["workspaces"][0]["upper"] = [0.7, 0.3, 0.29]
    table["arms"][0]["home"] = FAKE_BEGINS
    arm = {
        report.device: report
        for report in examine(RobotCellSettings.model_validate(table), tmp_path / "latch", seconds=0.2)
    }["arm left"]
    assert not arm.ready
    assert "0.010 m outside its workspace" in arm.problems[0].detail
    cell = RobotCell(RobotCellSettings.model_validate(table), StopLatch(tmp_path / "latch"))
    cell.connect()
    with pytest.raises(CellError, match=r"Not started\. home of left: .* 0\.010 m outside its workspace"):
        cell.reset_scene({})
    cell.close()


@dataclass(frozen=True)
class Standing:
    """An arm's controller as far as interlocks look at it."""

    joints: Vector
    measured_position: Vector
    moving: bool = False

    def report(self) -> Standing:
        return self


@pytest.mark.parametrize(
    ("arm", "home"),
    [
        ({"driver": "xarm", "joints": 6}, (0.0, -0.3, -0.8, 0.0, 1.1, 0.0)),
        ({"driver": "xarm", "joints": 7}, (0.0, -0.2, 0.0, 0.9, 0.0, 1.1, 0.0)),
        ({"driver": "franka"}, (0.0, -0.7854, 0.0, -2.3562, 0.0, 1.5708, 0.7854)),
    ],
)
def test_whether_home_is_inside_is_told_wherever_the_arm_stands(
    arm: dict[str, Any], home: tuple[float, ...]
) -> None:
    offset = np.array([0.03, 0.0, 0.17])

    def tool(joints: Vector) -> Vector:
        flange = ARMS[settings.arms[0].geometry].forward(joints[None])[0]
        point: Vector = flange[:3] + Rotation.from_quat(flange[3:]).apply(offset)
        return point

    table = {**arm, "name": "arm", "address": "127.0.0.1", "home": home}
    workspace = {"arm": "arm", "lower": [-1.0, -1.0, -1.0], "upper": [1.0, 1.0, 1.0]}
    camera = {"driver": "file", "name": "scene", "path": "film.mp4"}
    cell = {"kind": "robot", "arms": [table], "cameras": [camera], "safety": {"workspaces": [workspace]}}
    settings = read_cell(cell)
    at_home = tool(np.array(home))
    joints = np.array(home) + np.linspace(-0.6, 0.9, len(home))
    stands = {"arm": cast("ControllerProcess", Standing(joints, tool(joints)))}
    [inside] = home_inside(settings, stands)
    assert inside.ok

    workspace["upper"] = [1.0, 1.0, float(at_home[2]) - 0.05]
    [outside] = home_inside(read_cell(cell), stands)
    assert not outside.ok and "0.050 m outside its workspace" in outside.detail


def test_a_boundary_that_does_not_hold_the_whole_workspace_lets_nothing_move() -> None:
    def checked(**corners: tuple[float, float, float]) -> list[Check]:
        arm = {"driver": "xarm", "name": "arm", "address": "127.0.0.1", "home": [0.0] * 6, **corners}
        workspace = {"arm": "arm", "lower": [0.2, -0.3, 0.05], "upper": [0.7, 0.3, 0.5]}
        camera = {"driver": "file", "name": "scene", "path": "film.mp4"}
        safety = {"workspaces": [workspace], "velocity": 0.3, "acceleration": 2.0}
        cell = read_cell({"kind": "robot", "arms": [arm], "cameras": [camera], "safety": safety})
        return [check for check in limits_set(cell) if not check.ok]

    assert not checked()
    assert not checked(boundary_lower=(0.2, -0.3, 0.05), boundary_upper=(0.7, 0.3, 0.6))
    [check] = checked(boundary_lower=(0.1, -0.4, 0.0), boundary_upper=(0.8, 0.2, 0.4))
    assert "y of the workspace is -0.3 to 0.3 m, of the boundary -0.4 to 0.2 m" in check.detail
    assert "z of the workspace is 0.05 to 0.5 m, of the boundary 0 to 0.4 m" in check.detail
