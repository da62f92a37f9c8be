"""The other arm of a cell, seen from this one's base."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hardware.controller.neighbour import BaseChange, Neighbour
from hardware.mailbox import Mailbox
from hardware.settings import Vector3
from hardware.wire import REPORT_SIZE, Cause, Mode, Report
from tests.hardware.fakes import FakeArmSettings

NOWHERE = np.full(3, np.nan)


def arm(board: Path, name: str, position: Vector3, rotation: Vector3 = (0.0, 0.0, 0.0)) -> FakeArmSettings:
    return FakeArmSettings(name=name, switchboard=board, base_position=position, base_rotation=rotation)


def report(mode: Mode, *, commanded: object = NOWHERE, measured: object = NOWHERE, at: float = 1.0) -> bytes:
    return Report(
        time=at, interval=0.01, mode=mode, cause=Cause.NONE, order=0, dropped=0, homings=0, late=0, overruns=0,
        interventions=0, moving=False, stop_since=0.0, last_motion=0.0, order_delay=0.0, measured_time=at,
        measured_position=np.array(measured, np.float64), measured_quaternion=np.array([0.0, 0, 0, 1]),
        joints=np.zeros(6), measured_gripper=1.0, position=np.array(commanded, np.float64),
        quaternion=np.array([0.0, 0, 0, 1]), velocity=np.array([0.1, 0.0, 0.0]), gripper=1.0,
        reasons=np.zeros(3), text="",
    ).encode()  # fmt: skip


@pytest.fixture
def across(tmp_path: Path) -> BaseChange:
    """Two arms that face each other, 1 m apart."""
    own = arm(tmp_path / "board", "left", (0.0, 0.0, 0.0))
    other = arm(tmp_path / "board", "right", (1.0, 0.0, 0.0), (0.0, 0.0, math.pi))
    return BaseChange.between(other, own)


def test_a_point_before_the_other_arm_is_before_this_one(across: BaseChange) -> None:
    reports = Mailbox(size=REPORT_SIZE)
    reports.post(report(Mode.SERVO, commanded=(0.4, 0.1, 0.3)))
    [sphere] = Neighbour(reports, across, 0.1).spheres(1.0)
    np.testing.assert_allclose(sphere.center, (0.6, -0.1, 0.3), atol=1e-9)
    np.testing.assert_allclose(sphere.velocity, (-0.1, 0.0, 0.0), atol=1e-9)
    assert sphere.radius == 0.1


def test_there_and_back_is_where_it_was(tmp_path: Path) -> None:
    one = arm(tmp_path / "board", "left", (0.2, -0.4, 0.1), (0.3, 0.2, -0.5))
    two = arm(tmp_path / "board", "right", (-0.1, 0.5, 0.0), (0.0, 0.4, 1.0))
    there, back = BaseChange.between(one, two), BaseChange.between(two, one)
    point = np.array([0.3, -0.2, 0.4])
    moved = np.array(there.turn) @ point + there.shift
    np.testing.assert_allclose(np.array(back.turn) @ moved + back.shift, point, atol=1e-12)


def test_an_arm_that_goes_home_is_where_it_is_measured_and_its_speed_is_estimated(across: BaseChange) -> None:
    reports = Mailbox(size=REPORT_SIZE)
    neighbour = Neighbour(reports, across, 0.1)
    reports.post(report(Mode.HOMING, measured=(0.4, 0.0, 0.3), at=1.0))
    neighbour.spheres(1.0)
    reports.post(report(Mode.HOMING, measured=(0.41, 0.0, 0.3), at=1.1))
    [sphere] = neighbour.spheres(1.15)
    assert sphere.age == pytest.approx(0.05)
    np.testing.assert_allclose(sphere.velocity, (-0.1, 0.0, 0.0), atol=1e-9)


def test_an_arm_that_nobody_knows_anything_of_is_not_there(across: BaseChange) -> None:
    reports = Mailbox(size=REPORT_SIZE)
    neighbour = Neighbour(reports, across, 0.1)
    assert neighbour.spheres(1.0) == []
    reports.post(report(Mode.OFFLINE))
    assert neighbour.spheres(1.0) == []


def test_an_arm_that_stands_is_not_expected_elsewhere_until_it_is_silent_for_long(across: BaseChange) -> None:
    reports = Mailbox(size=REPORT_SIZE)
    reports.post(report(Mode.PARKED, measured=(0.4, 0.0, 0.3), at=1.0))
    neighbour = Neighbour(reports, across, 0.1)
    assert [neighbour.spheres(now)[0].age for now in (1.05, 2.0)] == [0.0, 1.0]
