"""The last limits before an arm: (state, target) -> (state, command, reasons), at controller rate.

Guarantees for every command, whatever the targets were:

- Along each axis of the base frame, velocity, acceleration and jerk stay within their limits, as differences of the
  positions that are sent. The limits are per axis: a diagonal may be faster by the square root of three.
- From each command the arm can brake within those limits to rest inside its workspace, and certainly clear of the
  other arm. `axis` and `clearance` explain why a state that can brake always has a successor that can.
- The rotation rate and its change stay within their limits as vector lengths, the gripper's rate within its own.

A target within all limits that leaves room to brake becomes the command, bit for bit. Room to brake is room to come to
rest: a motion that reverses at a wall with its full acceleration a passes if it keeps a^3 / (24 jerk^2) away from it,
below a millimetre for usual limits; one that comes to rest there may touch it. Otherwise each axis follows as fast as
it may such that it would come to rest on the target; a wall in the way of one axis does not slow down the others, the
other arm slows down all. Without a target, or with one that is not finite, the arm brakes. An arm that starts outside
moves only inward, slowly, and along no other axis.

The state is what was sent, not what was measured: seed it with `SafetyState.at_rest` when servoing begins. The filter
depends on no plan, device or clock. It is software and replaces no hardware emergency stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from datasets.errors import StationError
from datasets.settings import Settings
from hardware.plan import Command, Target, Vector
from hardware.quaternion import Quaternion, Vector3, normalized
from hardware.safety.axis import Axis, Interval, Move
from hardware.safety.clearance import Clearance, Sphere
from hardware.safety.reasons import Reason
from hardware.safety.turning import Turning
from hardware.settings import Place

__all__ = [
    "Reason",
    "SafetyError",
    "SafetyFilter",
    "SafetySettings",
    "SafetyState",
    "Sphere",
    "WorkspaceSettings",
]

_HALVINGS = 6
_ROUNDED = 1e-8
"""m beyond its workspace at which an arm still counts as inside: more than any rounding error."""
_ROUNDING = 1.0 + 1e-9
_UNIT = 1e-6
"""Tolerance on a quaternion's length to count as one."""


class WorkspaceSettings(Settings):
    """The box to which one arm's tool centre point is confined."""

    arm: str
    """Name of the arm."""
    lower: Place
    """Lowest x, y and z, m, in the arm's base frame."""
    upper: Place
    """Highest x, y and z, m, in the arm's base frame."""

    @model_validator(mode="after")
    def _ordered(self) -> WorkspaceSettings:
        if any(low >= high for low, high in zip(self.lower, self.upper, strict=True)):
            raise ValueError(
                f"the workspace of {self.arm} is empty: every lower bound must be below its upper bound"
            )
        return self


class SafetySettings(Settings):
    """Limits of the arms; workspaces, velocity and acceleration have no defaults and must be set."""

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
    """Radius, m, of the sphere about the tool centre point that encloses tool and wrist; required for two arms."""
    inward_speed: float = Field(default=0.02, gt=0.0, le=0.1)
    """Fastest motion of an arm that starts outside its workspace back towards it, m/s."""
    stale_plan: float = Field(default=5.0, gt=0.0, le=60.0)
    """Maximum time from a plan's camera images to its start, s; the first inference takes longest."""
    heartbeat: float = Field(default=0.3, ge=0.05, le=2.0)
    """Maximum age of the planning loop's heartbeat before the arm brakes, s."""
    frame_age: float = Field(default=0.2, gt=0.0, le=5.0)
    """Maximum age of a camera frame for motion to start or continue, s."""
    home_tolerance: float = Field(default=0.05, gt=0.0, le=0.5)
    """Maximum distance of each joint from its home angle at the start of an episode, rad."""
    mean_of_poses: Literal[1, 3] = 1
    """Temporal filter: each pose of a plan becomes the mean of this many last ones; 1 leaves plans unchanged."""

    def missing(self, arms: Sequence[str]) -> tuple[str, ...]:
        """Names of the limits that these arms need but that are not set."""
        boxes = {workspace.arm for workspace in self.workspaces}
        names = [f"workspaces (arm = {arm!r})" for arm in arms if arm not in boxes]
        names += [name for name in ("velocity", "acceleration") if getattr(self, name) is None]
        if len(arms) > 1 and self.radius is None:
            names.append("radius")
        return tuple(names)


class SafetyError(StationError, ValueError):
    """Limits that are not set, or that contradict each other."""


@dataclass(frozen=True, kw_only=True)
class SafetyState:
    """The last command; seeded from the arm's state when servoing begins."""

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
        """An arm at rest: m [3], xyzw [4], 0..1."""
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


class _Goal(NamedTuple):
    """A target as plain floats."""

    position: Vector3
    velocity: Vector3
    quaternion: Quaternion
    angular_velocity: Vector3
    gripper: float


class SafetyFilter:
    """The limits of one arm."""

    def __init__(self, settings: SafetySettings, dt: float, arm: str | None = None) -> None:
        """`dt` is the controller's period, s; `arm` names the workspace, and may be omitted if there is only one.

        Raises:
            SafetyError: a limit is not set.
        """
        names = (arm,) if arm is not None else tuple(box.arm for box in settings.workspaces[:1])
        missing = settings.missing(names) if names else ("workspaces", *settings.missing(()))
        if missing or settings.velocity is None or settings.acceleration is None:
            raise SafetyError(f"[safety] does not set {', '.join(missing)}; set it, then start again.")
        box = next(box for box in settings.workspaces if box.arm == names[0])
        self._bounds: tuple[Interval, ...] = tuple(zip(box.lower, box.upper, strict=True))
        self._settings = settings
        self._axis = Axis(
            velocity=settings.velocity, acceleration=settings.acceleration, jerk=settings.jerk, dt=dt
        )
        self._clearance = Clearance(
            radius=settings.radius or 0.0,
            velocity=settings.velocity,
            acceleration=settings.acceleration,
            dt=dt,
        )
        self._turning = Turning(
            rate=settings.rotation_rate, acceleration=settings.rotation_acceleration, dt=dt
        )
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
        """The command of one tick, stamped `now`, s; no target brakes.

        `dt` is the period between commands, the one the filter was built for, not a measured time.

        Raises:
            SafetyError: `dt` is a different period.
        """
        if abs(dt - self._dt) > 1e-3 * self._dt:
            raise SafetyError(f"The limits were prepared for a period of {self._dt} s, not {dt} s.")
        goal = None if target is None else _goal(target)
        reasons: list[Reason | None] = []
        if goal is None:
            reasons.append(Reason.STALE if target is None else Reason.NOT_FINITE)
        moves = self._moves(state, goal, reasons)
        moves = self._kept_clear(state, moves, others, reasons) if others else moves
        if goal is None:
            quaternion, rate, reason = self._turning.braked(state.quaternion, state.angular_velocity)
            gripper = state.gripper
        else:
            quaternion, rate, reason = self._turning.follow(
                state.quaternion, state.angular_velocity, goal.quaternion, goal.angular_velocity
            )
            gripper = self._gripper(state.gripper, goal.gripper, reasons)
        reasons.append(reason)
        after = self._after(moves, quaternion, rate, gripper)
        return after, _command(after, now), tuple(dict.fromkeys(r for r in reasons if r is not None))

    def _moves(self, state: SafetyState, goal: _Goal | None, reasons: list[Reason | None]) -> list[Move]:
        """The move of each axis, considering the workspace only."""
        dt, axis = self._dt, self._axis
        outside = [
            not low - _ROUNDED <= x <= high + _ROUNDED
            for x, (low, high) in zip(state.position, self._bounds, strict=True)
        ]
        astray = any(outside)
        if astray:
            reasons.append(Reason.OUTSIDE)
        moves = []
        for i, bounds in enumerate(self._bounds):
            position, speed, change = (
                state.position[i],
                state.velocity[i] * dt,
                state.acceleration[i] * dt * dt,
            )
            if goal is None or (astray and not outside[i]):
                move = axis.braked(position, speed, change)
            else:
                target = goal.position[i], goal.velocity[i] * dt
                fastest = self._settings.inward_speed * dt if astray else None
                move = axis.follow(position, speed, change, target, bounds, fastest)
            moves.append(move)
            reasons.append(move.reason)
        return moves

    def _kept_clear(
        self, state: SafetyState, moves: list[Move], others: Sequence[Sphere], reasons: list[Reason | None]
    ) -> list[Move]:
        """The moves, scaled back as far as needed to keep clear of the other arm; braking at worst."""
        if self._clearance.certain(moves, others):
            return moves
        dt = self._dt
        now = [(state.position[i], state.velocity[i] * dt, state.acceleration[i] * dt * dt) for i in range(3)]
        best = braked = [self._axis.braked(*numbers) for numbers in now]
        if self._clearance.allowed(moves, braked, others):
            return moves
        reasons.append(Reason.OTHER_ARM)
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            share = 0.5 * (low + high)
            tried = [
                self._axis.between(position, speed, braked[i], moves[i], share)
                for i, (position, speed, _) in enumerate(now)
            ]
            if self._clearance.allowed(tried, braked, others):
                best, low = tried, share
            else:
                high = share
        return best

    def _gripper(self, now: float, target: float, reasons: list[Reason | None]) -> float:
        wanted = min(max(target, 0.0), 1.0)
        reach = self._settings.gripper_rate * self._dt
        if abs(wanted - now) <= reach * _ROUNDING:
            return wanted
        reasons.append(Reason.GRIPPER_RATE)
        return now + math.copysign(reach, wanted - now)

    def _after(
        self, moves: Sequence[Move], quaternion: Quaternion, rate: Vector3, gripper: float
    ) -> SafetyState:
        x, y, z = moves
        dt, squared = self._dt, self._dt * self._dt
        return SafetyState(
            position=(x.position, y.position, z.position),
            velocity=(x.speed / dt, y.speed / dt, z.speed / dt),
            acceleration=(x.change / squared, y.change / squared, z.change / squared),
            quaternion=quaternion,
            angular_velocity=rate,
            gripper=gripper,
        )


def _goal(target: Target) -> _Goal | None:
    """The numbers of a target; None if one is not finite or the quaternion has length zero."""
    px, py, pz = target.position.tolist()
    vx, vy, vz = target.velocity.tolist()
    wx, wy, wz = target.angular_velocity.tolist()
    x, y, z, w = target.quaternion.tolist()
    gripper = float(target.gripper)
    quaternion: Quaternion | None = (x, y, z, w)
    if abs(x * x + y * y + z * z + w * w - 1.0) > _UNIT:
        quaternion = normalized((x, y, z, w))
    numbers = (px, py, pz, vx, vy, vz, wx, wy, wz, x, y, z, w, gripper)
    if quaternion is None or not all(map(math.isfinite, numbers)):
        return None
    return _Goal((px, py, pz), (vx, vy, vz), quaternion, (wx, wy, wz), gripper)


def _command(state: SafetyState, now: float) -> Command:
    return Command(
        time=now,
        position=np.array(state.position),
        quaternion=np.array(state.quaternion),
        velocity=np.array(state.velocity),
        angular_velocity=np.array(state.angular_velocity),
        gripper=state.gripper,
    )
