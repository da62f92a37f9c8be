"""The way home before it is walked: straight stretches in joint space whose tool path is known and checked.

All joints turn together, in proportion, so the path does not depend on the speed: whoever brakes on it stays on it.
The flange's path follows from the maker's table of links, the tool's from where it is measured on the flange now. A way
is refused, in words, where it would leave the workspace; from outside it may only lead back inward, slowly. Its pace
keeps the joints within their own limits and the tool within those of [safety], along each axis.

Moves nothing, and knows no other arm; `hardware.homeward` walks it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware.arms.interface import ArmError
from hardware.plan import Vector
from hardware.quaternion import IDENTITY, Quaternion, turn_between
from hardware.safety import SafetySettings
from hardware.settings import ArmSettings, JointEnds, Pace

ON_THE_WALL = 0.005
"""m; so far outside its workspace a tool may stand."""
FORETOLD = 0.01
"""m; a real arm's links differ by some millimetres from their maker's table."""

_SPACING = 0.01
"""rad between two samples of a path; a tool an arm's length away moves by a centimetre."""
_FEWEST = 16
_BACKWARD = 1e-4
"""m by which a tool on its way back inside may stray from that by rounding."""
_SHORTEST = 1e-6
"""rad"""
_SHARE = 1.0 / 3.0
"""Speed, acceleration and jerk along a path each bring the tool a part of its acceleration and jerk."""

Flange = Callable[[Vector], Vector | None]
"""Joint angles rad [T, n] -> poses [T, 7] of the flange, m and xyzw, base frame; None where nobody knows."""


class WayError(ArmError):
    """There is no way home that keeps to the limits."""


@dataclass(frozen=True, kw_only=True)
class WayRules:
    """What the ways of one arm must keep to."""

    arm: str
    flange: Flange
    ends: JointEnds | None
    pace: Pace
    """Of the joint that turns farthest."""
    safety: SafetySettings

    @classmethod
    def of(cls, arm: ArmSettings, safety: SafetySettings) -> WayRules:
        """Those of an arm in its cell."""
        return cls(arm=arm.name, flange=arm.flange, ends=arm.joint_ends, pace=arm.home_pace, safety=safety)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """One straight line in joint space; `s`, rad, is how far the joint that turns farthest has turned."""

    start: Vector
    """[n] rad"""
    goal: Vector
    """[n] rad"""
    length: float
    """rad"""
    knots: Vector
    """[m] values of s, from 0 to `length`."""
    position: Vector
    """[m, 3] m, of the tool in the base frame."""
    quaternion: Vector
    """[m, 4]"""
    pace: Pace

    def joints(self, s: float) -> Vector:
        """The posture there, [n] rad; the ends exactly."""
        share = min(max(s / self.length, 0.0), 1.0)
        posture: Vector = self.goal if share == 1.0 else self.start + share * (self.goal - self.start)
        return posture

    @property
    def direction(self) -> Vector:
        """[n] rad per rad."""
        return (self.goal - self.start) / self.length


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tool:
    """Where the tool is on the flange, from one measurement."""

    rules: WayRules
    flange: Vector
    """[7]"""
    position: Vector
    quaternion: Vector

    @classmethod
    def measured(cls, rules: WayRules, joints: Vector, position: Vector, quaternion: Vector) -> _Tool:
        flange = rules.flange(joints[None])
        if flange is None:
            raise WayError(
                f"{rules.arm}: nobody can tell where it would go on its way home: its driver's settings do not say "
                "where its flange is at given joint angles. Give them the method flange."
            )
        return cls(rules=rules, flange=flange[0], position=position, quaternion=quaternion)

    def path(self, postures: Vector) -> tuple[Vector, Vector]:
        """Positions [m, 3] and quaternions [m, 4] at these postures [m, n]."""
        # a controller's process that goes nowhere starts in half the time without this library
        from scipy.spatial.transform import Rotation

        poses = self.rules.flange(postures)
        assert poses is not None, "a geometry that was known is forgotten"
        turns = Rotation.from_quat(poses[:, 3:]) * Rotation.from_quat(self.flange[3:]).inv()
        position = poses[:, :3] + turns.apply(self.position - self.flange[:3])
        return position, (turns * Rotation.from_quat(self.quaternion)).as_quat()


def tool_at(rules: WayRules, postures: Vector, joints: Vector, position: Vector) -> Vector:
    """Where the tool is at postures [m, n], m [m, 3], from where it is measured at `joints`. Raises WayError."""
    return _Tool.measured(rules, joints, position, np.array(IDENTITY)).path(postures)[0]


def plan_home(
    rules: WayRules, home: Vector, *, joints: Vector, position: Vector, quaternion: Vector
) -> list[Stretch]:
    """The way home from a posture, rad [n], and the tool's pose there.

    Raises:
        WayError: home is no posture of this arm, or there is no way that keeps to the limits.
    """
    _refuse_posture(rules, home, len(joints))
    tool = _Tool.measured(rules, joints, position, quaternion)
    straight = _stretch(tool, joints, home)
    why = _leaves(rules, straight)
    if why:
        raise WayError(
            f"{rules.arm}: on its way home the tool would leave its workspace: {why}. Bring it nearer to home by hand, "
            "in the vendor's manual mode, or make the workspace in [[safety.workspaces]] larger."
        )
    return _with_slow_return(rules, tool, straight)


def _refuse_posture(rules: WayRules, home: Vector, joints: int) -> None:
    if len(home) != joints:
        raise WayError(
            f"{rules.arm}: home has {len(home)} angles for {joints} joints. Correct it in [[arms]]."
        )
    if rules.ends is None:
        return
    lower, upper = (np.array(end) for end in rules.ends)
    beyond = np.maximum(lower - home, home - upper)
    worst = int(np.argmax(beyond))
    if not beyond[worst] < 0.0:
        raise WayError(
            f"{rules.arm}: home is no posture of this arm: joint {worst + 1} turns from {lower[worst]:.3f} to "
            f"{upper[worst]:.3f} rad, home says {home[worst]:.3f}. Correct home in [[arms]]."
        )


def _stretch(tool: _Tool, start: Vector, goal: Vector) -> Stretch:
    length = max(float(np.abs(goal - start).max()), _SHORTEST)
    knots = np.linspace(0.0, length, max(_FEWEST, round(length / _SPACING)) + 1)
    postures = start + np.outer(knots / length, goal - start)
    position, quaternion = tool.path(postures)
    pace = _pace(tool.rules, knots, position, quaternion)
    return Stretch(
        start=start,
        goal=goal,
        length=length,
        knots=knots,
        position=position,
        quaternion=quaternion,
        pace=pace,
    )


def _pace(rules: WayRules, knots: Vector, position: Vector, quaternion: Vector) -> Pace:
    """Speed, acceleration and jerk of s at which joints and tool keep all limits everywhere on the path."""
    safety, own = rules.safety, rules.pace
    velocity, acceleration = safety.velocity or 0.0, safety.acceleration or 0.0
    first, second, third = _derivatives(knots, position)
    turn = _turning(knots, quaternion)
    speed = min(
        own.speed,
        velocity / first,
        safety.rotation_rate / turn,
        (_SHARE * acceleration / second) ** (1 / 2),
        (_SHARE * safety.jerk / third) ** (1 / 3),
    )
    change = min(
        own.acceleration,
        _SHARE * acceleration / first,
        _SHARE * safety.rotation_acceleration / turn,
        _SHARE * safety.jerk / (3.0 * second * speed),
    )
    return Pace(speed=speed, acceleration=change, jerk=min(own.jerk, _SHARE * safety.jerk / first))


def _derivatives(knots: Vector, position: Vector) -> tuple[float, float, float]:
    """The greatest first three derivatives of the tool's position by s, along any axis; never zero."""
    found, values = [], position
    for _ in range(3):
        values = np.gradient(values, knots, axis=0)
        found.append(max(float(np.abs(values).max()), 1e-6))
    return found[0], found[1], found[2]


def _turning(knots: Vector, quaternion: Vector) -> float:
    """The greatest turn of the tool by s, rad per rad; never zero."""
    quaternions: list[Quaternion] = [(x, y, z, w) for x, y, z, w in quaternion.tolist()]
    turns = [turn_between(a, b) for a, b in itertools.pairwise(quaternions)]
    return max(1e-6, float(np.linalg.norm(turns, axis=1).max()) / float(knots[1] - knots[0]))


def _beyond(rules: WayRules, position: Vector) -> Vector:
    """How far the tool [m, 3] is outside each of its six walls, m [m, 6]: lower x y z, upper x y z; inside: 0."""
    box = next(box for box in rules.safety.workspaces if box.arm == rules.arm)
    walls = np.hstack([np.array(box.lower) - position, position - np.array(box.upper)])
    beyond: Vector = np.maximum(walls, 0.0)
    return beyond


def _leaves(rules: WayRules, stretch: Stretch) -> str:
    """Where the path leaves the workspace, or goes farther out; empty where it does not."""
    beyond = _beyond(rules, stretch.position)
    allowed = np.maximum(np.minimum.accumulate(beyond, axis=0) + _BACKWARD, FORETOLD)
    over = np.where(beyond > allowed, beyond, 0.0)
    knot, wall = np.unravel_index(int(np.argmax(over)), over.shape)
    if over[knot, wall] == 0.0:
        return ""
    side = "below" if wall < 3 else "above"
    box = next(box for box in rules.safety.workspaces if box.arm == rules.arm)
    limit = (*box.lower, *box.upper)[int(wall)]
    return f"{100 * over[knot, wall]:.1f} cm {side} its limit of {limit:g} m along {'xyz'[int(wall) % 3]}"


def _with_slow_return(rules: WayRules, tool: _Tool, straight: Stretch) -> list[Stretch]:
    """The part outside the workspace on its own and slowly, where there is one."""
    outside: NDArray[np.bool_] = _beyond(rules, straight.position).max(axis=1) > ON_THE_WALL
    if not outside[0]:
        return [straight]
    inside = np.flatnonzero(~outside)
    gate = straight.goal if not len(inside) else straight.joints(float(straight.knots[inside[0]]))
    back, rest = _stretch(tool, straight.start, gate), _stretch(tool, gate, straight.goal)
    first, _, _ = _derivatives(back.knots, back.position)
    slow = min(back.pace.speed, rules.safety.inward_speed / first)
    back = replace(back, pace=replace(back.pace, speed=slow))
    return [back] if not len(inside) else [back, rest]
