"""What the tests of everything on an xArm share: an emulated arm, its settings, and a way to stream poses to it."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hardware.arms.xarm import XArm, XArmSettings
from hardware.plan import Command, Vector
from tests.emulators.xarm import XArmEmulator

NEEDS_XARM = (
    "the xArm's package is missing; it comes with: pip install 'station[xarm]' (no apt package needed)"
)
SDK_IS_HERE = importlib.util.find_spec("xarm") is not None
"""Found without importing it, as it prints and makes folders then."""
needs_sdk = pytest.mark.skipif(not SDK_IS_HERE, reason=NEEDS_XARM)

HOME = {6: (0.0, -0.4, -0.7, 0.0, 1.1, 0.0), 7: (0.0, -0.2, 0.0, 0.9, 0.0, 1.1, 0.0)}


def settings(emulator: XArmEmulator, **other: Any) -> XArmSettings:
    """A complete table of an arm at the emulator's address."""
    table = {
        "name": "left",
        "joints": emulator.axes,
        "home": HOME[emulator.axes],
        "address": emulator.address,
        "control_port": emulator.control_port,
        "boundary_lower": (0.1, -0.4, 0.02),
        "boundary_upper": (0.7, 0.4, 0.6),
        "load_mass": 0.93,
        "load_center": (0.0, 0.0, 0.06),
        "tcp_position": (0.0, 0.0, 0.17),
        "tool_model": "robotiq",
        "report_timeout": 2.0,  # as wide as it goes, for busy machines
    }
    return XArmSettings.model_validate(table | other)


def command(position: Vector, quaternion: Vector) -> Command:
    """A pose on its own; the arm is not told speeds."""
    still = np.zeros(3)
    return Command(
        time=time.monotonic(),
        position=position,
        quaternion=quaternion,
        velocity=still,
        angular_velocity=still,
        gripper=1.0,
    )


def stream(
    arm: XArm,
    seconds: float,
    *,
    hz: float = 200.0,
    offset: Callable[[float], Vector] = lambda _: np.zeros(3),
) -> None:
    """Send the present pose, moved by `offset(t)` m, at a steady rate."""
    start = arm.state()
    begin = time.monotonic()
    for tick in range(round(seconds * hz)):
        arm.servo(command(start.position + offset(tick / hz), start.quaternion))
        time.sleep(max(0.0, begin + (tick + 1) / hz - time.monotonic()))


def wait_until(reached: Callable[[], bool], seconds: float = 30.0) -> None:
    """Poll with a deadline."""
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, f"did not happen within {seconds} s"
        time.sleep(0.005)
