"""The simulated cell keeps the promises of `hardware.cell`: exact repetition, limits, stops and clocks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.episode import Ending
from datasets.observation import FloatArray
from datasets.rotation import action_to_pose, pose_to_action
from datasets.spec import Proprioception, Rotation
from hardware.cell import CellError, ClockSpeed, NonFiniteCommandError, StaleFrameError, Step, StoppedError
from hardware.latch import StopLatch
from hardware.simulation.arm import HOME
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import CameraSettings, SimulationSettings

SMALL = SimulationSettings(
    cameras=(
        CameraSettings(name="third", height=16, width=16),
        CameraSettings(name="wrist", height=16, width=16),
    )
)
DOWN = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.fixture
def cell() -> SimulatedCell:
    return SimulatedCell(SMALL)


def wander(steps: int, seed: int = 0) -> FloatArray:
    """A plan that swings about home, turns the wrist and plays with the gripper."""
    rng = np.random.default_rng(seed)
    swing = np.cumsum(rng.normal(0.0, 0.01, (steps, 7)), axis=0)
    plan = np.zeros((steps, 7))
    plan[:, :3] = HOME
    plan[:, 6] = 0.6
    return (plan + swing).astype(np.float32)


def drive(cell: SimulatedCell, plan: FloatArray) -> list[Step]:
    cell.plan(plan)
    return remaining(cell)


def remaining(cell: SimulatedCell) -> list[Step]:
    """The steps of the plan that is posted."""
    steps = []
    while (step := cell.advance()) is not None:
        steps.append(step)
    return steps


def same(first: list[Step], second: list[Step]) -> bool:
    """Bit for bit."""
    return len(first) == len(second) and all(
        np.array_equal(a.observation.proprioception, b.observation.proprioception)
        and np.array_equal(a.sent, b.sent)
        and a.observation.time == b.observation.time
        and a.ending == b.ending
        and all(
            np.array_equal(a.observation.images[n], b.observation.images[n]) for n in a.observation.images
        )
        for a, b in zip(first, second, strict=True)
    )


def test_an_episode_repeats_bit_for_bit_whatever_happened_before(cell: SimulatedCell) -> None:
    layout, plan = cell.sample_layout(3, "test", 0), wander(12)
    cell.reset_scene(layout)
    first = drive(cell, plan)
    cell.reset_scene(cell.sample_layout(3, "test", 1))
    drive(cell, wander(9, seed=5))
    cell.freeze_camera("wrist")
    cell.begin_homing()
    cell.advance_homing()
    cell.reset_scene(layout)
    assert same(first, drive(cell, plan))
    other = SimulatedCell(SMALL)
    other.reset_scene(layout)
    assert same(first, drive(other, plan))


def test_a_saved_state_continues_bit_for_bit_in_another_cell(cell: SimulatedCell) -> None:
    cell.reset_scene(cell.sample_layout(1, "test", 0))
    cell.plan(wander(20))
    for _ in range(7):
        cell.advance()
    state = cell.save_state()
    rest = remaining(cell)
    other = SimulatedCell(SMALL)
    drive(other, wander(5, seed=2))
    other.restore_state(state)
    assert len(rest) == 13 and same(rest, remaining(other))
    cell.restore_state(state)
    assert same(rest, remaining(cell))


def test_images_taken_or_not_do_not_change_the_motion(cell: SimulatedCell) -> None:
    layout, plan = cell.sample_layout(0, "test", 0), wander(10)
    blind = SimulatedCell(SMALL, render="on_observe")
    cell.reset_scene(layout)
    blind.reset_scene(layout)
    seen, unseen = drive(cell, plan), drive(blind, plan)
    assert all(
        np.array_equal(a.observation.proprioception, b.observation.proprioception)
        for a, b in zip(seen, unseen, strict=True)
    )
    assert unseen[-1].observation.image_times["third"] == 0.0
    assert np.array_equal(blind.observe().images["third"], seen[-1].observation.images["third"])
    assert blind.observe().image_times["third"] == blind.observe().time


def test_layouts_depend_on_seed_purpose_and_ordinal_only(cell: SimulatedCell) -> None:
    assert cell.sample_layout(1, "a", 2) == SimulatedCell(SMALL).sample_layout(1, "a", 2)
    others = [cell.sample_layout(1, "a", 3), cell.sample_layout(1, "b", 2), cell.sample_layout(2, "a", 2)]
    assert cell.sample_layout(1, "a", 2) not in others


def test_cells_in_threads_do_not_disturb_each_other() -> None:
    cells = [SimulatedCell(SMALL) for _ in range(2)]
    plan, results = wander(10), dict[int, list[Step]]()
    layout = cells[0].sample_layout(0, "test", 0)

    def work(index: int) -> None:
        cells[index].reset_scene(layout)
        results[index] = drive(cells[index], plan)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(results[0], results[1])


@pytest.mark.parametrize("rotation", list(Rotation))
def test_every_rotation_representation_moves_the_tool_alike(rotation: Rotation) -> None:
    cell = SimulatedCell(SMALL.model_copy(update={"rotation": rotation}))
    yaw = 0.4
    quaternion = np.array([np.cos(yaw / 2), -np.sin(yaw / 2), 0.0, 0.0])
    action = pose_to_action(np.array([0.40, 0.05, 0.22]), quaternion, 0.3, cell.spec.action)
    drive(cell, np.repeat(action[None], 8, axis=0))
    position, reached, opening = cell.tool_pose
    assert np.abs(position - [0.40, 0.05, 0.22]).max() < 1e-3
    assert abs(reached @ quaternion) > 0.9999
    assert abs(opening - 0.3) < 0.02


@pytest.mark.parametrize("rate", [10, 20, 30])
def test_time_advances_by_control_periods_at_every_rate(rate: int) -> None:
    cell = SimulatedCell(SMALL.model_copy(update={"control_hz": rate}), render="on_observe")
    steps = drive(cell, wander(5))
    assert np.allclose([s.observation.time for s in steps], (np.arange(5) + 1) / rate)
    assert np.allclose([s.command_time for s in steps], np.arange(5) / rate)


def test_the_tool_follows_a_moving_target_closely() -> None:
    cell = SimulatedCell(SMALL, render="on_observe")
    plan = np.zeros((12, 7), np.float32)
    plan[:, 0], plan[:, 1], plan[:, 2], plan[:, 6] = HOME[0], np.arange(1, 13) * 0.03, HOME[2], 1.0
    errors = []
    cell.plan(plan)
    for target in plan:
        cell.advance()
        errors.append(np.linalg.norm(cell.tool_pose[0] - target[:3]))
    assert np.mean(errors) < 0.003


def test_a_target_beyond_the_limits_is_changed_and_the_change_recorded(cell: SimulatedCell) -> None:
    far = np.array([[2.0, 0.0, 0.3, 0.0, 0.0, 2.0, 1.7]], np.float32)
    step = drive(cell, far)[0]
    assert np.array_equal(step.action, far[0])
    assert step.sent[0] < HOME[0] + cell.settings.limits.speed * cell.spec.dt + 1e-6
    assert step.sent[5] < cell.settings.limits.turn_rate * cell.spec.dt + 1e-6
    assert step.sent[6] == 1.0
    assert cell.health().interventions == 1


def test_an_allowed_action_is_sent_unchanged(cell: SimulatedCell) -> None:
    for step in drive(cell, wander(4)):
        assert np.array_equal(step.action, step.sent)
    assert cell.health().interventions == 0


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_plan_with_non_finite_numbers_is_refused_and_the_arm_braked(
    cell: SimulatedCell, poison: float
) -> None:
    cell.plan(wander(10))
    cell.advance()
    bad = wander(3)
    bad[1, 2] = poison
    with pytest.raises(NonFiniteCommandError, match="braked"):
        cell.plan(bad)
    assert cell.advance() is None
    assert joint_speed(cell) < 0.02


def test_a_plan_of_the_wrong_shape_is_refused(cell: SimulatedCell) -> None:
    with pytest.raises(CellError, match=r"\[n, 7\]"):
        cell.plan(np.zeros((3, 6), np.float32))


def joint_speed(cell: SimulatedCell) -> float:
    """Fastest joint over the next tenth of a second of holding, rad/s."""
    position, quaternion, opening = cell.tool_pose
    before = cell.observe().proprioception[:6]
    drive(cell, pose_to_action(position, quaternion, opening, cell.spec.action)[None])
    return float(np.abs(cell.observe().proprioception[:6] - before).max() * 10.0)


def test_the_stop_latch_stops_between_two_ticks_of_a_control_period(tmp_path: Path) -> None:
    latch = LatchAfter(tmp_path / "stop", reads=20)
    cell = SimulatedCell(SMALL, latch)
    with pytest.raises(StoppedError, match="Re-arm"):
        drive(cell, wander(10))
    braking = 0.1
    assert 0.1 + braking < cell.time < 0.2 + braking
    with pytest.raises(StoppedError):
        cell.plan(wander(2))
    with pytest.raises(StoppedError):
        cell.begin_homing()
    latch.rearm()
    assert len(drive(cell, wander(2))) == 2


class LatchAfter(StopLatch):
    """Someone hits stop while the latch is being read for the n-th time."""

    def __init__(self, path: Path, reads: int) -> None:
        super().__init__(path)
        self.reads_before_stop = reads

    @property
    def latched(self) -> bool:
        self.reads_before_stop -= 1
        if self.reads_before_stop == 0:
            self.stop()
        return super().latched


def test_a_camera_that_stops_delivering_stops_the_motion(cell: SimulatedCell) -> None:
    cell.freeze_camera("wrist")
    with pytest.raises(StaleFrameError, match="Camera wrist"):
        drive(cell, wander(20))
    assert cell.settings.frame_age <= cell.time < cell.settings.frame_age + 0.3
    with pytest.raises(StaleFrameError):
        cell.observe()
    assert not all(check.ok for check in cell.preflight())
    cell.thaw_camera("wrist")
    assert cell.observe().image_times["wrist"] == cell.time
    with pytest.raises(CellError, match="no camera 'side'"):
        cell.freeze_camera("side")


def test_brake_brings_a_moving_arm_to_rest_and_drops_the_plan(cell: SimulatedCell) -> None:
    plan = np.zeros((20, 7), np.float32)
    plan[:, 0], plan[:, 1], plan[:, 2] = HOME[0], np.arange(1, 21) * 0.05, HOME[2]
    cell.plan(plan)
    for _ in range(4):
        cell.advance()
    before = cell.tool_pose[0]
    cell.brake()
    assert 0.005 < np.linalg.norm(cell.tool_pose[0] - before) < 0.05
    assert cell.advance() is None
    assert joint_speed(cell) < 0.02


def test_a_new_plan_replaces_the_rest_of_the_old_one(cell: SimulatedCell) -> None:
    cell.plan(wander(10))
    cell.advance()
    assert len(drive(cell, wander(3, seed=9))) == 3


def test_homing_can_be_stopped_and_resumed(cell: SimulatedCell) -> None:
    down = np.array([[0.42, -0.1, 0.1, 0.0, 0.0, 0.5, 0.0]], np.float32)
    drive(cell, np.repeat(down, 12, axis=0))
    cell.begin_homing()
    assert not cell.advance_homing()
    cell.brake()
    halfway = cell.tool_pose[0]
    assert np.linalg.norm(halfway - HOME) > 0.05
    cell.begin_homing()
    for _ in range(60):
        if cell.advance_homing():
            break
    position, _, opening = cell.tool_pose
    assert np.linalg.norm(position - HOME) < 0.004 and opening > 0.98


@pytest.mark.realtime
def test_the_fast_clock_keeps_four_times_real_time(cell: SimulatedCell) -> None:
    cell.set_speed(ClockSpeed.FAST)
    began = time.monotonic()
    drive(cell, wander(6))
    assert time.monotonic() - began > 0.9 * 6 * cell.spec.dt / 4
    assert 10.0 < cell.health().achieved_hz < 60.0


def test_a_layout_images_shows_what_the_reset_scene_shows(cell: SimulatedCell) -> None:
    layout = cell.sample_layout(4, "test", 7)
    image = cell.layout_images(layout)
    assert not np.array_equal(image["third"], cell.observe().images["third"])
    cell.reset_scene(layout)
    assert np.array_equal(image["third"], cell.observe().images["third"])


def test_a_foreign_layout_is_refused_in_words(cell: SimulatedCell) -> None:
    with pytest.raises(CellError, match="sample_layout"):
        cell.reset_scene({"box": {"x": 1}})


def test_an_orange_beyond_the_table_is_irrecoverable(cell: SimulatedCell) -> None:
    layout = cell.sample_layout(0, "test", 0)
    layout["orange"] = {"x": 0.9, "y": -0.6, "yaw": 0.0}
    cell.reset_scene(layout)
    endings = [step.ending for step in drive(cell, hold(4))]
    assert endings[-1] is Ending.IRRECOVERABLE


def test_nothing_has_been_won_at_the_start(cell: SimulatedCell) -> None:
    cell.reset_scene(cell.sample_layout(0, "test", 0))
    assert {step.ending for step in drive(cell, hold(4))} == {None}


def hold(steps: int) -> NDArray[np.float32]:
    plan = np.zeros((steps, 7), np.float32)
    plan[:, :3], plan[:, 6] = HOME, 1.0
    return plan


def test_images_have_the_sizes_that_the_task_asks_for() -> None:
    cameras = (
        CameraSettings(name="third", height=110, width=280),
        CameraSettings(name="wrist", height=33, width=47),
    )
    for shadows in ("none", "half", "full"):
        cell = SimulatedCell(SimulationSettings(cameras=cameras, shadows=shadows))
        images = cell.observe().images
        assert images["third"].shape == (110, 280, 3) and images["wrist"].shape == (33, 47, 3)
        assert images["third"].dtype == np.uint8 and images["third"].std() > 10.0


def test_a_cell_that_observes_poses_shows_where_the_tool_is_as_its_actions_write_it() -> None:
    for rotation in Rotation:
        cell = SimulatedCell(
            SMALL.model_copy(update={"proprioception": Proprioception.POSE, "rotation": rotation})
        )
        seen = cell.observe().proprioception
        assert len(cell.spec.proprioception) == len(seen) == cell.spec.da
        np.testing.assert_allclose(seen[:3], HOME, atol=2e-3)
        position, quaternion, opening = action_to_pose(seen, cell.spec.action)
        np.testing.assert_allclose(position, cell.tool_pose[0], atol=1e-6)
        assert abs(float(quaternion @ cell.tool_pose[1])) > 1 - 1e-6
        assert opening == pytest.approx(cell.tool_pose[2])
