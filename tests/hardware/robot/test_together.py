"""Which of two arms go home at once, which one after the other, and which not at all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from hardware.controller.way import WayError
from hardware.latch import StopLatch
from hardware.plan import Vector
from hardware.robot.cell import RobotCell
from hardware.robot.together import groups
from hardware.settings import Vector3
from hardware.wire import Mode, Report
from tests.hardware.fakes import cell_table, read_cell

pytestmark = pytest.mark.realtime


@dataclass(kw_only=True)
class Standing:
    """What is asked of a report here: the fakes' joints are where the tool is, and how it is turned."""

    joints: Vector
    measured_quaternion: Vector = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))

    @property
    def measured_position(self) -> Vector:
        return self.joints[:3]


def ordered(
    left: Vector3,
    right: Vector3,
    *,
    homes: tuple[Vector3, Vector3] = ((0.4, 0, 0.3), (0.4, 0, 0.3)),
    apart: float = 0.3,
) -> list[tuple[str, ...]]:
    """Who goes when: two fakes side by side along y, `apart` m; places in each arm's own frame, m."""
    table = cell_table(Path("board"), arms=2)
    for number, (arm, home) in enumerate(zip(table["arms"], homes, strict=True)):
        arm |= {"base_position": [0.0, apart * number, 0.0], "home": (*home, 0.0, 0.0, 0.0)}
    places = {"left": left, "right": right}
    reports = {name: Standing(joints=np.array([*place, 0, 0, 0])) for name, place in places.items()}
    return groups(read_cell(table), cast("dict[str, Report | None]", reports))


def test_arms_whose_ways_are_clear_of_each_other_go_home_at_once() -> None:
    assert ordered((0.5, 0.0, 0.3), (0.5, 0.1, 0.2)) == [("left", "right")]


def test_the_one_that_clears_the_way_goes_first() -> None:
    assert ordered((0.5, 0.1, 0.3), (0.5, 0.05, 0.3)) == [("left", "right")]
    assert ordered((0.5, 0.12, 0.3), (0.4, -0.05, 0.3), homes=((0.4, -0.1, 0.3), (0.4, -0.1, 0.3))) == [
        ("left",),
        ("right",),
    ]
    assert ordered((0.4, 0.05, 0.3), (0.5, -0.12, 0.3), homes=((0.4, 0.1, 0.3), (0.4, 0.1, 0.3))) == [
        ("right",),
        ("left",),
    ]


def test_arms_that_would_have_to_pass_through_each_other_are_refused_before_one_moves() -> None:
    with pytest.raises(
        WayError, match=r"left and right: neither can go home past the other: .*within 0.0\d m"
    ):
        ordered((0.4, 0.3, 0.3), (0.4, -0.3, 0.3))


def test_arms_that_stand_too_near_to_each_other_may_part() -> None:
    assert ordered((0.4, 0.08, 0.3), (0.4, -0.05, 0.3)) == [("left",), ("right",)]


@pytest.mark.slow
def test_two_arms_go_home_at_the_same_time(tmp_path: Path) -> None:
    table = cell_table(tmp_path / "board", arms=2, gripper=False)
    table["safety"] |= {"heartbeat": 2.0, "velocity": 0.05}
    cell = RobotCell(read_cell(table), StopLatch(tmp_path / "stop.latch"))
    cell.connect()
    try:
        cell.begin_homing()
        modes: list[set[Mode]] = []
        deadline = time.monotonic() + 60.0
        while not cell.advance_homing():
            assert time.monotonic() < deadline
            modes.append({report.mode for report in cell.arm_group.reports})
        assert {Mode.HOMING} in modes, "both were on the way together"
        assert all(cell.arm_group.reports[k].homings == 1 for k in (0, 1))
    finally:
        cell.close()
