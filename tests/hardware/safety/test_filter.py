"""Whatever the targets are, no command breaks a limit; and what lies within them passes bit by bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hardware.plan import Command, Target
from hardware.safety.filter import (
    Reason,
    SafetyError,
    SafetyFilter,
    SafetySettings,
    SafetyState,
    Sphere,
    WorkspaceSettings,
)
from tests.hardware.safety.runs import (
    DOWN,
    Adversary,
    Array,
    assert_within,
    limits,
    run,
    standing,
    target,
)

DT = 0.005
CENTER = np.array([0.4, 0.0, 0.3])

no_shrinking = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""A failing run is long and its seed says all: making it smaller takes minutes and tells nothing more."""

some_limits = st.builds(
    limits,
    velocity=st.floats(0.01, 1.2),
    acceleration=st.floats(0.2, 15.0),
    jerk=st.floats(2.0, 3000.0),
    half=st.floats(0.01, 0.4),
    rotation_rate=st.floats(0.1, 4.0),
    rotation_acceleration=st.floats(0.5, 50.0),
    gripper_rate=st.floats(0.1, 10.0),
)
slow_and_abrupt = limits(velocity=0.01, acceleration=13.372798326598206, jerk=9.52373093223167, half=0.01)
some_periods = st.sampled_from([0.004, 0.005, 0.01])
some_seeds = st.integers(0, 2**32 - 1)


def hostile_run(chosen: SafetySettings, dt: float, seed: int, ticks: int) -> None:
    """Hostile targets, then none: the arm comes to rest, and nothing it was sent breaks a limit."""
    random = np.random.default_rng(seed)
    box = chosen.workspaces[0]
    start = standing(random.uniform(box.lower, box.upper), gripper=float(random.random()))
    adversary = Adversary(random, chosen, dt)
    last = ticks - min(ticks // 4, 200)
    tick = iter(range(ticks))
    done = run(chosen, dt, start, lambda state: adversary(state) if next(tick) < last else None, ticks)
    assert_within(chosen, dt, done)
    assert_at_rest(chosen, done.commands[-1], braked_for=(ticks - last) * dt)


def assert_at_rest(chosen: SafetySettings, command: Command, *, braked_for: float) -> None:
    """Where there was time enough to brake, by the limits' own account, nothing moves any more."""
    velocity, acceleration = chosen.velocity or 0.0, chosen.acceleration or 0.0
    if braked_for > velocity / acceleration + 3.0 * acceleration / chosen.jerk:
        assert np.abs(command.velocity).max() < 1e-9
    if braked_for > 1.5 * chosen.rotation_rate / chosen.rotation_acceleration:
        assert np.linalg.norm(command.angular_velocity) < 1e-9


@pytest.mark.slow
@settings(no_shrinking, max_examples=60)
@given(chosen=some_limits, dt=some_periods, seed=some_seeds)
def test_no_command_breaks_a_limit_whatever_the_targets_are(
    chosen: SafetySettings, dt: float, seed: int
) -> None:
    hostile_run(chosen, dt, seed, 600)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(no_shrinking, max_examples=700)
@given(chosen=some_limits, dt=some_periods, seed=some_seeds)
def test_no_command_of_a_million_breaks_a_limit(chosen: SafetySettings, dt: float, seed: int) -> None:
    hostile_run(chosen, dt, seed, 1500)


@settings(no_shrinking, max_examples=30)
@given(chosen=some_limits, dt=some_periods, seed=some_seeds)
@example(chosen=slow_and_abrupt, dt=0.004, seed=10206).via("at the fastest and beyond it by rounding")
def test_every_trajectory_that_was_within_the_limits_passes_bit_by_bit(
    chosen: SafetySettings, dt: float, seed: int
) -> None:
    """What a hostile run sent touches the limits all the time without breaking them: sent again, nothing changes."""
    random = np.random.default_rng(seed)
    start = standing()
    adversary = Adversary(random, chosen, dt)
    commands = run(chosen, dt, start, adversary, 300).commands
    again = iter(commands)

    def choose(_: SafetyState) -> Target:
        command = next(again)
        return target(
            command.position,
            command.velocity,
            quaternion=command.quaternion,
            rate=command.angular_velocity,
            gripper=command.gripper,
        )

    second = run(chosen, dt, start, choose, 300)
    assert not second.reasons
    for before, after in zip(commands, second.commands, strict=True):
        assert np.array_equal(before.position, after.position)
        assert np.array_equal(before.quaternion, after.quaternion)
        assert before.gripper == after.gripper


def smooth(points: Sequence[Array], seconds: float, dt: float) -> Array:
    """Positions [n, 3] from point to point, each way of least jerk over `seconds`."""
    u = np.arange(1, round(seconds / dt) + 1)[:, None] * dt / seconds
    share = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
    return np.concatenate([a + share * (b - a) for a, b in itertools.pairwise(points)])


def test_a_smooth_motion_up_to_the_walls_passes_bit_by_bit() -> None:
    chosen = limits(jerk=40.0)
    box = chosen.workspaces[0]
    corners = [CENTER, np.array(box.lower), np.array(box.upper), CENTER]
    positions = iter(way := smooth(corners, 2.5, DT))
    done = run(chosen, DT, standing(), lambda _: target(next(positions)), len(way))
    assert not done.reasons
    assert np.array_equal(done.positions[1:], way)


def test_a_motion_that_turns_round_a_millimetre_from_a_wall_passes_bit_by_bit() -> None:
    chosen = limits()
    t = np.arange(1, 1001) * DT
    ramp = np.minimum(t / 3.0, 1.0)
    swing = 0.149 * ramp**3 * (10.0 - 15.0 * ramp + 6.0 * ramp**2) * np.sin(2.0 * t)
    way = CENTER + swing[:, None] * np.array([1.0, 0.0, -1.0])
    positions = iter(way)
    done = run(chosen, DT, standing(), lambda _: target(next(positions)), len(way))
    assert swing.max() > 0.1489 and not done.reasons
    assert np.array_equal(done.positions[1:], way)


def test_a_push_against_one_wall_leaves_the_other_axes_bit_by_bit() -> None:
    chosen = limits()
    way = smooth([CENTER, CENTER + np.array([0.1, -0.1, 0.0]), CENTER], 1.5, DT)
    way[:, 2] -= np.linspace(0.0, 2.0, len(way))
    positions = iter(way)
    done = run(chosen, DT, standing(), lambda _: target(next(positions)), len(way))
    assert np.array_equal(done.positions[1:, :2], way[:, :2])
    assert done.reasons[Reason.BOX] and done.positions[:, 2].min() >= chosen.workspaces[0].lower[2] - 2e-9


def test_a_push_into_a_corner_ends_at_the_corner_and_the_arm_can_leave_it() -> None:
    chosen = limits()
    corner = np.array(chosen.workspaces[0].upper)
    pushed = run(chosen, DT, standing(), lambda _: target(corner + 0.3), 600)
    assert pushed.positions[-1] == pytest.approx(corner, abs=1e-6)
    left = run(chosen, DT, pushed.states[-1], lambda _: target(CENTER), 600)
    assert left.positions[-1] == pytest.approx(CENTER, abs=1e-6)
    assert_within(chosen, DT, left)


def test_a_jump_is_reached_without_overshoot_in_about_the_least_time() -> None:
    chosen = limits()
    goal = CENTER + np.array([0.1, 0.0, 0.0])
    done = run(chosen, DT, standing(), lambda _: target(goal), 300)
    x = done.positions[:, 0]
    assert x.max() <= goal[0] + 2e-9
    # From rest to rest over a way on which the greatest speed is just not reached: about 0.59 s.
    assert np.flatnonzero(x > goal[0] - 1e-4)[0] * DT < 0.65
    assert set(done.reasons) <= {Reason.JERK, Reason.ACCELERATION, Reason.VELOCITY}


def test_an_arm_that_fell_behind_catches_up_and_is_exact_again() -> None:
    chosen = limits()

    def choose(_: SafetyState) -> Target:
        t = next(ticks) * DT
        jump = 0.05 if t > 1.0 else 0.0
        return target(CENTER + np.array([0.05 * t - 0.1 + jump, 0.0, 0.0]), [0.05, 0.0, 0.0])

    ticks = iter(range(1, 10_000))
    done = run(chosen, DT, standing(CENTER - np.array([0.1, 0.0, 0.0])), choose, 500)
    assert done.positions[-1, 0] == 0.4 + 0.05 * (500 * DT) - 0.1 + 0.05


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (None, Reason.STALE),
        (target([math.nan, 0.0, 0.3]), Reason.NOT_FINITE),
        (target(CENTER, [math.inf, 0.0, 0.0]), Reason.NOT_FINITE),
        (target(CENTER, quaternion=np.zeros(4)), Reason.NOT_FINITE),
        (target(CENTER, gripper=math.nan), Reason.NOT_FINITE),
    ],
)
def test_a_target_that_is_missing_or_not_finite_brakes(lost: Target | None, reason: Reason) -> None:
    chosen = limits()
    turned = Rotation.from_rotvec([0.0, 0.0, 2.0]) * Rotation.from_quat(DOWN)
    moving = run(
        chosen, DT, standing(), lambda _: target(CENTER + 0.14, quaternion=turned.as_quat(), gripper=0.2), 60
    )
    fast = moving.states[-1]
    assert fast.velocity[0] > 0.2 and np.linalg.norm(fast.angular_velocity) > 1.0
    braked = run(chosen, DT, fast, lambda _: lost, 100)
    assert braked.reasons[reason] == 100
    end = braked.states[-1]
    assert np.abs(end.velocity).max() < 1e-12 and np.linalg.norm(end.angular_velocity) < 1e-12
    assert end.gripper == fast.gripper
    whole = moving.states + braked.states[1:]
    assert_within(
        chosen,
        DT,
        type(moving)(states=whole, commands=moving.commands + braked.commands, reasons=moving.reasons),
    )


@settings(no_shrinking, max_examples=25)
@given(chosen=some_limits, seed=some_seeds)
def test_an_arm_that_starts_outside_only_moves_inward_slowly_and_along_no_other_axis(
    chosen: SafetySettings, seed: int
) -> None:
    random = np.random.default_rng(seed)
    box = chosen.workspaces[0]
    beyond = np.where(random.random(3) < 0.5, random.uniform(0.001, 0.05, 3), 0.0)
    beyond[random.integers(3)] = 0.02
    upward = random.random(3) < 0.5
    start = np.where(upward, np.array(box.upper) + beyond, np.array(box.lower) - beyond)
    adversary = Adversary(random, chosen, DT)
    done = run(chosen, DT, standing(start), adversary, 400)
    assert_within(chosen, DT, done, box=False)
    positions = done.positions
    distance = np.maximum(positions - box.upper, 0.0) + np.maximum(box.lower - positions, 0.0)
    assert (np.diff(distance, axis=0) <= 3e-9).all()
    astray = np.asarray((distance > 1e-8).any(axis=1))
    slow = chosen.inward_speed * DT * (1 + 1e-6)
    moves = np.abs(np.diff(positions, axis=0))
    assert (moves[astray[1:]] <= slow + 1e-12).all()
    assert not moves[astray[1:]][:, beyond == 0.0].any()


def test_an_arm_outside_comes_in_when_its_target_is_inside_and_then_follows_at_full_speed() -> None:
    chosen = limits()
    start = CENTER + np.array([0.17, 0.05, 0.0])
    done = run(chosen, DT, standing(start), lambda _: target(CENTER), 800)
    assert done.positions[-1] == pytest.approx(CENTER, abs=1e-6)
    assert done.reasons[Reason.OUTSIDE] > 0.02 / chosen.inward_speed / DT
    assert max(abs(state.velocity[0]) for state in done.states) > 5 * chosen.inward_speed


@pytest.mark.parametrize("away", [0.0, 0.1])
def test_an_arm_outside_stands_when_its_target_is_further_out_or_where_it_is(away: float) -> None:
    start = CENTER + np.array([0.17, 0.0, 0.0])
    done = run(limits(), DT, standing(start), lambda _: target(start + np.array([away, 0.0, 0.0])), 100)
    assert (done.positions == start).all()
    assert done.reasons[Reason.OUTSIDE] == 100


def spheres(state: SafetyState, radius: float) -> tuple[Sphere]:
    return (Sphere(center=state.position, velocity=state.velocity, radius=radius),)


def two_arms(chosen: SafetySettings, seed: int, ticks: int, *, both_look: bool) -> tuple[Array, Array, Array]:
    """Two arms that want into each other, in one frame; positions [ticks, 3] of both, and where the first would have
    been by braking."""
    random = np.random.default_rng(seed)
    filters = SafetyFilter(chosen, DT), SafetyFilter(chosen, DT)
    box = chosen.workspaces[0]
    radius = chosen.radius or 0.0
    states = standing(box.lower), standing(box.upper)
    adversaries = Adversary(random, chosen, DT), Adversary(random, chosen, DT)
    paths: tuple[list[Array], list[Array]] = ([], [])
    braked: list[Array] = []
    chase = True
    for tick in range(ticks):
        chase = chase if tick % 100 else bool(random.random() < 0.7)
        after = []
        braked.append(np.array(filters[0].step(states[0], None, DT)[0].position))
        for i in (0, 1):
            me, other = states[i], states[1 - i]
            wanted = target(other.position, other.velocity) if chase else adversaries[i](me)
            near = spheres(other, radius) if i == 0 or both_look else ()
            after.append(filters[i].step(me, wanted, DT, near)[0])
        states = after[0], after[1]
        for path, state in zip(paths, states, strict=True):
            path.append(np.array(state.position))
    return np.array(paths[0]), np.array(paths[1]), np.array(braked)


@pytest.mark.slow
@settings(no_shrinking, max_examples=12)
@given(
    velocity=st.floats(0.05, 0.6),
    acceleration=st.floats(0.5, 10.0),
    jerk=st.floats(5.0, 500.0),
    seed=some_seeds,
)
def test_two_arms_that_chase_each_other_never_touch(
    velocity: float, acceleration: float, jerk: float, seed: int
) -> None:
    chosen = limits(velocity=velocity, acceleration=acceleration, jerk=jerk, radius=0.05)
    left, right, _ = two_arms(chosen, seed, 600, both_look=True)
    assert np.linalg.norm(left - right, axis=-1).min() >= 0.1 - 1e-8


@pytest.mark.slow
@settings(no_shrinking, max_examples=12)
@given(
    velocity=st.floats(0.05, 0.6),
    acceleration=st.floats(0.5, 10.0),
    jerk=st.floats(5.0, 500.0),
    seed=some_seeds,
)
def test_an_arm_that_is_run_into_does_not_come_nearer_but_by_braking(
    velocity: float, acceleration: float, jerk: float, seed: int
) -> None:
    chosen = limits(velocity=velocity, acceleration=acceleration, jerk=jerk, radius=0.05)
    mine, blind, braked = two_arms(chosen, seed, 600, both_look=False)
    before = np.linalg.norm(mine[:-1] - blind[:-1], axis=-1)
    after = np.linalg.norm(mine[1:] - blind[:-1], axis=-1)
    by_braking = np.linalg.norm(braked[1:] - blind[:-1], axis=-1)
    assert (after >= np.minimum(np.minimum(before, 0.1), by_braking) - 1e-8).all()


def test_an_arm_held_off_by_the_other_can_move_away_and_comes_near_when_there_is_room() -> None:
    chosen = limits(radius=0.05)
    other = (Sphere(center=(0.4, 0.12, 0.3), velocity=(0.0, 0.0, 0.0), radius=0.05),)
    held = run(
        chosen, DT, standing(), lambda _: target(CENTER + np.array([0.0, 0.12, 0.0])), 600, lambda *_: other
    )
    assert held.reasons[Reason.OTHER_ARM]
    assert 0.1 - 1e-8 <= 0.12 - held.positions[-1, 1] < 0.105
    left = run(
        chosen,
        DT,
        held.states[-1],
        lambda _: target(CENTER - np.array([0.0, 0.1, 0.0])),
        600,
        lambda *_: other,
    )
    assert left.positions[-1] == pytest.approx(CENTER - np.array([0.0, 0.1, 0.0]), abs=1e-6)


def test_the_longer_nothing_was_heard_of_the_other_arm_the_further_this_one_stays_away() -> None:
    chosen = limits(radius=0.05)

    def other(age: float) -> tuple[Sphere]:
        return (Sphere(center=(0.4, 0.14, 0.3), velocity=(0.0, 0.0, 0.0), radius=0.05, age=age),)

    wanted = target(CENTER + np.array([0.0, 0.1, 0.0]))
    ends = [
        run(chosen, DT, standing(), lambda _: wanted, 400, lambda *_, age=age: other(age)).positions[-1, 1]
        for age in (0.0, 0.1, 1.0)
    ]
    assert ends[0] > 0.03 and ends[0] - ends[1] > 0.01 and ends[2] == 0.0


def test_a_position_of_the_other_arm_that_is_not_finite_brakes() -> None:
    chosen = limits(radius=0.05)
    nowhere = (Sphere(center=(math.nan, 0.0, 0.0), velocity=(0.0, 0.0, 0.0), radius=0.05),)
    done = run(chosen, DT, standing(), lambda _: target(CENTER + 0.1), 50, lambda *_: nowhere)
    assert (done.positions == CENTER).all() and done.reasons[Reason.OTHER_ARM] == 50


def test_a_turn_is_followed_exactly_within_its_limits_and_reached_beyond_them() -> None:
    chosen = limits()
    down = Rotation.from_quat(DOWN)
    t = np.arange(1, 401) * DT
    slow = (Rotation.from_rotvec(np.outer(0.5 * np.sin(t) ** 2, [0.0, 0.6, 0.8])) * down).as_quat()
    turns = iter(slow)
    exact = run(chosen, DT, standing(), lambda _: target(CENTER, quaternion=next(turns)), 400)
    assert not exact.reasons
    assert np.array_equal([command.quaternion for command in exact.commands], slow)
    goal = (Rotation.from_rotvec([1.2, -1.5, 1.0]) * down).as_quat()
    jump = run(chosen, DT, standing(), lambda _: target(CENTER, quaternion=goal), 600)
    missing = Rotation.from_quat(jump.commands[-1].quaternion) * Rotation.from_quat(goal).inv()
    assert missing.magnitude() < 1e-9
    assert jump.reasons[Reason.ROTATION_RATE]
    assert_within(chosen, DT, jump)


def test_the_gripper_closes_at_its_rate_and_the_fingers_stay_within_their_stroke() -> None:
    done = run(limits(), DT, standing(), lambda _: target(CENTER, gripper=-3.0), 100)
    opening = np.array([command.gripper for command in done.commands])
    assert opening[0] == pytest.approx(1.0 - 4.0 * DT) and opening[-1] == 0.0
    assert done.reasons[Reason.GRIPPER_RATE] == 49


def test_limits_that_are_not_set_are_named_and_nothing_moves_without_them() -> None:
    bare = SafetySettings()
    assert bare.missing(("left", "right")) == (
        "workspaces (arm = 'left')",
        "workspaces (arm = 'right')",
        "velocity",
        "acceleration",
        "radius",
    )
    with pytest.raises(SafetyError, match="velocity, acceleration"):
        SafetyFilter(bare, DT)
    assert limits().missing(("right",)) == ()


def test_an_empty_workspace_is_refused() -> None:
    with pytest.raises(ValueError, match="every lower bound must be below its upper bound"):
        WorkspaceSettings(arm="left", lower=(0.0, 0.0, 0.5), upper=(1.0, 1.0, 0.5))


def test_another_period_than_the_one_prepared_for_is_refused() -> None:
    with pytest.raises(SafetyError, match=r"0\.005 s, not 0\.01 s"):
        SafetyFilter(limits(), DT).step(standing(), None, 0.01)
