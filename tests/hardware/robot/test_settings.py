"""A cell of real devices is read from a task file, and what is wrong with it is said where it stands."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from datasets.spec import Rotation
from station.tasks.config import TaskError, parse_task, task_to_toml
from tests.hardware.fakes import FakeArmSettings, cell_table, read_cell


def problem(table: dict[str, Any]) -> str:
    with pytest.raises(TaskError) as caught:
        parse_task({"name": "mine", "cell": table}, source="mine.toml")
    return str(caught.value)


def test_one_arm_with_a_gripper_gives_joints_and_opening_as_the_simulated_cell_does(tmp_path: Path) -> None:
    spec = read_cell(cell_table(tmp_path / "board")).spec
    assert spec.proprioception == (*(f"joint_{n}" for n in range(1, 7)), "gripper")
    assert (spec.da, spec.action.arms, spec.control_hz) == (7, 1, 10.0)


def test_two_arms_stand_one_after_the_other_under_their_names(tmp_path: Path) -> None:
    cell = read_cell(cell_table(tmp_path / "board", arms=2, rotation="rot6d"))
    assert cell.spec.proprioception[6:8] == ("left_gripper", "right_joint_1")
    assert (cell.rotation, cell.spec.da) == (Rotation.ROT6D, 20)


def test_a_cell_may_observe_poses_instead_of_joint_angles(tmp_path: Path) -> None:
    two = read_cell(cell_table(tmp_path / "board", arms=2, proprioception="pose"))
    pose = ("pose_x", "pose_y", "pose_z", "pose_r1", "pose_r2", "pose_r3", "gripper")
    assert two.spec.proprioception == tuple(f"{arm}_{name}" for arm in ("left", "right") for name in pose)
    assert two.spec.observes_pose and not read_cell(cell_table(tmp_path / "board")).spec.observes_pose


def test_without_a_gripper_there_is_none_in_actions(tmp_path: Path) -> None:
    spec = read_cell(cell_table(tmp_path / "board", gripper=False)).spec
    assert spec.da == 6 and "gripper" not in spec.proprioception


def test_each_device_is_read_by_its_drivers_own_settings(tmp_path: Path) -> None:
    [arm] = read_cell(cell_table(tmp_path / "board")).arms
    assert isinstance(arm, FakeArmSettings) and arm.switchboard == tmp_path / "board"


def as_file(table: dict[str, Any]) -> dict[str, Any]:
    """A task file's content, whose devices and limits stand beside the cell."""
    beside = {name: table.pop(name) for name in ("arms", "cameras", "safety")}
    return {"name": "mine", "cell": table, **beside}


def problem_in_file(content: dict[str, Any]) -> str:
    with pytest.raises(TaskError) as caught:
        parse_task(content, source="mine.toml")
    return str(caught.value)


def test_devices_and_limits_stand_beside_the_cell_and_are_written_so(tmp_path: Path) -> None:
    content = as_file(cell_table(tmp_path / "board"))
    del content["cell"]["kind"]  # arms say enough
    task = parse_task(content, source="mine.toml")
    assert task.cell == read_cell(cell_table(tmp_path / "board"))
    written = tomllib.loads(task_to_toml(task))
    assert {"arms", "cameras", "safety"} <= set(written)
    assert not {"arms", "cameras", "safety"} & set(written["cell"])
    assert parse_task(written, source="copy") == task


def test_a_mistake_in_a_device_is_named_as_it_stands_with_the_nearest_setting(tmp_path: Path) -> None:
    content = as_file(cell_table(tmp_path / "board"))
    content["arms"][0]["switchbord"] = "x"
    content["arms"][0]["gripper"]["drivr"] = "x"
    content["safety"] |= {"velocty": 0.1, "acceleration": 100.0}
    said = problem_in_file(content)
    assert "arms[0].switchbord: there is no such setting. Did you mean 'switchboard'?" in said
    assert "arms[0].gripper.drivr: there is no such setting. Did you mean 'driver'?" in said
    assert "[safety] velocty: there is no such setting. Did you mean 'velocity'?" in said
    assert "[safety] acceleration = 100.0: must be more than 0 and at most 20." in said
    assert "cell" not in said


def test_a_wrong_arm_is_not_said_to_be_missing_as_well(tmp_path: Path) -> None:
    content = as_file(cell_table(tmp_path / "board"))
    content["arms"][0]["switchbord"] = "x"
    content["cameras"] = [{**content["cameras"][0], "heigt": 3}]
    assert len(problem_in_file(content).splitlines()) == 2
    content["arms"] = []
    assert "[[arms]]: " in problem_in_file(content)


def test_a_mistake_inside_the_cell_is_named_there(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    table["arms"][0]["switchbord"] = "x"
    assert "cell.arms[0].switchbord: there is no such setting." in problem(table)


def test_a_misspelt_table_is_answered_with_the_nearest(tmp_path: Path) -> None:
    content = as_file(cell_table(tmp_path / "board"))
    content["camera"] = content.pop("cameras")
    said = problem_in_file(content)
    assert "camera: there is no such" in said and "Did you mean 'cameras'?" in said
    assert "[[cameras]]: this section is missing" in said


def test_a_table_that_stands_in_both_places_is_refused(tmp_path: Path) -> None:
    content = as_file(cell_table(tmp_path / "board"))
    content["cell"]["safety"] = {"velocity": 0.1}
    assert "[safety] is also inside [cell]" in problem_in_file(content)


def test_a_driver_that_does_not_exist_is_answered_with_the_nearest(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    table["arms"][0]["driver"] = "xram"
    assert "Did you mean 'xarm'?" in problem(table)


def test_arms_of_the_same_name_and_a_home_of_the_wrong_length_are_refused(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board", arms=2)
    table["arms"][1]["name"] = "left"
    assert "two of the arms have the same name" in problem(table)
    table = cell_table(tmp_path / "board")
    table["arms"][0]["home"] = [0.0, 1.0]
    assert "home of left has 2 angles" in problem(table)


def test_numbers_in_degrees_and_millimetres_are_refused_before_an_arm_is_told_them(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    table["arms"][0]["home"] = [0.0, -17.0, -46.0, 0.0, 63.0, 0.0]
    assert "home = [0.0, -17.0, -46.0, 0.0, 63.0, 0.0]: -17 is too much: it is in rad" in problem(table)
    table = cell_table(tmp_path / "board")
    table["arms"][0]["base_rotation"] = [0.0, 0.0, 180.0]
    assert "Is it in degrees?" in problem(table)
    for wrong in ([200, -400, 10], [math.nan, 0.0, 0.0]):
        table = cell_table(tmp_path / "board")
        table["safety"]["workspaces"][0]["lower"] = wrong
        assert "it is in m, at most 5. Is it in mm?" in problem(table)


def test_the_controller_rate_has_its_range(tmp_path: Path) -> None:
    assert "from 100 to 250" in problem(cell_table(tmp_path / "board", controller_hz=50))


def test_real_devices_make_one_cell(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="of real devices there is one"):
        parse_task(
            {"name": "mine", "cell": cell_table(tmp_path / "board"), "session": {"cells": 2}}, source="mine"
        )


def test_limits_that_are_not_set_make_no_broken_file_but_a_cell_that_does_not_start(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    del table["safety"]
    assert read_cell(table).safety.missing(["left"]) == (
        "workspaces (arm = 'left')",
        "velocity",
        "acceleration",
    )
