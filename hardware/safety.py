"""The last word before an arm: (state, target) -> (state, command, reasons), at controller rate.

Knows no plan, no device and no clock; reads only numbers. It is software and replaces no hardware emergency stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from datasets.settings import Settings
from hardware.plan import Command, Target, Vector
from hardware.quaternion import Quaternion, Vector3, turn_between, turned


class WorkspaceSettings(Settings):
    """The box in which one arm's tool centre point may be."""

    arm: str
    """Name of the arm."""
    lower: Vector3
    """Lowest x, y and z, m, in the arm's base frame."""
    upper: Vector3
    """Highest x, y and z, m, in the arm's base frame."""

    @model_validator(mode="after")
    def _ordered(self) -> WorkspaceSettings:
        if any(low >= high for low, high in zip(self.lower, self.upper, strict=True)):
            raise ValueError(
                f"the workspace of {self.arm} is empty: every lower bound must be below its upper bound"
            )
        return self


class SafetySettings(Settings):
    """What the arms may do; workspaces, velocity and acceleration have no defaults and must be set."""

    workspaces: tuple[WorkspaceSettings, ...] = ()
    """One box for each arm."""
    velocity: float | None = Field(default=None, gt=0.0, le=2.0)
    """Fastest translation along each axis, m/s; a diagonal may be 1.7 times as fast."""
    acceleration: float | None = Field(default=None, gt=0.0, le=20.0)
    """Largest acceleration along each axis, m/s2."""
    jerk: float = Field(default=20.0, gt=0.0, le=5000.0)
    """Largest jerk along each axis, m/s3."""
    rotation_rate: float = Field(default=1.5, gt=0.0, le=6.0)
    """Fastest rotation about any axis, rad/s."""
    rotation_acceleration: float = Field(default=10.0, gt=0.0, le=100.0)
    """Largest change of the rotation rate, rad/s2."""
    gripper_rate: float = Field(default=4.0, gt=0.0, le=20.0)
    """Fastest opening or closing, full strokes per second."""
    radius: float | None = Field(default=None, gt=0.0, le=0.5)
    """Radius, m, of the sphere about the tool centre point that holds tool and wrist; two arms must set it."""
    inward_speed: float = Field(default=0.02, gt=0.0, le=0.1)
    """How fast an arm that starts outside its workspace may move towards it, m/s."""
    stale_plan: float = Field(default=0.5, gt=0.0, le=5.0)
    """How long after its last pose a plan may have run out before the arm counts as left alone, s."""
    heartbeat: float = Field(default=0.3, ge=0.05, le=2.0)
    """How old the sign of life of the loop that makes plans may be before the arm brakes, s."""
    frame_age: float = Field(default=0.2, gt=0.0, le=5.0)
    """Oldest camera frame on which motion may start and go on, s."""
    home_tolerance: float = Field(default=0.05, gt=0.0, le=0.5)
    """How far each joint may be from its home angle at the start of an episode, rad."""
    mean_of_poses: Literal[1, 3] = 1
    """The temporal filter: each pose of a plan becomes the mean of this many last ones; 1 leaves plans as they are."""

    def missing(self, arms: Sequence[str]) -> tuple[str, ...]:
        """Names of the limits that these arms need and that are not set."""
        boxes = {workspace.arm for workspace in self.workspaces}
        names = [f"workspaces (arm = {arm!r})" for arm in arms if arm not in boxes]
        names += [name for name in ("velocity", "acceleration") if getattr(self, name) is None]
        if len(arms) > 1 and self.radius is None:
            names.append("radius")
        return tuple(names)


class SafetyError(ValueError):
    """Limits that are not set, or that contradict each other."""


class Reason(StrEnum):
    """Why a command is not the target."""

    STALE = "stale"
    """There was no target."""
    NOT_FINITE = "not_finite"
    """The target held NaN or infinity."""
    OUTSIDE = "outside"
    """The arm is outside its workspace, and may only move inward."""
    BOX = "box"
    VELOCITY = "velocity"
    ACCELERATION = "acceleration"
    JERK = "jerk"
    OTHER_ARM = "other_arm"
    ROTATION_RATE = "rotation_rate"
    ROTATION_ACCELERATION = "rotation_acceleration"
    GRIPPER_RATE = "gripper_rate"


@dataclass(frozen=True, kw_only=True)
class SafetyState:
    """What was commanded last; seeded from the arm's state when servoing begins."""

    position: Vector3
    """m"""
    velocity: Vector3
    """m/s"""
    acceleration: Vector3
    """m/s2"""
    quaternion: Quaternion
    angular_velocity: Vector3
    """rad/s, base frame."""
    gripper: float

    @classmethod
    def at_rest(cls, position: Vector, quaternion: Vector, gripper: float) -> SafetyState:
        """A standing arm: m [3], xyzw [4], 0..1."""
        x, y, z = (float(number) for number in position)
        qx, qy, qz, qw = (float(number) for number in quaternion)
        nothing = (0.0, 0.0, 0.0)
        return cls(
            position=(x, y, z),
            velocity=nothing,
            acceleration=nothing,
            quaternion=(qx, qy, qz, qw),
            angular_velocity=nothing,
            gripper=gripper,
        )


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """A part of the other arm, in this arm's base frame."""

    center: Vector3
    """m"""
    velocity: Vector3
    """m/s"""
    radius: float
    """m"""


class SafetyFilter:
    """The limits of one arm."""

    def __init__(self, settings: SafetySettings, dt: float, arm: str | None = None) -> None:
        """`dt` is the controller's period, s; `arm` names the workspace, and may be left out where there is one.

        Raises:
            SafetyError: a limit is not set, or the limits contradict each other.
        """
        names = (arm,) if arm is not None else tuple(box.arm for box in settings.workspaces[:1])
        missing = settings.missing(names)
        if missing or not names:
            raise SafetyError(f"[safety] does not set {', '.join(missing) or 'workspaces'}.")
        self._box = next(box for box in settings.workspaces if box.arm == names[0])
        self._settings = settings
        self._dt = dt

    def step(
        self,
        state: SafetyState,
        target: Target | None,
        dt: float,
        others: Sequence[Sphere] = (),
        *,
        now: float = 0.0,
    ) -> tuple[SafetyState, Command, tuple[Reason, ...]]:
        """The command of one tick, stamped `now`; no target brakes.

        Pass the controller's period as `dt`, not the measured time: commands are spaced by it.
        """
        reasons: list[Reason] = []
        if target is None:
            reasons.append(Reason.STALE)
        aim = np.asarray(state.position) if target is None else target.position
        aim = np.clip(aim, self._box.lower, self._box.upper)
        reach = (self._settings.velocity or 0.0) * dt
        move = np.clip(aim - state.position, -reach, reach)
        x, y, z = (float(number) for number in np.asarray(state.position) + move)
        quaternion = state.quaternion
        if target is not None:
            tx, ty, tz, tw = (float(number) for number in target.quaternion)
            rx, ry, rz = turn_between(state.quaternion, (tx, ty, tz, tw))
            share = min(
                1.0, self._settings.rotation_rate * dt / max(1e-9, (rx * rx + ry * ry + rz * rz) ** 0.5)
            )
            quaternion = turned((rx * share, ry * share, rz * share), state.quaternion)
        after = SafetyState(
            position=(x, y, z),
            velocity=(float(move[0]) / dt, float(move[1]) / dt, float(move[2]) / dt),
            acceleration=state.acceleration,
            quaternion=quaternion,
            angular_velocity=state.angular_velocity,
            gripper=state.gripper if target is None else target.gripper,
        )
        command = Command(
            time=now,
            position=np.array(after.position),
            quaternion=np.array(after.quaternion),
            velocity=np.array(after.velocity),
            angular_velocity=np.array(after.angular_velocity),
            gripper=after.gripper,
        )
        return after, command, tuple(reasons)
