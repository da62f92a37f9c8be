"""Where the flange is at given joint angles: by the vendors' Denavit-Hartenberg numbers, or by a URDF or MJCF file.

Poses are of the flange (or of the last body of a file) in the arm's base frame; a tool is the mapping's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from datasets.importers.defects import Defect, RefusedError
from datasets.importers.recording import Array

if TYPE_CHECKING:
    import mujoco

Forward = Callable[[Array], Array]
"""Joint angles rad [T, n] -> poses [T, 7], xyz m + quaternion xyzw."""

_RIGHT = np.pi / 2
_XARM6_BEND = 1.3849179
"""rad by which the zero of the xArm-6's second and third joint is turned."""


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
    """An arm as a table of links and what follows the last joint."""

    links: tuple[Link, ...]
    flange: float = 0.0
    """m along the last joint's axis from its frame to the flange"""


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
"""Geometry from the makers' manuals: UFACTORY's kinematics tables, Franka's interface specification."""


def forward_kinematics(name: str) -> Forward:
    """Of an arm by name, or of a URDF or MJCF file; ``FILE:BODY`` names the body whose pose counts.

    Raises:
        RefusedError: neither; says which names there are.
    """
    found = require_arm(name)
    return _of_file(*found) if found else lambda joints: _along(ARMS[name], joints)


def require_arm(name: str) -> tuple[Path, str] | None:
    """The file and the body that a name means, None for a known arm; nothing is read.

    Raises:
        RefusedError: neither; says which names there are.
    """
    if name in ARMS:
        return None
    text, _, body = name.rpartition(":") if not Path(name).is_file() else (name, "", "")
    path = Path(text)
    if not path.is_file():
        raise RefusedError(
            Defect.NO_KINEMATICS,
            f"'{name}' is no arm this station knows ({', '.join(ARMS)}) and no URDF or MJCF file",
        )
    return path, body


def _along(chain: Chain, joints: Array) -> Array:
    if joints.shape[1] != len(chain.links):
        raise RefusedError(
            Defect.UNFIT, f"the arm has {len(chain.links)} joints, the source {joints.shape[1]}"
        )
    pose = np.tile(np.eye(4), (len(joints), 1, 1))
    for link, angle in zip(chain.links, joints.T, strict=True):
        pose = pose @ _step(link, angle)
    pose[:, :3, 3] += pose[:, :3, 2] * chain.flange
    return _poses(pose[:, :3, 3], pose[:, :3, :3])


def _step(link: Link, angle: Array) -> Array:
    """[T, 4, 4] from one joint's frame to the next."""
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


def _poses(position: Array, matrices: Array) -> Array:
    sound = np.isfinite(matrices).all((1, 2))
    result = np.full((len(position), 7), np.nan)
    if sound.any():
        result[sound] = np.concatenate(
            [position[sound], Rotation.from_matrix(matrices[sound]).as_quat()], axis=1
        )
    return result


def _of_file(path: Path, body: str) -> Forward:
    import mujoco

    try:
        model = mujoco.MjModel.from_xml_string(_without_shapes(path))
    except (ValueError, OSError, SyntaxError, mujoco.FatalError) as error:
        raise RefusedError(Defect.NO_KINEMATICS, f"{path} is no URDF or MJCF that loads ({error})") from error
    number = _body(model, body, path)
    data = mujoco.MjData(model)

    def forward(joints: Array) -> Array:
        if joints.shape[1] > model.nq:
            raise RefusedError(
                Defect.UNFIT, f"{path.name} has {model.nq} joints, the source {joints.shape[1]}"
            )
        position, matrices = np.empty((len(joints), 3)), np.empty((len(joints), 3, 3))
        for row, angles in enumerate(joints):
            data.qpos[: len(angles)] = angles
            mujoco.mj_kinematics(model, data)
            position[row], matrices[row] = data.xpos[number], data.xmat[number].reshape(3, 3)
        return _poses(position, matrices)

    return forward


def _body(model: mujoco.MjModel, name: str, path: Path) -> int:
    """The named body, or the only one at an end."""
    names = [str(model.body(number).name) for number in range(model.nbody)]
    if name in names:
        return names.index(name)
    ends = [number for number in range(1, model.nbody) if number not in model.body_parentid]
    if name or len(ends) != 1:
        raise RefusedError(
            Defect.NO_KINEMATICS,
            f"{path} has no single end called '{name}'; say {path}:BODY with one of: {', '.join(names[1:])}",
        )
    return ends[0]


def _without_shapes(path: Path) -> str:
    """The file's text without shapes, which kinematics do not need and whose mesh files are rarely at hand."""
    from xml.etree import ElementTree

    root = ElementTree.parse(path).getroot()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _SHAPES:
                parent.remove(child)
    compiler = '<compiler boundmass="1e-3" boundinertia="1e-6"/>'
    if root.tag == "robot":
        compiler = '<mujoco><compiler boundmass="1e-3" boundinertia="1e-6" fusestatic="false"/></mujoco>'
    root.insert(0, ElementTree.fromstring(compiler))
    return ElementTree.tostring(root, encoding="unicode")


_SHAPES = (
    "visual",
    "collision",
    "geom",
    "asset",
    "material",
    "mesh",
    "contact",
    "actuator",
    "sensor",
    "keyframe",
)
