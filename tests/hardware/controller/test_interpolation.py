"""Plans become motions that pass through their waypoints and have no step in velocity, whatever replaces what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hardware.controller.interpolation import InterpolationError, Interpolator
from hardware.plan import Target, TimedPlan
from hardware.safety.filter import SafetyFilter, SafetySettings, SafetyState, WorkspaceSettings

Array = NDArray[np.float64]

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
CENTER = np.array([0.4, 0.0, 0.3])


def interpolator() -> Interpolator:
    motion = Interpolator(acceleration=2.0, jerk=20.0, rotation_acceleration=10.0)
    motion.reset(CENTER, DOWN, 1.0, 0.0)
    return motion


def plan(first: float, count: int, *, hz: float = 10.0, shift: float = 0.0, turn: float = 0.5) -> TimedPlan:
    """A bend through the workspace, evaluated at its own instants."""
    time = first + np.arange(count) / hz
    position = CENTER + np.stack(
        [0.05 * np.sin(time), 0.08 * np.sin(0.7 * time) + shift, 0.02 * time], axis=-1
    )
    turns = Rotation.from_rotvec(np.outer(turn * np.sin(time), [0.6, 0.0, 0.8])) * Rotation.from_quat(DOWN)
    return TimedPlan(
        time=time, position=position, quaternion=turns.as_quat(), gripper=0.5 + 0.5 * np.cos(time)
    )


def sampled(motion: Interpolator, times: Array) -> tuple[Array, Array, Array, Array]:
    """Positions, rates of them, rotations and rates of them."""
    targets = [motion.target(float(time)) for time in times]
    return (
        np.array([target.position for target in targets]),
        np.array([target.velocity for target in targets]),
        np.array([target.quaternion for target in targets]),
        np.array([target.angular_velocity for target in targets]),
    )


def turns_between(quaternions: Array) -> Array:
    rotations = Rotation.from_quat(quaternions)
    return np.asarray((rotations[1:] * rotations[:-1].inv()).as_rotvec())


@pytest.mark.parametrize(("count", "hz"), [(1, 10.0), (2, 30.0), (16, 10.0), (24, 30.0)])
def test_the_motion_passes_through_every_waypoint_at_its_instant(count: int, hz: float) -> None:
    motion, posted = interpolator(), plan(0.2, count, hz=hz)
    assert motion.post(posted, 0.1) == 0
    for i, time in enumerate(posted.time):
        target = motion.target(float(time))
        assert target.position == pytest.approx(posted.position[i], abs=1e-12)
        assert abs(target.quaternion @ posted.quaternion[i]) == pytest.approx(1.0, abs=1e-12)
        assert target.gripper == pytest.approx(posted.gripper[i])


@pytest.mark.slow
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    hz=st.sampled_from([10.0, 20.0, 30.0]),
    executed=st.integers(1, 12),
    latency=st.floats(0.0, 0.25),
    shift=st.floats(-0.02, 0.02),
)
def test_position_and_rotation_have_no_step_in_velocity_where_plans_replace_each_other(
    hz: float, executed: int, latency: float, shift: float
) -> None:
    """Chunks of 16 replace each other; the new one comes late, and is elsewhere by up to 2 cm."""
    motion = interpolator()
    motion.post(plan(1.0 / hz, 16, hz=hz), 0.0)
    observed = 0.0
    for chunk in range(1, 5):
        observed += latency + executed / hz
        now = observed + latency
        before = motion.target(now)
        posted = plan(observed + 1.0 / hz, 16, hz=hz, shift=shift * chunk)
        motion.post(posted, now)
        assert_same(before, motion.target(now))
        for time in posted.time[posted.time > now]:
            assert_same(motion.target(float(time) - 1e-9), motion.target(float(time) + 1e-9))
        # What it says of its rates is what it does.
        for time in np.linspace(now + 0.001, now + 0.4, 30):
            h = 1e-5
            position, velocity, quaternion, rate = sampled(motion, np.array([time - h, time, time + h]))
            assert (position[2] - position[0]) / (2 * h) == pytest.approx(velocity[1], abs=1e-3)
            assert turns_between(quaternion).sum(axis=0) / (2 * h) == pytest.approx(rate[1], abs=1e-2)


def assert_same(a: Target, b: Target) -> None:
    """Pose and velocities, but for what changes in nanoseconds."""
    assert a.position == pytest.approx(b.position, abs=1e-7)
    assert a.velocity == pytest.approx(b.velocity, abs=1e-5)
    assert abs(a.quaternion @ b.quaternion) == pytest.approx(1.0, abs=1e-9)
    assert a.angular_velocity == pytest.approx(b.angular_velocity, abs=1e-4)


def test_acceleration_too_has_no_step_at_waypoints_and_borders() -> None:
    motion, step = interpolator(), 1e-4
    motion.post(plan(0.1, 16), 0.0)
    motion.target(0.75)
    before = sampled(motion, np.arange(0.74, 0.75, step))
    motion.post(plan(0.85, 16, shift=0.001), 0.75)
    after = sampled(motion, np.arange(0.75, 1.25, step))
    for linear, angular in ((before[1], before[3]), (after[1], after[3])):
        assert np.abs(np.diff(linear, n=2, axis=0)).max() / step < 0.1
        assert np.abs(np.diff(angular, n=2, axis=0)).max() / step < 0.4
    seam = np.concatenate([before[1][-2:], after[1][:2]])
    assert np.abs(np.diff(seam, n=2, axis=0)).max() / step < 0.1


def test_what_is_due_before_a_new_plans_first_instant_stays_as_the_old_plan_had_it() -> None:
    motion, old = interpolator(), plan(0.1, 16)
    motion.post(old, 0.0)
    motion.post(plan(1.0, 16, shift=0.01), 0.55)
    assert motion.target(0.8).position == pytest.approx(old.position[7], abs=1e-12)
    assert motion.target(1.0).position == pytest.approx(old.position[9] + [0.0, 0.01, 0.0], abs=1e-12)


def test_late_waypoints_are_dropped_and_counted() -> None:
    motion, posted = interpolator(), plan(0.1, 8)
    assert motion.post(posted, 0.35) == 3
    assert motion.target(0.4).position == pytest.approx(CENTER, abs=0.03)
    assert motion.target(0.5).position == pytest.approx(posted.position[4], abs=1e-12)
    assert motion.post(plan(0.1, 2), 5.0) == 2
    assert motion.target(0.5).position == pytest.approx(posted.position[4], abs=1e-12)


def test_a_waypoint_that_is_due_at_once_is_passed_by_instead_of_being_jumped_to() -> None:
    motion, posted = interpolator(), plan(0.101, 8, shift=0.03)
    assert motion.post(posted, 0.1) == 0
    position, velocity, _, _ = sampled(motion, np.arange(0.1, 0.3, 0.001))
    assert np.abs(velocity).max() < 1.0
    assert position[0] == pytest.approx(CENTER, abs=1e-12)


def test_a_motion_that_runs_out_decelerates_within_its_limits_and_holds() -> None:
    motion, posted = interpolator(), plan(0.1, 5)
    motion.post(posted, 0.0)
    assert not motion.done(0.49) and motion.done(0.5)
    step = 1e-4
    _, velocity, _, rate = sampled(motion, np.arange(0.5, 1.5, step))
    speed = np.linalg.norm(velocity, axis=-1)
    assert speed[0] > 0.05 and speed[-1] == 0.0 and (rate[-1] == 0.0).all()
    acceleration = np.diff(velocity, axis=0) / step
    assert np.linalg.norm(acceleration, axis=-1).max() <= 2.0
    assert np.linalg.norm(np.diff(acceleration, axis=0), axis=-1).max() / step <= 20.0 * 1.01
    end = motion.target(5.0)
    assert (end.velocity == 0.0).all() and motion.target(9.0).position == pytest.approx(end.position, abs=0.0)


def test_a_hold_decelerates_from_the_middle_of_a_plan_and_drops_the_rest() -> None:
    motion = interpolator()
    motion.post(plan(0.1, 16), 0.0)
    here = motion.target(0.72)
    motion.hold(0.72)
    assert motion.done(0.72)
    there = motion.target(0.72)
    assert there.position == pytest.approx(here.position) and there.velocity == pytest.approx(here.velocity)
    assert there.angular_velocity == pytest.approx(here.angular_velocity)
    assert np.linalg.norm(motion.target(2.0).position - here.position) < 0.03
    assert (motion.target(2.0).velocity == 0.0).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_trembling_plan_is_not_overrun_wherever_it_ends(seed: int) -> None:
    noise = np.random.default_rng(seed)
    time = 0.1 * np.arange(1.0, 17.0, dtype=np.float64)
    turns = Rotation.from_rotvec(noise.normal(0.0, 0.05, (16, 3))) * Rotation.from_quat(DOWN)
    trembling = TimedPlan(
        time=time,
        position=CENTER + noise.normal(0.0, 0.008, (16, 3)),
        quaternion=turns.as_quat(),
        gripper=np.ones(16),
    )
    for held in (0.43, 0.73, 1.12, 1.7):  # the last one is after the plan has run out
        motion = Interpolator(
            acceleration=2.0, jerk=20.0, rotation_acceleration=10.0, velocity=0.3, rotation_rate=1.5
        )
        motion.reset(CENTER, DOWN, 1.0, 0.0)
        motion.post(trembling, 0.0)
        if held < time[-1]:
            motion.hold(held)
        position, _, quaternion, _ = sampled(motion, np.array([min(held, time[-1]), 9.0]))
        assert np.linalg.norm(position[1] - position[0]) < 0.2
        assert np.linalg.norm(turns_between(quaternion)[0]) < 0.25


def test_position_and_rotation_come_to_rest_each_in_its_own_time_without_a_step() -> None:
    motion = Interpolator(acceleration=0.2, jerk=20.0, rotation_acceleration=10.0)
    motion.reset(CENTER, DOWN, 1.0, 0.0)
    motion.post(plan(0.1, 16, turn=1.0), 0.0)
    motion.hold(0.72)
    step = 1e-3
    _, velocity, _, rate = sampled(motion, np.arange(0.72, 3.0, step))
    speed, turning = np.linalg.norm(velocity, axis=-1), np.linalg.norm(rate, axis=-1)
    assert turning[round(0.3 / step)] < 1e-9 < 0.01 < speed[round(0.3 / step)] and speed[-1] == 0.0
    assert (
        np.abs(np.diff(velocity, axis=0)).max() < 0.3 * step and np.abs(np.diff(turning)).max() < 12.0 * step
    )


def test_a_turn_of_more_than_half_a_circle_does_not_flip() -> None:
    motion = interpolator()
    time = np.arange(1, 25) / 10.0
    turns = Rotation.from_rotvec(np.outer(2.0 * (time - 0.1), [0.0, 0.0, 1.0])) * Rotation.from_quat(DOWN)
    quaternions = turns.as_quat() * np.where(np.arange(24) % 3 == 0, -1.0, 1.0)[:, None]
    motion.post(
        TimedPlan(time=time, position=np.tile(CENTER, (24, 1)), quaternion=quaternions, gripper=np.ones(24)),
        0.0,
    )
    _, _, _, rate = sampled(motion, np.arange(0.3, 2.3, 0.005))
    assert rate == pytest.approx(np.tile([0.0, 0.0, 2.0], (400, 1)), abs=1e-6)


def test_a_plan_that_names_no_motion_is_refused_and_changes_nothing() -> None:
    motion, good = interpolator(), plan(0.1, 4)
    motion.post(good, 0.0)
    for name, value in (("position", np.nan), ("quaternion", 0.0), ("time", 0.1)):
        bad = plan(0.1, 4)
        getattr(bad, name)[2] = value
        with pytest.raises(InterpolationError):
            motion.post(bad, 0.0)
    assert motion.target(0.3).position == pytest.approx(good.position[2], abs=1e-12)


def test_before_any_plan_the_arm_stands_where_it_was_reset() -> None:
    target = interpolator().target(3.0)
    assert (target.position == CENTER).all() and (target.velocity == 0.0).all()
    assert target.quaternion == pytest.approx(DOWN) and target.gripper == 1.0


@pytest.mark.parametrize("controller_hz", [100.0, 250.0])
def test_the_safety_filter_leaves_the_motion_of_an_ordinary_plan_alone(controller_hz: float) -> None:
    """10 Hz chunks of 16, of which 8 are executed, at the limits an operator might set."""
    chosen = SafetySettings(
        workspaces=(WorkspaceSettings(arm="right", lower=(0.2, -0.2, 0.1), upper=(0.6, 0.2, 0.5)),),
        velocity=0.3,
        acceleration=2.0,
        jerk=40.0,
    )
    dt = 1.0 / controller_hz
    motion, filter_ = interpolator(), SafetyFilter(chosen, dt)
    state = SafetyState.at_rest(CENTER, DOWN, 1.0)
    interventions = 0
    for tick in range(int(4.0 * controller_hz)):
        now = tick * dt
        if tick % int(0.8 * controller_hz) == 0:
            motion.post(eased(now + 0.1), now)
        target = motion.target(now + dt)
        state, command, reasons = filter_.step(state, target, dt, now=now)
        interventions += bool(reasons)
        assert reasons or np.array_equal(command.position, target.position)
    assert interventions == 0


def eased(first: float) -> TimedPlan:
    """A motion that begins at rest."""
    time = first + np.arange(16) / 10.0
    ramp = np.clip((time - 0.1) / 1.5, 0.0, 1.0)
    share = (ramp**3 * (10.0 - 15.0 * ramp + 6.0 * ramp**2))[:, None]
    position = CENTER + share * np.stack(
        [0.05 * np.sin(time), 0.08 * np.cos(0.7 * time), 0.02 * time], axis=-1
    )
    turns = Rotation.from_rotvec(share * np.outer(np.sin(time), [0.3, 0.0, 0.4])) * Rotation.from_quat(DOWN)
    return TimedPlan(time=time, position=position, quaternion=turns.as_quat(), gripper=np.ones(16))


def test_a_plan_that_asks_for_more_than_the_limits_is_not_overrun_at_its_own_speed() -> None:
    wild = TimedPlan(
        time=np.array([0.1, 0.2, 0.3]),
        position=CENTER + np.outer([0.0, 0.2, 0.4], [1.0, 0.0, 0.0]),
        quaternion=(
            Rotation.from_rotvec(np.outer([0.0, 0.5, 1.0], [0.0, 0.0, 1.0])) * Rotation.from_quat(DOWN)
        ).as_quat(),
        gripper=np.ones(3),
    )
    overrun = []
    for limits in ({}, {"velocity": 0.25, "rotation_rate": 1.0}):
        motion = Interpolator(acceleration=2.0, jerk=20.0, rotation_acceleration=10.0, **limits)
        motion.reset(CENTER, DOWN, 1.0, 0.0)
        motion.post(wild, 0.0)
        _, velocity, quaternion, _ = sampled(motion, np.array([0.3, 9.0]))
        assert np.allclose(velocity[1], 0.0)
        overrun.append(float(np.linalg.norm(turns_between(quaternion)[0])))
    assert overrun[1] < 0.2 < 0.5 < overrun[0]
    assert motion.target(9.0).position[0] - wild.position[-1, 0] < 0.05


def test_a_plan_within_the_limits_ends_as_if_there_were_none() -> None:
    free, limited = (
        interpolator(),
        Interpolator(
            acceleration=2.0, jerk=20.0, rotation_acceleration=10.0, velocity=1.0, rotation_rate=3.0
        ),
    )
    limited.reset(CENTER, DOWN, 1.0, 0.0)
    for motion in (free, limited):
        motion.post(plan(0.1, 5), 0.0)
    times = np.arange(0.0, 1.5, 0.01)
    for one, other in zip(sampled(free, times), sampled(limited, times), strict=True):
        assert (one == other).all()
