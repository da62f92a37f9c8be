"""Two arms decide at the same moment: each must reckon with the tick that the other is about to make."""

from __future__ import annotations

import pytest

from hardware.safety.axis import Move
from hardware.safety.clearance import Clearance, Sphere

CLEARANCE = Clearance(radius=0.05, velocity=0.3, acceleration=2.0, dt=0.005)


def standing(position: float) -> Move:
    return Move(position, 0.0, 0.0, position, position, 0, True)


def other(velocity: float, *, apart: float) -> Sphere:
    return Sphere(center=(apart, 0.0, 0.0), velocity=(velocity, 0.0, 0.0), radius=0.05)


@pytest.mark.parametrize(("velocity", "certain"), [(-0.2, False), (0.0, False), (0.2, True)])
def test_a_standing_arm_reckons_with_the_next_tick_of_one_that_comes(velocity: float, certain: bool) -> None:
    moves = [standing(0.0)] * 3
    assert CLEARANCE.certain(moves, [other(velocity, apart=0.1 + 1e-6)]) is certain


def test_a_stop_that_takes_longer_must_leave_more_room() -> None:
    quick = [Move(0.0, 0.0, 0.0, 0.0, 0.01, ticks, True) for ticks in (2, 0, 0)]
    slow = [move._replace(ticks=40) for move in quick]
    near = [other(0.0, apart=0.13)]
    assert CLEARANCE.certain(quick, near) and not CLEARANCE.certain(slow, near)
    assert CLEARANCE.certain(slow, [other(0.0, apart=0.3)])
