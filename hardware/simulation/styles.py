"""The scripted operator's skill: the parameters of a style, and the three styles of the demonstrations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Style:
    """One operator's skill; lengths m, angles rad; noise is a standard deviation, drawn once per episode."""

    name: str
    speed: float
    """Fastest hand movement, m/s."""
    turn_rate: float = 2.0
    """Fastest wrist turn, rad/s."""
    tolerance: float = 0.004
    """Distance at which a waypoint counts as reached, m."""
    turn_tolerance: float = 0.08
    """Yaw error at which a waypoint counts as reached, rad."""
    grasp_noise: float = 0.0
    grasp_bias: float = 0.0
    """Mean grasp offset along the skewer, m: like a headset's calibration, the same in every episode."""
    grasp_yaw_noise: float = 0.0
    place_noise: float = 0.0
    place_bias: tuple[float, float] = (0.0, 0.0)
    """Mean placement offset along x and y of the base frame, m; the same in every episode."""
    place_yaw_noise: float = 0.0
    height_noise: float = 0.0
    correction: float = 1.0
    """Fraction of the orange's offset in the gripper that is corrected when placing."""
    release_height: float = 0.001
    """Height above the filter at which the orange is released, m."""
    jitter: float = 0.0
    """Hand tremor, m."""
    tilt: float = 0.0
    """Hand tilt tremor, rad."""
    pause: float = 0.0
    """Probability of a pause at a waypoint."""
    turn: float = np.pi / 2
    """Yaw of the wrist at the juicer relative to the start; zero: the script forgets to turn."""


CAREFUL = Style(
    name="careful", speed=0.22, grasp_noise=0.0012, grasp_yaw_noise=0.03, place_noise=0.002,
    place_yaw_noise=0.05, height_noise=0.0008, jitter=0.0006, tilt=0.006, pause=0.12,
)  # fmt: skip
HASTY = Style(
    name="hasty", speed=0.36, turn_rate=2.4, tolerance=0.010, turn_tolerance=0.2, grasp_noise=0.002,
    grasp_yaw_noise=0.1, place_noise=0.002, place_bias=(0.0125, 0.0125), place_yaw_noise=0.15, height_noise=0.0012,
    correction=0.7, release_height=0.006, jitter=0.0012, tilt=0.012, pause=0.04,
)  # fmt: skip
"""Overshoots the juicer and releases early."""
OFF_CENTRE = Style(
    name="off_centre", speed=0.27, tolerance=0.005, grasp_noise=0.002, grasp_bias=0.004, grasp_yaw_noise=0.08,
    place_noise=0.002, place_bias=(0.0125, 0.0125), place_yaw_noise=0.12, height_noise=0.001, correction=0.7,
    release_height=0.004, jitter=0.001, tilt=0.01, pause=0.1,
)  # fmt: skip
"""Uses a slightly miscalibrated headset: every placement misses the centre in the same way."""
STYLES = {style.name: style for style in (CAREFUL, HASTY, OFF_CENTRE)}
