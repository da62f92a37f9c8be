"""Planning the path home: straight segments in joint space whose tool path is computed and checked in advance.

All joints turn together, in proportion, so the path does not depend on the speed: an arm that brakes stays on it. The
flange's path follows from the maker's nominal kinematics, the tool's from its measured pose on the flange. A path that
would leave the workspace is refused with a message; from outside it may only lead back inward, slowly. Its pace keeps
the joints within their own limits and the tool within those of [safety], along each axis.

Moves nothing, and considers no other arm; `hardware.controller.homeward` executes the path.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware.arms.interface import ArmError
from hardware.plan import Vector
from hardware.quaternion import IDENTITY, Quaternion, turn_between
from hardware.safety.filter import SafetySettings, WorkspaceSettings
from hardware.settings import ArmSettings, JointEnds, Pace

ON_THE_WALL = 0.005
"""m; how far outside its workspace a tool at rest may be."""
FORETOLD = 0.01
"""m; a real arm's links differ by some millimetres from the maker's nominal kinematics."""

_SPACING = 0.01
"""rad between two samples of a path; a tool an arm's length away moves by a centimetre."""
_FEWEST = 16
_BACKWARD = 1e-4
"""m; rounding tolerance for a tool on its way back inside."""
_STOPS = (1, 2, 4)
"""Intermediate configurations of a detour along the tool's straight line."""
_LIFTS = (0.0, 0.05, 0.1)
"""m above that line."""
_INSIDE = 0.005
"""m; distance of a detour's configurations from the workspace's walls."""
_NUDGE, _DAMPING, _CLOSE, _ATTEMPTS = 1e-4, 0.02, 1e-3, 40
"""Inverse kinematics: finite-difference step, rad; damping; tolerance, m and rad; iterations."""
_SHORTEST = 1e-6
"""rad"""
_SHARE = 0.25
"""Fraction of the tool's acceleration and jerk for the path's curvature at full speed; the rest is for braking."""
_FIRM = Pace(speed=0.0, acceleration=10.0, jerk=100.0)
"""Joint deceleration that every arm can reach, for paths on which the tool hardly moves."""

Flange = Callable[[Vector], Vector | None]
"""Joint angles rad [T, n] -> poses [T, 7] of the flange, m and xyzw, base frame; None where unknown."""


class WayError(ArmError):
    """No path home keeps within the limits."""


@dataclass(frozen=True, kw_only=True)
class WayRules:
    """Constraints on one arm's paths home."""

    arm: str
    flange: Flange
    ends: JointEnds | None
    pace: Pace
    """Of the joint that turns farthest."""
    safety: SafetySettings

    @classmethod
    def of(cls, arm: ArmSettings, safety: SafetySettings) -> WayRules:
        """The constraints of an arm in its cell."""
        return cls(arm=arm.name, flange=arm.flange, ends=arm.joint_ends, pace=arm.home_pace, safety=safety)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """One straight segment in joint space; `s`, rad, is the rotation so far of the joint that turns farthest."""

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
    """Limits for moving along it."""
    braking: Pace
    """Limits for braking on it at once: as firmly as a plan's motion."""

    def joints(self, s: float) -> Vector:
        """The joint configuration at `s`, [n] rad; exact at the ends."""
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
                f"{rules.arm}: its path home cannot be checked: its driver's settings have no forward kinematics. "
                "Implement their method flange."
            )
        return cls(rules=rules, flange=flange[0], position=position, quaternion=quaternion)

    def path(self, postures: Vector) -> tuple[Vector, Vector]:
        """Positions [m, 3] and quaternions [m, 4] at these joint configurations [m, n]."""
        # a controller's process that does not home starts twice as fast without this library
        from scipy.spatial.transform import Rotation

        poses = self.rules.flange(postures)
        assert poses is not None, "a geometry that was known is forgotten"
        turns = Rotation.from_quat(poses[:, 3:]) * Rotation.from_quat(self.flange[3:]).inv()
        position = poses[:, :3] + turns.apply(self.position - self.flange[:3])
        return position, (turns * Rotation.from_quat(self.quaternion)).as_quat()


def tool_at(rules: WayRules, postures: Vector, joints: Vector, position: Vector) -> Vector:
    """Tool positions, m [m, 3], at joint configurations [m, n], given `position` at `joints`. Raises WayError."""
    return _Tool.measured(rules, joints, position, np.array(IDENTITY)).path(postures)[0]


def plan_home(
    rules: WayRules, home: Vector, *, joints: Vector, position: Vector, quaternion: Vector
) -> list[Stretch]:
    """The path home from a joint configuration, rad [n], and the tool's pose there.

    Raises:
        WayError: home is outside this arm's joint limits, or no path keeps within the limits.
    """
    _refuse_posture(rules, home, len(joints))
    tool = _Tool.measured(rules, joints, position, quaternion)
    straight = [_stretch(tool, joints, home)]
    why = _leaves(rules, straight)
    way = (
        straight
        if not why
        else next((way for way in _detours(tool, straight[0]) if not _leaves(rules, way)), None)
    )
    if way is None:
        raise WayError(
            f"{rules.arm}: on its way home the tool would leave its workspace: {why}, and no detour was found. Bring "
            "it nearer to home by hand, in the vendor's manual mode, or make the workspace in [[safety.workspaces]] "
            "larger."
        )
    return [*_with_slow_return(rules, tool, way[0]), *way[1:]]


def _detours(tool: _Tool, straight: Stretch) -> Iterator[list[Stretch]]:
    """Paths along the tool's straight line home, which never leaves a convex box, and above it; fewest stops first."""
    box = workspace(tool.rules)
    start, end = straight.position[0], straight.position[-1]
    lower, upper = np.array(box.lower) + _INSIDE, np.array(box.upper) - _INSIDE
    for stops, lift in itertools.product(_STOPS, _LIFTS):
        postures = [straight.start]
        for share in np.arange(1, stops + 1) / (stops + 1):
            place = np.clip(start + share * (end - start) + [0.0, 0.0, lift], lower, upper)
            turned = straight.quaternion[round(share * (len(straight.knots) - 1))]
            posture = _reached(tool, straight.joints(share * straight.length), place, turned)
            if posture is None:
                break
            postures.append(posture)
        else:
            yield [_stretch(tool, a, b) for a, b in itertools.pairwise([*postures, straight.goal])]


def _reached(tool: _Tool, start: Vector, place: Vector, quaternion: Vector) -> Vector | None:
    """A joint configuration near `start` with the tool at this pose, by damped least squares; None if none found."""
    from scipy.spatial.transform import Rotation

    wanted, joints, nudges = Rotation.from_quat(quaternion), start, _NUDGE * np.eye(len(start))
    for _ in range(_ATTEMPTS):
        position, quaternions = tool.path(np.vstack([joints, joints + nudges]))
        turns = Rotation.from_quat(quaternions)
        missing = np.concatenate([place - position[0], (wanted * turns[0].inv()).as_rotvec()])
        if np.abs(missing).max() < _CLOSE:
            return joints if _within(tool.rules, joints) else None
        turning = (turns[1:] * turns[0].inv()).as_rotvec()
        jacobian = np.hstack([position[1:] - position[0], turning]).T / _NUDGE
        damped = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
        joints = joints + jacobian.T @ np.linalg.solve(damped, missing)
    return None


def _within(rules: WayRules, joints: Vector) -> bool:
    if rules.ends is None:
        return True
    lower, upper = (np.array(end) for end in rules.ends)
    return bool(((lower < joints) & (joints < upper)).all())


def workspace(rules: WayRules) -> WorkspaceSettings:
    """This arm's workspace."""
    return next(box for box in rules.safety.workspaces if box.arm == rules.arm)


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
            f"{rules.arm}: home is outside the joint limits: joint {worst + 1} turns from {lower[worst]:.3f} to "
            f"{upper[worst]:.3f} rad, home says {home[worst]:.3f}. Correct home in [[arms]]."
        )


def _stretch(tool: _Tool, start: Vector, goal: Vector) -> Stretch:
    length = max(float(np.abs(goal - start).max()), _SHORTEST)
    knots = np.linspace(0.0, length, max(_FEWEST, round(length / _SPACING)) + 1)
    postures = start + np.outer(knots / length, goal - start)
    position, quaternion = tool.path(postures)
    pace, braking = _paces(tool.rules, knots, position, quaternion)
    return Stretch(
        start=start,
        goal=goal,
        length=length,
        knots=knots,
        position=position,
        quaternion=quaternion,
        pace=pace,
        braking=braking,
    )


def _paces(rules: WayRules, knots: Vector, position: Vector, quaternion: Vector) -> tuple[Pace, Pace]:
    """Speed v, acceleration a and jerk j of s such that joints and tool keep all limits everywhere on the path.

    With the path's derivatives p1, p2, p3 the tool's acceleration is p1 a + p2 v^2, its jerk p1 j + 3 p2 v a + p3 v^3.
    """
    safety, own = rules.safety, rules.pace
    velocity, acceleration, jerk = safety.velocity or 0.0, safety.acceleration or 0.0, safety.jerk
    p1, p2, p3 = _derivatives(knots, position)
    turn = _turning(knots, quaternion)
    v = min(
        own.speed,
        velocity / p1,
        safety.rotation_rate / turn,
        (_SHARE * acceleration / p2) ** (1 / 2),
        (_SHARE * jerk / p3) ** (1 / 3),
    )
    a = min(
        max(own.acceleration, _FIRM.acceleration),
        (acceleration - p2 * v**2) / p1,
        safety.rotation_acceleration / turn,
        _SHARE * jerk / (3.0 * p2 * v),
    )
    j = min(max(own.jerk, _FIRM.jerk), (jerk - p3 * v**3 - 3.0 * p2 * v * a) / p1)
    going = Pace(speed=v, acceleration=min(own.acceleration, a), jerk=min(own.jerk, j))
    return going, Pace(speed=v, acceleration=a, jerk=j)


def _derivatives(knots: Vector, position: Vector) -> tuple[float, float, float]:
    """The greatest first, second and third derivative of the tool's position by s, along any axis; never zero."""
    found, values = [], position
    for _ in range(3):
        values = np.gradient(values, knots, axis=0)
        found.append(max(float(np.abs(values).max()), 1e-6))
    return found[0], found[1], found[2]


def _turning(knots: Vector, quaternion: Vector) -> float:
    """The greatest rotation of the tool by s, rad per rad; never zero."""
    quaternions: list[Quaternion] = [(x, y, z, w) for x, y, z, w in quaternion.tolist()]
    turns = [turn_between(a, b) for a, b in itertools.pairwise(quaternions)]
    return max(1e-6, float(np.linalg.norm(turns, axis=1).max()) / float(knots[1] - knots[0]))


def _beyond(rules: WayRules, position: Vector) -> Vector:
    """How far the tool [m, 3] is outside each of its six walls, m [m, 6]: lower x y z, upper x y z; inside: 0."""
    box = workspace(rules)
    walls = np.hstack([np.array(box.lower) - position, position - np.array(box.upper)])
    beyond: Vector = np.maximum(walls, 0.0)
    return beyond


def _leaves(rules: WayRules, way: Sequence[Stretch]) -> str:
    """Where a path leaves the workspace, or goes farther out, in words; empty where it does not."""
    beyond = _beyond(rules, np.vstack([stretch.position for stretch in way]))
    allowed = np.maximum(np.minimum.accumulate(beyond, axis=0) + _BACKWARD, FORETOLD)
    over = np.where(beyond > allowed, beyond, 0.0)
    knot, wall = np.unravel_index(int(np.argmax(over)), over.shape)
    if over[knot, wall] == 0.0:
        return ""
    side = "below" if wall < 3 else "above"
    box = workspace(rules)
    limit = (*box.lower, *box.upper)[int(wall)]
    return f"{100 * over[knot, wall]:.1f} cm {side} its limit of {limit:g} m along {'xyz'[int(wall) % 3]}"


def _with_slow_return(rules: WayRules, tool: _Tool, straight: Stretch) -> list[Stretch]:
    """Splits off the part outside the workspace, if any, and slows it down."""
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
