"""Tool motion not chosen by a policy: limits on a target, and the path home. Pure functions of poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware.simulation.arm import TICK, Pose, home_pose, rotated, rotation_between
from hardware.simulation.settings import LimitSettings

_HOMING_SPEED = 0.35
_HOMING_TURN = 1.5
_HOMING_HEIGHT = 0.24
_HOMING_GRIPPER = 3.0
_ROUNDING = 1e-9


def within(limits: LimitSettings, last: Pose, wanted: Pose, period: float) -> Pose:
    """`wanted` itself if the limits allow it one `period`, s, after `last`, else the nearest allowed pose."""
    position = np.clip(wanted.position, limits.low, limits.high)
    step = position - last.position
    distance, reach = float(np.linalg.norm(step)), limits.speed * period
    if distance > reach + _ROUNDING:
        position = last.position + step * (reach / distance)
    turn = rotation_between(last.quaternion, wanted.quaternion)
    angle, arc = float(np.linalg.norm(turn)), limits.turn_rate * period
    quaternion = wanted.quaternion
    if angle > arc + _ROUNDING:
        quaternion = rotated(last.quaternion, turn * (arc / angle))
    span = limits.gripper_rate * period
    gripper = min(max(wanted.gripper, 0.0, last.gripper - span), 1.0, last.gripper + span)
    same = (
        np.array_equal(position, wanted.position)
        and quaternion is wanted.quaternion
        and gripper == wanted.gripper
    )
    return wanted if same else Pose(position=position, quaternion=quaternion, gripper=gripper)


def way_home(start: Pose) -> list[Pose]:
    """Every tick of the path home: open, rise, move over."""
    home = home_pose()
    opened = replace(start, gripper=1.0)
    high = np.array([start.position[0], start.position[1], max(start.position[2], _HOMING_HEIGHT)])
    way, here = list[Pose](), start
    for goal in (opened, replace(opened, position=high), home):
        way += _line(here, goal, _ticks_between(here, goal))
        here = goal
    return way


def _ticks_between(start: Pose, goal: Pose) -> int:
    distance = float(np.linalg.norm(goal.position - start.position))
    angle = float(np.linalg.norm(rotation_between(start.quaternion, goal.quaternion)))
    seconds = max(
        distance / _HOMING_SPEED, angle / _HOMING_TURN, abs(goal.gripper - start.gripper) / _HOMING_GRIPPER
    )
    return int(np.ceil(seconds / TICK))


def _line(start: Pose, goal: Pose, ticks: int) -> list[Pose]:
    """A straight line with a smooth start and stop."""
    turn = rotation_between(start.quaternion, goal.quaternion)
    way = []
    for tick in range(1, ticks + 1):
        share = tick / ticks
        share = share * share * (3.0 - 2.0 * share)
        way.append(
            Pose(
                position=start.position + share * (goal.position - start.position),
                quaternion=rotated(start.quaternion, share * turn),
                gripper=start.gripper + share * (goal.gripper - start.gripper),
            )
        )
    return way
