"""The task files for real robots: the paper's sizes and rates, and no limit that only the user can know."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hardware.robot.interlocks import limits_set
from hardware.robot.settings import RobotCellSettings
from policy.steering.zprl import ZPRLSettings
from station.tasks.config import Task, load_task, parse_task
from station.tasks.shelf import find_task, task_summaries
from tests.station.conftest import Station

TASKS = ("xarm6-place-orange", "franka-open-box")


def cell(task: Task) -> RobotCellSettings:
    assert isinstance(task.cell, RobotCellSettings)
    return task.cell


@pytest.mark.parametrize(
    ("name", "rate", "proprioception_dim", "da", "images"),
    [
        ("xarm6-place-orange", 30.0, 7, 7, {"third": (110, 280)}),
        (
            "franka-open-box",
            20.0,
            16,
            16,
            {"third": (128, 128), "wrist_left": (128, 128), "wrist_right": (128, 128)},
        ),
    ],
)
def test_a_step_has_the_papers_rate_and_sizes(
    name: str, rate: float, proprioception_dim: int, da: int, images: dict[str, tuple[int, int]]
) -> None:
    spec = load_task(name).cell.spec
    assert (spec.control_hz, len(spec.proprioception), spec.da) == (rate, proprioception_dim, da)
    assert {camera.name: (camera.height, camera.width) for camera in spec.cameras} == images


@pytest.mark.parametrize(
    ("name", "lam", "warmup"), [("xarm6-place-orange", 0.2, 300), ("franka-open-box", 0.175, 500)]
)
def test_the_learner_has_the_papers_numbers(name: str, lam: float, warmup: int) -> None:
    task = load_task(name)
    assert isinstance(task.steering, ZPRLSettings)
    assert (task.steering.lam, task.steering.warmup_chunks, task.steering.utd) == (lam, warmup, 2.0)
    assert (task.bottleneck.dz, task.n_action_steps, task.policy.prediction_horizon) == (32, 16, 16)


@pytest.mark.parametrize("name", TASKS)
def test_no_limit_is_guessed_for_the_user(name: str) -> None:
    unset = [check for check in limits_set(cell(load_task(name))) if not check.ok]
    arms = cell(load_task(name)).arms
    assert len(unset) == 1 + len(arms)
    for limit in ("workspaces", "velocity", "acceleration"):
        assert limit in unset[0].detail


@pytest.mark.parametrize("name", TASKS)
def test_once_the_lines_marked_set_are_set_nothing_is_missing(name: str) -> None:
    text = find_task(name).read_text(encoding="utf-8")
    key = re.compile(r"^# (?=[a-z_]+ = [\[\"\d]|\[\[)", re.MULTILINE)
    task = parse_task(tomllib.loads(key.sub("", text)), source=name)
    assert [check.detail for check in limits_set(cell(task)) if not check.ok] == []
    for box, arm in zip(cell(task).safety.workspaces, cell(task).arms, strict=True):
        assert box.arm == arm.name
    if name.startswith("xarm"):
        limits: Any = cell(task).arms[0]
        assert limits.load_mass and limits.tcp_position and limits.boundary_lower


@pytest.mark.parametrize("name", TASKS)
def test_the_printed_file_marks_what_is_to_be_set(name: str, station: Station) -> None:
    assert station("tasks", name).stdout == find_task(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TASKS)
def test_the_explained_file_says_the_same(name: str, station: Station, tmp_path: Path) -> None:
    printed = station("tasks", name, "--all")
    path = tmp_path / "mine.toml"
    path.write_text(printed.stdout, encoding="utf-8")
    assert load_task(path) == load_task(name)


def test_the_library_lists_them() -> None:
    assert set(TASKS) <= {summary.name for summary in task_summaries()}
