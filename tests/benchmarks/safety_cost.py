"""What one step of the safety filter and one target of the interpolator cost a controller.

    python tests/benchmarks/safety_cost.py --steps 20000

Prints a line per kind of target: mean and 99th percentile of a step's processor time, microseconds, on one core. The
controller of one arm does both once per tick: 4000 us apart at 250 Hz.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from hardware.controller.interpolation import Interpolator
from hardware.plan import Target, TimedPlan
from hardware.safety.filter import SafetyFilter, SafetySettings, SafetyState, Sphere, WorkspaceSettings

DT = 0.004
DOWN = np.array([1.0, 0.0, 0.0, 0.0])
CENTER = np.array([0.4, 0.0, 0.3])
SETTINGS = SafetySettings(
    workspaces=(WorkspaceSettings(arm="right", lower=(0.2, -0.2, 0.1), upper=(0.6, 0.2, 0.5)),),
    velocity=0.3,
    acceleration=2.0,
    radius=0.05,
)
NEAR = (Sphere(center=(0.4, 0.25, 0.3), velocity=(0.0, -0.1, 0.0), radius=0.05),)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20_000)
    steps = parser.parse_args().steps
    print(f"{'target':<44}{'mean us':>9}{'p99 us':>9}{'interventions':>15}")
    for name, choose, others in (
        ("a circle within the limits", circle, ()),
        ("the same, the other arm near", circle, NEAR),
        ("jumps across the workspace, ten a second", jumps, ()),
        ("the same, the other arm near", jumps, NEAR),
        ("a push into a corner and back", push, ()),
        ("noise beyond every limit", noise, NEAR),
    ):
        durations, changed = measured(choose, others, steps)
        print(
            f"{name:<44}{durations.mean():>9.1f}{np.percentile(durations, 99):>9.1f}{changed / steps:>14.0%}"
        )
    print(f"{'one target of a plan of 16 poses':<44}{interpolating(steps):>9.1f}")


def measured(
    choose: Callable[[int], Target], others: tuple[Sphere, ...], steps: int
) -> tuple[np.ndarray, int]:
    """Microseconds of each step, and how many were changed."""
    filter_, state, changed = SafetyFilter(SETTINGS, DT), SafetyState.at_rest(CENTER, DOWN, 1.0), 0
    durations = np.zeros(steps)
    for tick in range(steps):
        target = choose(tick)
        start = time.thread_time_ns()
        state, _, reasons = filter_.step(state, target, DT, others)
        durations[tick] = (time.thread_time_ns() - start) / 1000.0
        changed += bool(reasons)
    return durations, changed


def circle(tick: int) -> Target:
    ramp = min(1.0, tick * DT / 2.0)
    angle, radius = 0.8 * tick * DT, 0.1 * ramp**3 * (10.0 - 15.0 * ramp + 6.0 * ramp * ramp)
    return target(CENTER + radius * np.array([np.cos(angle), np.sin(angle), 0.0]))


def jumps(tick: int) -> Target:
    random = np.random.default_rng(tick // 25)
    return target(CENTER + random.uniform(-0.19, 0.19, 3))


def push(tick: int) -> Target:
    return target(CENTER + (1.0 if tick // 500 % 2 else -1.0))


def noise(tick: int) -> Target:
    return target(CENTER + np.random.default_rng(tick).normal(size=3))


def target(position: np.ndarray) -> Target:
    return Target(
        position=position, quaternion=DOWN, velocity=np.zeros(3), angular_velocity=np.zeros(3), gripper=1.0
    )


def interpolating(steps: int) -> float:
    """Microseconds of one target."""
    motion = Interpolator(acceleration=2.0, jerk=20.0, rotation_acceleration=10.0)
    motion.reset(CENTER, DOWN, 1.0, 0.0)
    times = np.arange(1, 17, dtype=np.float64) / 10.0
    motion.post(
        TimedPlan(
            time=times,
            position=CENTER + 0.1 * np.sin(times)[:, None],
            quaternion=np.tile(DOWN, (16, 1)),
            gripper=np.ones(16),
        ),
        0.0,
    )
    start = time.thread_time_ns()
    for tick in range(steps):
        motion.target(1.6 * tick / steps)
    return (time.thread_time_ns() - start) / 1000.0 / steps


if __name__ == "__main__":
    main()
