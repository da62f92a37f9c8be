"""Where the flange of an xArm-6 or xArm-7 is, and which joint angles bring it to a pose.

Denavit-Hartenberg numbers are the vendor's (developer manual, kinematic parameters). Metres and radians. The
inverse is damped least squares from the present angles, which is what following a stream needs; it plans nothing.
"""

from __future__ import annotations

from math import atan2, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# (offset of theta, d, a, alpha) of each joint, standard convention.
_XARM6 = (
    (0.0, 0.267, 0.0, -pi / 2),
    (-1.3849179, 0.0, 0.28948866, 0.0),
    (1.3849179, 0.0, 0.0775, -pi / 2),
    (0.0, 0.3425, 0.0, pi / 2),
    (0.0, 0.0, 0.076, -pi / 2),
    (0.0, 0.097, 0.0, 0.0),
)
_XARM7 = (
    (0.0, 0.267, 0.0, -pi / 2),
    (0.0, 0.0, 0.0, pi / 2),
    (0.0, 0.293, 0.0525, pi / 2),
    (0.0, 0.0, 0.0775, pi / 2),
    (0.0, 0.3425, 0.0, pi / 2),
    (0.0, 0.0, 0.076, -pi / 2),
    (0.0, 0.097, 0.0, 0.0),
)
_FULL = 2 * pi
# What the vendor prints for each joint; the wrist of both arms is the same.
_LIMITS6 = (
    (-_FULL, _FULL), (-2.059488, 2.094395), (-3.92699, 0.191986), (-_FULL, _FULL), (-1.692969, pi), (-_FULL, _FULL)
)  # fmt: skip
_LIMITS7 = (
    (-_FULL, _FULL), (-2.059488, 2.094395), (-_FULL, _FULL), (-0.191986, 3.92699), (-_FULL, _FULL),
    (-1.692969, pi), (-_FULL, _FULL),
)  # fmt: skip

_DAMPING = 1e-3
_CLOSE_ENOUGH = 1e-5
_WEIGHT_OF_ROTATION = 0.3
"""m: how much one radian of rotation counts beside one metre."""


class Chain:
    """The joints of one model; angles [n] rad."""

    def __init__(self, axes: int) -> None:
        links = {6: _XARM6, 7: _XARM7}[axes]
        self.axes = axes
        self.limits: Array = np.array(_LIMITS6 if axes == 6 else _LIMITS7)
        self._offset = np.array([link[0] for link in links])
        self._fixed = np.array([self._fixed_part(d, a, alpha) for _, d, a, alpha in links])

    @staticmethod
    def _fixed_part(d: float, a: float, alpha: float) -> Array:
        cos, sin = np.cos(alpha), np.sin(alpha)
        return np.array([[1, 0, 0, a], [0, cos, -sin, 0], [0, sin, cos, d], [0, 0, 0, 1]], np.float64)

    def forward(self, joints: Array) -> Array:
        """The flange in the base frame, [4, 4]."""
        flange: Array = self._frames(joints)[-1]
        return flange

    def _frames(self, joints: Array) -> Array:
        """Base frame, then the frame after each joint, [n + 1, 4, 4]."""
        angles = np.asarray(joints, np.float64) + self._offset
        turns = np.zeros((self.axes, 4, 4))
        turns[:, 0, 0] = turns[:, 1, 1] = np.cos(angles)
        turns[:, 1, 0] = np.sin(angles)
        turns[:, 0, 1] = -turns[:, 1, 0]
        turns[:, 2, 2] = turns[:, 3, 3] = 1.0
        links = turns @ self._fixed
        frames = np.empty((self.axes + 1, 4, 4))
        frames[0] = np.eye(4)
        for index in range(self.axes):
            np.matmul(frames[index], links[index], out=frames[index + 1])
        return frames

    def inverse(self, pose: Array, start: Array, iterations: int = 6) -> tuple[Array, float]:
        """Angles near `start` that bring the flange to `pose` [4, 4], and the error left (m and weighted rad)."""
        joints = np.array(start, np.float64)
        frames = self._frames(joints)
        error = self._error(frames[-1], pose)
        for _ in range(iterations):
            if error @ error < _CLOSE_ENOUGH**2:
                break
            jacobian = self._jacobian(frames)
            gram = jacobian @ jacobian.T
            gram.flat[::7] += _DAMPING**2
            joints = joints + jacobian.T @ np.linalg.solve(gram, error)
            frames = self._frames(joints)
            error = self._error(frames[-1], pose)
        return joints, float(np.sqrt(error @ error))

    @staticmethod
    def _error(frame: Array, pose: Array) -> Array:
        """Position error and weighted rotation vector from `frame` to `pose`, base frame, [6]."""
        turn = pose[:3, :3] @ frame[:3, :3].T
        x, y, z = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
        sine = sqrt(x * x + y * y + z * z) / 2
        angle = atan2(sine, (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1) / 2)
        scale = _WEIGHT_OF_ROTATION * (angle / (2 * sine) if sine > 1e-9 else 0.5)
        dx, dy, dz = pose[:3, 3] - frame[:3, 3]
        return np.array([dx, dy, dz, scale * x, scale * y, scale * z])

    @staticmethod
    def _jacobian(frames: Array) -> Array:
        """[6, n] of the flange: linear rows, then weighted angular rows."""
        x, y, z = frames[:-1, :3, 2].T
        rx, ry, rz = frames[-1, :3, 3][:, None] - frames[:-1, :3, 3].T
        jacobian = np.empty((6, len(x)))
        jacobian[0], jacobian[1], jacobian[2] = y * rz - z * ry, z * rx - x * rz, x * ry - y * rx
        jacobian[3:] = _WEIGHT_OF_ROTATION * frames[:-1, :3, 2].T
        return jacobian
