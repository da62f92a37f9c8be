"""Forward kinematics of known arms, from their vendors' Denavit-Hartenberg parameters.

Poses are of the flange in the arm's base frame, xyz m + quaternion xyzw. No tools, no limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

_RIGHT = np.pi / 2
_XARM6_BEND = 1.3849179
"""Offset of the zero of the xArm-6's second and third joints, rad."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One row of a modified Denavit-Hartenberg table: rotate and move along x, then turn the joint about z."""

    alpha: float
    """rad about the previous x axis"""
    a: float
    """m along it"""
    d: float
    """m along the joint's axis"""
    offset: float = 0.0
    """rad added to the joint's angle"""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """An arm: a table of links, and the flange after the last joint."""

    links: tuple[Link, ...]
    flange: float = 0.0
    """m along the last joint's axis from its frame to the flange"""

    def forward(self, joints: Array) -> Array:
        """Joint angles rad [T, n] -> poses [T, 7]; NaN where an angle is not finite. Raises ValueError: another n."""
        frame = np.tile(np.eye(4), (len(joints), 1, 1))
        for link, angle in zip(self.links, joints.T, strict=True):
            frame = frame @ _step(link, angle)
        frame[:, :3, 3] += frame[:, :3, 2] * self.flange
        return poses_of(frame[:, :3, 3], frame[:, :3, :3])


ARMS: MappingProxyType[str, Chain] = MappingProxyType(
    {
        "xarm6": Chain(
            links=(
                Link(alpha=0, a=0, d=0.267),
                Link(alpha=-_RIGHT, a=0, d=0, offset=-_XARM6_BEND),
                Link(alpha=0, a=0.28948866, d=0, offset=_XARM6_BEND),
                Link(alpha=-_RIGHT, a=0.0775, d=0.3425),
                Link(alpha=_RIGHT, a=0, d=0),
                Link(alpha=-_RIGHT, a=0.076, d=0.097),
            )
        ),
        "xarm7": Chain(
            links=(
                Link(alpha=0, a=0, d=0.267),
                Link(alpha=-_RIGHT, a=0, d=0),
                Link(alpha=_RIGHT, a=0, d=0.293),
                Link(alpha=_RIGHT, a=0.0525, d=0),
                Link(alpha=_RIGHT, a=0.0775, d=0.3425),
                Link(alpha=_RIGHT, a=0, d=0),
                Link(alpha=-_RIGHT, a=0.076, d=0.097),
            )
        ),
        "fr3": Chain(
            links=(
                Link(alpha=0, a=0, d=0.333),
                Link(alpha=-_RIGHT, a=0, d=0),
                Link(alpha=_RIGHT, a=0, d=0.316),
                Link(alpha=_RIGHT, a=0.0825, d=0),
                Link(alpha=-_RIGHT, a=-0.0825, d=0.384),
                Link(alpha=_RIGHT, a=0, d=0),
                Link(alpha=_RIGHT, a=0.088, d=0),
            ),
            flange=0.107,
        ),
    }
)
"""Geometry from the vendors' manuals: UFACTORY's kinematics tables, Franka's interface specification."""


def poses_of(position: Array, matrices: Array) -> Array:
    """Positions [T, 3] and rotation matrices [T, 3, 3] as poses [T, 7]; NaN where a matrix is not finite."""
    sound = np.isfinite(matrices).all((1, 2))
    result = np.full((len(position), 7), np.nan)
    if sound.any():
        result[sound] = np.concatenate(
            [position[sound], Rotation.from_matrix(matrices[sound]).as_quat()], axis=1
        )
    return result


def _step(link: Link, angle: Array) -> Array:
    """[T, 4, 4] transform from one joint's frame to the next."""
    turn = np.zeros((len(angle), 4, 4))
    cos, sin = np.cos(angle + link.offset), np.sin(angle + link.offset)
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = cos, -sin, sin, cos
    turn[:, 2, 2] = turn[:, 3, 3] = 1
    turn[:, 2, 3] = link.d
    along = np.eye(4)
    along[1:3, 1:3] = [
        [np.cos(link.alpha), -np.sin(link.alpha)],
        [np.sin(link.alpha), np.cos(link.alpha)],
    ]
    along[0, 3] = link.a
    return along @ turn
