"""What braking is said to do is what braking does, tick by tick."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.safety.braking import Brake, Stop


def simulated(brake: Brake, speed: float, change: float) -> Stop:
    way = lowest = highest = 0.0
    ticks = 0
    while abs(speed) > 1e-15 or abs(change) > brake.jerk:
        after = brake.change(speed, change)
        assert abs(after - change) <= brake.jerk * (1 + 1e-12)
        assert abs(after) <= brake.most * (1 + 1e-12)
        change = after
        speed += change
        way += speed
        lowest, highest, ticks = min(lowest, way), max(highest, way), ticks + 1
        assert ticks < 100_000
    return Stop(lowest, highest, way, ticks)


@settings(max_examples=300, deadline=None)
@given(
    dt=st.sampled_from([0.004, 0.005, 0.01]),
    acceleration=st.floats(0.1, 15.0),
    jerk=st.floats(1.0, 3000.0),
    speed=st.floats(-1.0, 1.0),
    share=st.floats(-1.0, 1.0),
)
def test_the_room_that_braking_takes_is_known_before_it_begins(
    dt: float, acceleration: float, jerk: float, speed: float, share: float
) -> None:
    brake = Brake(acceleration=acceleration, jerk=jerk, dt=dt)
    told = brake.stop(speed * dt, share * brake.most)
    done = simulated(brake, speed * dt, share * brake.most)
    assert told[:3] == pytest.approx(done[:3], rel=1e-9, abs=1e-12)
    # the last ticks may be so slow that the simulation takes them for rest
    assert abs(told.ticks - done.ticks) <= 2


def test_braking_from_a_steady_speed_takes_the_least_room_that_physics_allows() -> None:
    """v2 / 2a + v a / 2j, for a continuous motion; a tick's worth of way less or more for a sampled one."""
    brake = Brake(acceleration=2.0, jerk=20.0, dt=0.004)
    speed = 0.3
    assert brake.stop(speed * 0.004, 0.0).end == pytest.approx(
        speed**2 / 4.0 + speed * 2.0 / 40.0, abs=speed * 0.004
    )


def test_an_axis_that_stands_needs_no_room() -> None:
    assert Brake(acceleration=2.0, jerk=20.0, dt=0.004).stop(0.0, 0.0) == Stop(0.0, 0.0, 0.0, 0)
