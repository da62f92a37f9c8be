"""What a session relies on, for every cell: simulated, or composed of devices with controllers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path

import numpy as np
import pytest

from datasets.rotation import action_to_pose
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from station.testing.cell import RULES, Rule, Workplace, homing_can_be_braked_and_begun_again
from tests.hardware.fakes import cell_table, read_cell
from tests.hardware.workplaces import SLOW_WORKPLACES, WORKPLACES

pytestmark = pytest.mark.realtime


@pytest.fixture(
    scope="module",
    params=[*WORKPLACES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_WORKPLACES)],
)
def connected(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workplace]:
    with {**WORKPLACES, **SLOW_WORKPLACES}[request.param](tmp_path_factory.mktemp("cell")) as workplace:
        yield workplace


def named(rule: Rule) -> str:
    return rule.__name__ if isfunction(rule) else f"{rule.func.__name__}_{rule.keywords}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, marks=pytest.mark.slow if rule is homing_can_be_braked_and_begun_again else ())
        for rule in RULES
    ],
    ids=[named(rule) for rule in RULES],
)
def test_every_cell_keeps_the_contract(connected: Workplace, rule: Rule) -> None:
    connected.prepare()
    rule(connected)


def test_real_arms_may_be_observed_by_their_poses(tmp_path: Path) -> None:
    cell = RobotCell(
        read_cell(cell_table(tmp_path / "board", proprioception="pose")), StopLatch(tmp_path / "latch")
    )
    cell.connect()
    try:
        seen = cell.observe().proprioception
        report = cell.arm_group.processes["left"].report()
    finally:
        cell.close()
    assert report is not None
    position, quaternion, _ = action_to_pose(seen, cell.spec.action)
    np.testing.assert_allclose(position, report.measured_position, atol=1e-4)
    assert abs(float(quaternion @ report.measured_quaternion)) > 1 - 1e-6
    assert seen.shape == (cell.spec.proprioception_dim,) == (7,) and 0.0 <= seen[6] <= 1.0


@pytest.mark.slow
def test_a_cell_that_was_never_connected_can_be_braked_and_closed(tmp_path: Path) -> None:
    cell = RobotCell(read_cell(cell_table(tmp_path / "board")), StopLatch(tmp_path / "latch"))
    cell.brake()
    cell.close()
    cell.close()
