"""A cell of real devices is read from a task file, and what is wrong with it is said where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datasets.spec import Rotation
from station.config import TaskError, parse_task
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


def test_without_a_gripper_there_is_none_in_actions(tmp_path: Path) -> None:
    spec = read_cell(cell_table(tmp_path / "board", gripper=False)).spec
    assert spec.da == 6 and "gripper" not in spec.proprioception


def test_each_device_is_read_by_its_drivers_own_settings(tmp_path: Path) -> None:
    [arm] = read_cell(cell_table(tmp_path / "board")).arms
    assert isinstance(arm, FakeArmSettings) and arm.switchboard == tmp_path / "board"


def test_a_mistake_in_a_device_is_named_with_its_section_and_the_nearest_setting(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    table["arms"][0]["switchbord"] = "x"
    said = problem(table)
    assert "[cell.arms.#1] switchbord: there is no such setting. Did you mean 'switchboard'?" in said


def test_a_driver_that_does_not_exist_is_answered_with_the_nearest(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board")
    table["arms"][0]["driver"] = "xram"
    assert "did you mean 'xarm'?" in problem(table)


def test_arms_of_the_same_name_and_a_home_of_the_wrong_length_are_refused(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board", arms=2)
    table["arms"][1]["name"] = "left"
    assert "two of the arms have the same name" in problem(table)
    table = cell_table(tmp_path / "board")
    table["arms"][0]["home"] = [0.0, 1.0]
    assert "home of left has 2 angles" in problem(table)


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
