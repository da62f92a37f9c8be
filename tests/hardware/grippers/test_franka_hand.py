"""The Franka hand's driver, driven by the real franky against a simulated hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from hardware.arms.franka import FrankaSettings
from hardware.grippers.franka_hand import FrankaHand, FrankaHandSettings
from hardware.grippers.interface import Grasp, GripperError, GripperState
from tests.emulators.franka import FrankaEmulator
from tests.hardware.arms.franka_cells import NEEDS_FRANKY

pytestmark = pytest.mark.realtime

pytest.importorskip("franky", reason=NEEDS_FRANKY)
pytest.importorskip("franky_sim", reason=NEEDS_FRANKY)

PATIENCE = 20.0


@pytest.fixture(scope="module")
def emulator() -> Iterator[FrankaEmulator]:
    with FrankaEmulator() as emulator:
        yield emulator


@pytest.fixture
def hand(emulator: FrankaEmulator) -> Iterator[FrankaHand]:
    yield from connected(emulator, speed=0.2)


@pytest.fixture
def slow_hand(emulator: FrankaEmulator) -> Iterator[FrankaHand]:
    """Open, and so slow that a stop which libfranka holds up on a busy machine comes long before the goal."""
    for hand in connected(emulator, speed=0.2):
        arrive(hand, 0.08)
    yield from connected(emulator, speed=0.005)


def connected(emulator: FrankaEmulator, *, speed: float) -> Iterator[FrankaHand]:
    """A hand that is closed whatever its test comes to: the control box serves one connection only."""
    arm = FrankaSettings(name="left", address=emulator.addresses[0])
    hand = FrankaHandSettings(name="hand", speed=speed).build(arm)
    hand.connect()
    yield hand
    emulator.order("object", width=0.0)
    emulator.order("silence_hand", on=False)
    hand.close()


def until(hand: FrankaHand, condition: Callable[[GripperState], bool]) -> GripperState:
    end = time.monotonic() + PATIENCE
    while not condition(state := hand.state()):
        assert time.monotonic() < end, f"the hand never got there: {state}"
        time.sleep(0.01)
    return state


def arrive(hand: FrankaHand, width: float) -> GripperState:
    hand.move(width)
    return until(hand, lambda state: state.grasp is not Grasp.MOVING)


def test_the_hand_opens_and_closes_to_a_width_in_metres(hand: FrankaHand) -> None:
    assert arrive(hand, 0.07).width == pytest.approx(0.07, abs=2e-3)
    closed = arrive(hand, 0.02)
    assert closed.width == pytest.approx(0.02, abs=3e-3)
    assert closed.grasp is Grasp.NOTHING


def test_an_object_between_the_fingers_is_seen_held_and_let_go(
    hand: FrankaHand, emulator: FrankaEmulator
) -> None:
    arrive(hand, 0.07)
    emulator.order("object", width=0.04)
    held = arrive(hand, 0.0)
    assert held.grasp is Grasp.OBJECT
    assert held.width == pytest.approx(0.04, abs=3e-3)
    hand.move(0.01)
    assert hand.state().grasp is Grasp.OBJECT, "a narrower goal must not loosen the grip"
    assert arrive(hand, 0.07).grasp is Grasp.NOTHING


def test_a_move_returns_at_once_and_a_reversal_does_not_wait_for_the_old_goal(
    slow_hand: FrankaHand,
) -> None:
    hand = slow_hand
    began = time.monotonic()
    hand.move(0.0)
    assert time.monotonic() - began < 5.0, "the way there takes three times as long"
    until(hand, lambda state: state.width < 0.077)
    hand.move(0.08)
    narrowest = 0.08
    end = time.monotonic() + PATIENCE
    while (state := hand.state()).grasp is Grasp.MOVING and time.monotonic() < end:
        narrowest = min(narrowest, state.width)
    assert narrowest > 0.003, "it went on to the old goal before it turned"
    assert state.width == pytest.approx(0.08, abs=3e-3)


def test_of_many_goals_on_the_way_the_newest_wins(hand: FrankaHand) -> None:
    arrive(hand, 0.08)
    for step in range(8):
        hand.move(0.07 - 0.005 * step)
        time.sleep(0.02)
    settled = until(hand, lambda state: state.grasp is not Grasp.MOVING and state.width < 0.04)
    assert settled.width == pytest.approx(0.035, abs=3e-3)


def test_a_silent_hand_is_a_lost_link_and_recovering_connects_anew(
    hand: FrankaHand, emulator: FrankaEmulator
) -> None:
    hand.move(0.0 if hand.state().width > 0.04 else 0.08)
    emulator.order("silence_hand")
    with pytest.raises(GripperError, match=r"link to the hand is lost.*recover"):
        until(hand, lambda state: False)
    with pytest.raises(GripperError, match="not connected"):
        hand.move(0.02)
    emulator.order("silence_hand", on=False)
    hand.recover()
    assert arrive(hand, 0.05).width == pytest.approx(0.05, abs=3e-3)


@pytest.mark.slow
def test_a_control_box_without_a_hand_is_named() -> None:
    hand = FrankaHandSettings(name="hand", address="127.254.254.254").build(
        FrankaSettings(name="left", address="unused")
    )
    with pytest.raises(GripperError, match=r"no connection to the control box at 127\.254\.254\.254"):
        hand.connect()
