"""The moving part of the emulated arm: joints that follow a target within bounds of speed and acceleration.

It knows no registers and no faults. Metres, radians, seconds.
"""

from __future__ import annotations

from math import asin, atan2, cos, sin, sqrt

import numpy as np

from tests.emulators.xarm.kinematics import Array, Chain

MAX_SPEED = 3.14
"""rad/s of any joint, the vendor's figure."""
SERVO_ACCELERATION = 60.0
"""rad/s² with which it follows a stream and brakes; stiff, as servo mode goes to each target as fast as it can."""

_AT_REST = 1e-3


class Body:
    """Joint angles and speeds, and where they are sent."""

    def __init__(self, axes: int, joints: Array) -> None:
        self.chain = Chain(axes)
        self.joints: Array = np.array(joints, np.float64)
        self.speed: Array = np.zeros(axes)
        self.target: Array = self.joints.copy()
        self.tool: Array = np.eye(4)
        """The tool centre point in the flange's frame, [4, 4]."""
        self.slip = 0.0
        """rad/s at which the first joint gives way, whatever is asked: a brake that slips."""
        self._limit = (MAX_SPEED, SERVO_ACCELERATION)

    @property
    def moving(self) -> bool:
        """Whether any joint turns or still has a way to go."""
        return bool(np.abs(self.speed).max() > _AT_REST or np.abs(self.target - self.joints).max() > 1e-4)

    @property
    def turning(self) -> bool:
        """Whether any joint turns."""
        return bool(np.abs(self.speed).max() > _AT_REST)

    def tool_pose(self) -> Array:
        """The tool centre point in the base frame, [4, 4]."""
        return self.chain.forward(self.joints) @ self.tool

    def solve(self, pose: Array, iterations: int = 6) -> tuple[Array, float]:
        """Angles for a tool pose [4, 4], near the present target, and the error that is left."""
        flange = pose @ np.linalg.inv(self.tool)
        return self.chain.inverse(flange, self.target, iterations)

    def go(self, target: Array, speed: float = MAX_SPEED, acceleration: float = SERVO_ACCELERATION) -> None:
        """Head for these angles."""
        self.target = np.array(target, np.float64)
        self._limit = (min(speed, MAX_SPEED), min(acceleration, SERVO_ACCELERATION))

    def rest_at(self, joints: Array) -> None:
        """Be there at once, standing."""
        self.joints = np.array(joints, np.float64)
        self.target, self.speed = self.joints.copy(), np.zeros_like(self.joints)

    def brake(self, dt: float) -> None:
        """One tick of slowing down as fast as the joints can; where they come to rest becomes the target."""
        self._accelerate(np.zeros_like(self.speed), SERVO_ACCELERATION, dt)
        self.joints = self.joints + self.speed * dt
        self._give_way(dt)
        self.target = self.joints.copy()

    def tick(self, dt: float) -> None:
        """One tick towards the target."""
        top, acceleration = self._limit
        way = self.target - self.joints
        distance = np.abs(way)
        # The speed from which it can still stop in time, and which does not step over the target in this tick.
        wanted = np.minimum(np.minimum(top, np.sqrt(2 * acceleration * distance)), distance / dt)
        self._accelerate(np.sign(way) * wanted, acceleration, dt)
        self.joints = self.joints + self.speed * dt
        self._give_way(dt)

    def _give_way(self, dt: float) -> None:
        self.joints[0] += self.slip * dt
        self.target[0] += self.slip * dt

    def _accelerate(self, wanted: Array, acceleration: float, dt: float) -> None:
        step = acceleration * dt
        self.speed = self.speed + np.clip(wanted - self.speed, -step, step)


def from_rpy(values: Array) -> Array:
    """A pose [4, 4] from x y z (m) and roll pitch yaw (rad, about the fixed axes), [6]."""
    x, y, z, roll, pitch, yaw = values
    cr, sr, cp, sp, cy, sy = cos(roll), sin(roll), cos(pitch), sin(pitch), cos(yaw), sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, x],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr, y],
            [-sp, cp * sr, cp * cr, z],
            [0, 0, 0, 1],
        ]
    )


def to_rpy(pose: Array) -> Array:
    """The reverse, [6]."""
    roll, yaw = atan2(pose[2, 1], pose[2, 2]), atan2(pose[1, 0], pose[0, 0])
    pitch = asin(max(-1.0, min(1.0, -pose[2, 0])))
    return np.array([*pose[:3, 3], roll, pitch, yaw])


def from_axis_angle(values: Array) -> Array:
    """A pose [4, 4] from x y z (m) and a rotation vector (rad), [6]."""
    pose = np.eye(4)
    pose[:3, 3] = values[:3]
    angle = sqrt(float(values[3:] @ values[3:]))
    if angle > 1e-12:
        x, y, z = values[3:] / angle
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        pose[:3, :3] += sin(angle) * cross + (1 - cos(angle)) * cross @ cross
    return pose


def to_axis_angle(pose: Array) -> Array:
    """The reverse, [6]; a half turn, where every tool points straight down, included."""
    turn = pose[:3, :3]
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    angle = atan2(float(np.linalg.norm(axis)) / 2, (float(np.trace(turn)) - 1) / 2)
    if angle > 3.0:
        square = (turn + np.eye(3)) / 2
        axis = square[:, int(np.argmax(np.diag(square)))]
    length = float(np.linalg.norm(axis))
    return np.concatenate([pose[:3, 3], axis / length * angle if length > 1e-12 else np.zeros(3)])
