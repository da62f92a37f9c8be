"""The scripted operator's hand motion for Place Orange, by waypoints.

Above the orange, down, close, up, over the juicer with the wrist turned, down, open, up. The script reads ground truth
and makes errors according to its style; it moves no arm and records nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware.simulation.arm import DOWN, HOME, rotated
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.styles import Style

Array = NDArray[np.float64]

GRASP_HEIGHT = 0.018
"""Tool above the orange's cut face when the pads hold it, m."""
_ABOVE_ORANGE = 0.07
_CARRY_HEIGHT = 0.19
_RETREAT = 0.10
_GAIN = 8.0
"""Fraction of the remaining distance per second near a waypoint: people slow down before they arrive."""
_TURN_GAIN = 6.0
_GRIPPER_RATE = 3.0
_AT_REST = 0.25
"""Fraction of its tremor that a hand has before it starts to work."""
_HAND_WANDER = 0.12
"""Drift of the hand during a clutch-off phase, m."""
ORANGE_IN_HAND = 0.03
"""An orange farther than this from the tool, m, is not in the gripper."""


@dataclass(frozen=True, kw_only=True)
class HandPose:
    """The hand's command at one step."""

    position: Array
    yaw: float
    gripper: float
    tilt: Array
    """[2] rad about the tool's x and y."""
    clutch: bool = True
    """Whether the arm follows."""


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """One episode's errors, drawn from the style."""

    grasp: Array
    """[2] m, along the fingers' closing direction and along the skewer."""
    grasp_yaw: float
    place: Array
    """[2] m, base frame."""
    place_yaw: float
    height: float


def _draw_errors(style: Style, rng: np.random.Generator) -> _Errors:
    grasp = rng.normal(0.0, 1.0, 2) * style.grasp_noise
    grasp[1] += style.grasp_bias
    place = rng.normal(0.0, 1.0, 2) * style.place_noise + style.place_bias
    return _Errors(
        grasp=grasp,
        grasp_yaw=float(rng.normal(0.0, style.grasp_yaw_noise)),
        place=place,
        place_yaw=float(rng.normal(0.0, style.place_yaw_noise)),
        height=float(rng.normal(0.0, style.height_noise)),
    )


class Script:
    """The closed-loop waypoint script: one hand pose per control period."""

    def __init__(self, cell: SimulatedCell, style: Style, rng: np.random.Generator) -> None:
        self._cell, self._style, self._rng = cell, style, rng
        self._dt = cell.spec.dt
        self._errors = _draw_errors(style, rng)
        self._position, self._yaw, self._gripper = np.array(HOME), 0.0, 1.0
        self._tremor = np.zeros(5)

    def poses(self, *, teleoperated: bool) -> Iterator[HandPose]:
        """The hand's motion; with `teleoperated` it starts idle and releases the clutch now and then."""
        rng, errors = self._rng, self._errors
        if teleoperated:
            yield from self._hold(rng.uniform(0.3, 1.5), tremor=_AT_REST)
        orange = self._cell.truth()
        yaw = -orange.orange_yaw  # the tool looks down: its yaw turns the other way
        across, along = _axes(orange.orange_yaw)
        grasp = orange.orange + errors.grasp[0] * across + errors.grasp[1] * along
        grasp[2] += GRASP_HEIGHT + errors.height
        grasp_yaw = yaw + errors.grasp_yaw
        yield from self._move(_raised(grasp, _ABOVE_ORANGE), grasp_yaw)
        yield from self._rest(teleoperated)
        yield from self._move(grasp, grasp_yaw)
        yield from self._close()
        yield from self._move(np.array([grasp[0], grasp[1], _CARRY_HEIGHT]), grasp_yaw, loose=True)
        yield from self._rest(teleoperated)
        yield from self._place(teleoperated)

    def _place(self, teleoperated: bool) -> Iterator[HandPose]:
        errors, style = self._errors, self._style
        scene = self._cell.truth()
        yaw = -scene.juicer_yaw + style.turn + errors.place_yaw
        goal = scene.filter.copy()
        goal[:2] += errors.place
        above = np.array([goal[0], goal[1], _CARRY_HEIGHT])
        yield from self._move(above, yaw)
        yield from self._rest(teleoperated)
        scene = self._cell.truth()
        offset = style.correction * (scene.orange[:2] - scene.tool[:2])
        if np.hypot(offset[0], offset[1]) < ORANGE_IN_HAND:
            goal[:2] -= offset
        goal[2] += GRASP_HEIGHT + errors.height + style.release_height
        yield from self._move(goal, yaw)
        yield from self._open()
        yield from self._move(_raised(goal, _RETREAT), yaw)
        yield from self._hold(1.0)

    def _move(self, goal: Array, yaw: float, *, loose: bool = False) -> Iterator[HandPose]:
        """Move until the goal is reached; with `loose`, corners are cut by a few centimetres."""
        style, tolerance = self._style, 0.03 if loose else self._style.tolerance
        while True:
            way, turn = goal - self._position, yaw - self._yaw
            distance = float(np.linalg.norm(way))
            if distance < tolerance and abs(turn) < style.turn_tolerance:
                return
            self._position = self._position + way * _share(distance, style.speed, _GAIN, self._dt)
            self._yaw += turn * _share(abs(turn), style.turn_rate, _TURN_GAIN, self._dt)
            yield self._pose()

    def _close(self) -> Iterator[HandPose]:
        """Close until the fingers have stopped at the orange, or at each other."""
        previous = 2.0
        while self._gripper > 0.0 or previous - self._cell.truth().opening > 0.01:
            previous = self._cell.truth().opening
            self._gripper = max(0.0, self._gripper - _GRIPPER_RATE * self._dt)
            yield self._pose()

    def _open(self) -> Iterator[HandPose]:
        while self._gripper < 1.0:
            self._gripper = min(1.0, self._gripper + _GRIPPER_RATE * self._dt)
            yield self._pose()

    def _rest(self, teleoperated: bool) -> Iterator[HandPose]:
        """Sometimes pause, sometimes reposition the hand with the clutch off."""
        if self._rng.random() < self._style.pause:
            yield from self._hold(self._rng.uniform(0.2, 0.6))
        if teleoperated and self._rng.random() < 0.25:
            yield from self._reposition(self._rng.uniform(0.3, 0.8))

    def _hold(self, seconds: float, tremor: float = 1.0) -> Iterator[HandPose]:
        for _ in range(round(seconds / self._dt)):
            yield self._pose(tremor)

    def _reposition(self, seconds: float) -> Iterator[HandPose]:
        drift = self._rng.normal(0.0, _HAND_WANDER, 3)
        steps = max(1, round(seconds / self._dt))
        for step in range(1, steps + 1):
            pose = self._pose()
            yield replace(pose, position=pose.position + drift * (step / steps), clutch=False)

    def _pose(self, tremor: float = 1.0) -> HandPose:
        keep = np.exp(-self._dt / 0.25)
        self._tremor = keep * self._tremor + np.sqrt(1.0 - keep**2) * self._rng.normal(0.0, 1.0, 5)
        return HandPose(
            position=self._position + tremor * self._style.jitter * self._tremor[:3],
            yaw=self._yaw,
            gripper=self._gripper,
            tilt=tremor * self._style.tilt * self._tremor[3:],
        )


def hand_quaternion(hand: HandPose) -> Array:
    """xyzw of a tool that points down, rotated by yaw about its axis and slightly tilted."""
    turn = np.array([hand.tilt[0], hand.tilt[1], hand.yaw])
    return np.roll(rotated(np.array(DOWN), turn), -1)


def _raised(position: Array, height: float) -> Array:
    return np.array([position[0], position[1], position[2] + height])


def _axes(yaw: float) -> tuple[Array, Array]:
    """Unit vectors across and along a skewer at `yaw`."""
    return np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([-np.sin(yaw), np.cos(yaw), 0.0])


def _share(remaining: float, fastest: float, gain: float, dt: float) -> float:
    """The fraction of the remaining distance that one period covers."""
    return min(1.0, gain * dt, fastest * dt / max(remaining, 1e-9))
