"""The check of a gripper's driver, on the device or on an emulator. Opens and closes the fingers."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.settings import ArmSettings, GripperSettings
from station.testing.contract import Contract, closed_after, require_settings

_WIDEST = 0.5  # m
_NEAR = 0.1
"""Tolerance of a width, as a part of the stroke."""


def check_gripper(
    settings: GripperSettings,
    arm: ArmSettings,
    *,
    unreachable: Callable[[], AbstractContextManager[object]] | None = None,
    patience: float = 30.0,
) -> None:
    """Check the gripper that `settings` build on `arm`: connect, move over the whole stroke, close, connect again.

    **The fingers open and close; nothing may be between them.** `unreachable`: a context in which the connected
    gripper does not answer. `patience`: s, for every motion.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    gripper = settings.build(arm)
    contract = Contract(subject=type(gripper).__name__, interface="hardware.grippers.interface.Gripper")
    require_settings(contract, settings)
    contract.require(isinstance(gripper.name, str) and gripper.name, "it has no name")
    contract.require(
        0.0 < gripper.max_width <= _WIDEST,
        f"max_width is {gripper.max_width:g}; it is in metres, at most {_WIDEST:g}",
    )
    contract.calm(gripper.close, "before connect", "close")
    contract.refuses(GripperError, gripper.state, "before connect", "state")
    with closed_after(gripper):
        said = gripper.connect()
        contract.require(isinstance(said, str) and said, f"connect returns {said!r}, no identity", "connect")
        _require_widths(contract, gripper, patience)
        gripper.recover()
        _arrive(contract, gripper, 0.5 * gripper.max_width, patience)
        if unreachable is not None:
            with unreachable():
                _require_lost(contract, gripper)
            gripper.recover()
            _arrive(contract, gripper, 0.6 * gripper.max_width, patience)
        contract.calm(gripper.close, "once", "close")
        contract.calm(gripper.close, "twice", "close")
        contract.refuses(GripperError, gripper.state, "after close", "state")
        gripper.connect()
        _arrive(contract, gripper, gripper.max_width, patience)


def _require_widths(contract: Contract, gripper: Gripper, patience: float) -> None:
    widest = gripper.max_width
    first = _state(contract, gripper)
    for wanted, reached in ((0.0, 0.0), (0.5 * widest, 0.5 * widest), (-1.0, 0.0), (10.0 * widest, widest)):
        _arrive(contract, gripper, wanted, patience, reached)
    contract.require(gripper.state().time > first.time, "the time stamp of its state stands still", "state")


def _arrive(
    contract: Contract, gripper: Gripper, wanted: float, patience: float, reached: float | None = None
) -> None:
    """Move to `wanted`, which is clipped to `reached`."""
    goal = wanted if reached is None else reached
    clipped = "" if reached in (None, wanted) else f", which is clipped to {goal:g}"
    contract.calm(lambda: gripper.move(wanted), f"({wanted:g} m{clipped})", "move")

    def there() -> bool:
        state = _state(contract, gripper)
        return state.grasp is not Grasp.MOVING and abs(state.width - goal) <= _NEAR * gripper.max_width

    contract.eventually(
        there,
        patience,
        f"after move({wanted:g}){clipped}, its width never was {goal:g} m and at rest",
        "move",
    )


def _state(contract: Contract, gripper: Gripper) -> GripperState:
    state = gripper.state()
    contract.recent(state.time, "state")
    contract.require(isinstance(state.grasp, Grasp), f"grasp is {state.grasp!r}, no Grasp", "state")
    contract.require(
        math.isfinite(state.width) and -0.01 <= state.width <= 1.1 * gripper.max_width,
        f"its width is {state.width:g}; it is in metres, from 0 to max_width = {gripper.max_width:g}",
        "state",
    )
    contract.require(not state.fault, f"it is healthy and reports the fault '{state.fault}'", "state")
    return state


def _require_lost(contract: Contract, gripper: Gripper) -> None:
    def ask() -> None:
        for _ in range(1000):
            gripper.state()

    contract.refuses(GripperError, ask, "while it does not answer", "state")
