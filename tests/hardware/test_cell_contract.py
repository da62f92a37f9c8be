"""What a session relies on, for every cell: simulated, or composed of devices with controllers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datasets.rotation import action_to_pose
from hardware.cell import (
    CellError,
    ClockSpeed,
    NonFiniteCommandError,
    StaleFrameError,
    Step,
    StoppedError,
)
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from tests.hardware.fakes import cell_table, read_cell
from tests.hardware.workplaces import SLOW_WORKPLACES, WORKPLACES, Workplace

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


@pytest.fixture
def place(connected: Workplace) -> Workplace:
    connected.go_home()
    connected.cell.reset_scene(connected.cell.sample_layout(0, "contract", 0))
    connected.cell.observe()  # as an engine does before it makes a plan
    return connected


def run_out(place: Workplace) -> list[Step]:
    steps = []
    while (step := place.cell.advance()) is not None:
        steps.append(step)
    return steps


def test_an_observation_is_what_the_spec_says_and_its_frames_are_not_from_the_future(
    place: Workplace,
) -> None:
    spec, seen = place.cell.spec, place.cell.observe()
    assert seen.proprioception.shape == (spec.dq,) and np.isfinite(seen.proprioception).all()
    assert set(seen.images) == set(seen.image_times) == {camera.name for camera in spec.cameras}
    for camera in spec.cameras:
        assert seen.images[camera.name].shape == (camera.height, camera.width, 3)
        assert 0.0 <= seen.time - seen.image_times[camera.name] < 5.0


def test_a_plan_gives_one_step_a_pose_and_then_none(place: Workplace) -> None:
    plan = place.plan(3)
    place.cell.plan(plan)
    steps = run_out(place)
    np.testing.assert_array_equal([step.action for step in steps], plan)
    assert np.all(np.diff([step.observation.time for step in steps]) > 0.0)
    assert all(step.command_time <= step.observation.time for step in steps)
    assert place.cell.advance() is None


def test_what_was_sent_is_an_action_near_the_one_asked_for(place: Workplace) -> None:
    place.cell.plan(place.plan(5))
    last = run_out(place)[-1]
    assert last.sent.shape == (place.cell.spec.da,)
    assert np.abs(last.sent - last.action).max() < 0.01


def test_a_new_plan_replaces_what_is_left_of_the_old_one(place: Workplace) -> None:
    place.cell.plan(place.plan(6))
    place.cell.advance()
    other = place.plan(2, step=0.005)
    place.cell.plan(other)
    np.testing.assert_array_equal([step.action for step in run_out(place)], other)


def test_a_brake_drops_the_plan(place: Workplace) -> None:
    place.cell.plan(place.plan(6))
    place.cell.advance()
    place.cell.brake()
    assert place.cell.advance() is None


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_plan_that_is_not_finite_is_refused_and_drops_the_old_one(place: Workplace, poison: float) -> None:
    place.cell.plan(place.plan(6))
    poisoned = place.plan(2)
    poisoned[1, 2] = poison
    with pytest.raises(NonFiniteCommandError, match="braked"):
        place.cell.plan(poisoned)
    assert place.cell.advance() is None


def test_a_plan_of_the_wrong_shape_is_refused_in_words(place: Workplace) -> None:
    with pytest.raises(CellError, match="this cell takes"):
        place.cell.plan(np.zeros((2, place.cell.spec.da + 1), np.float32))


def test_a_set_latch_forbids_every_motion_until_it_is_re_armed(place: Workplace) -> None:
    place.cell.plan(place.plan(6))
    place.cell.advance()
    place.latch.stop()
    with pytest.raises(StoppedError, match=r"[Rr]e-arm"):
        run_out(place)
    with pytest.raises(StoppedError):
        place.cell.plan(place.plan(2))
    with pytest.raises(StoppedError):
        place.cell.begin_homing()
    place.latch.rearm()
    place.cell.plan(place.plan(2))
    assert len(run_out(place)) == 2


def test_a_latch_that_is_set_on_the_way_home_stops_that_too(place: Workplace) -> None:
    place.cell.plan(place.plan(8, step=0.02))
    run_out(place)
    place.cell.begin_homing()
    place.cell.advance_homing()
    place.latch.stop()
    with pytest.raises(StoppedError):
        any(place.cell.advance_homing() for _ in range(100))


@pytest.mark.slow
def test_homing_can_be_braked_and_begun_again(place: Workplace) -> None:
    at_home = place.cell.observe().proprioception
    place.cell.plan(place.plan(8, step=0.02))
    run_out(place)
    place.cell.begin_homing()
    place.cell.advance_homing()
    place.cell.brake()
    place.go_home()
    np.testing.assert_allclose(place.cell.observe().proprioception, at_home, atol=0.05)


def test_a_camera_that_falls_silent_stops_the_motion(place: Workplace) -> None:
    place.cell.plan(place.plan(20, step=0.002))
    place.cell.advance()
    place.silence_cameras()
    with pytest.raises(StaleFrameError, match="braked"):
        run_out(place)
    assert not all(check.ok for check in place.cell.preflight())
    place.wake_cameras()


def test_a_healthy_cell_passes_its_preflight_and_what_fails_has_a_remedy(place: Workplace) -> None:
    assert [check.name for check in place.cell.preflight() if not check.ok] == []
    place.latch.stop()
    [failed] = [check for check in place.cell.preflight() if not check.ok]
    assert failed.name == "stop latch" and failed.remedy


def test_layouts_follow_a_seeded_schedule_and_their_pictures_fit_the_cameras(place: Workplace) -> None:
    cell = place.cell
    assert cell.sample_layout(1, "a", 2) == cell.sample_layout(1, "a", 2)
    pictures = cell.layout_picture(cell.sample_layout(1, "a", 3))
    shapes = {camera.name: (camera.height, camera.width, 3) for camera in cell.spec.cameras}
    assert all(picture.shape == shapes[name] for name, picture in pictures.items())


def test_health_tells_the_rate_and_the_age_of_every_camera(place: Workplace) -> None:
    place.cell.plan(place.plan(4))
    run_out(place)
    health = place.cell.health()
    assert health.achieved_hz > 1.0
    assert set(health.frame_age) == {camera.name for camera in place.cell.spec.cameras}


def test_a_real_cell_has_one_clock(place: Workplace) -> None:
    place.cell.set_speed(ClockSpeed.REAL)
    if not place.cell.simulated:
        with pytest.raises(CellError, match="1x"):
            place.cell.set_speed(ClockSpeed.VIRTUAL)


def test_real_arms_may_be_observed_by_their_poses(tmp_path: Path) -> None:
    cell = RobotCell(
        read_cell(cell_table(tmp_path / "board", proprioception="pose")), StopLatch(tmp_path / "latch")
    )
    cell.connect()
    try:
        seen = cell.observe().proprioception
        report = cell.team.processes["left"].report()
    finally:
        cell.close()
    assert report is not None
    position, quaternion, _ = action_to_pose(seen, cell.spec.action)
    np.testing.assert_allclose(position, report.measured_position, atol=1e-4)
    assert abs(float(quaternion @ report.measured_quaternion)) > 1 - 1e-6
    assert seen.shape == (cell.spec.dq,) == (7,) and 0.0 <= seen[6] <= 1.0


def test_a_cell_that_was_never_connected_can_be_braked_and_closed(tmp_path: Path) -> None:
    cell = RobotCell(read_cell(cell_table(tmp_path / "board")), StopLatch(tmp_path / "latch"))
    cell.brake()
    cell.close()
    cell.close()
