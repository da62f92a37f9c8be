"""Forward kinematics of a source's joint angles: the flange of a known arm, or the last body of a URDF or MJCF file.

Poses are in the arm's base frame; the mapping adds the tool. `datasets.kinematics` lists the known arms.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.importers.defects import Defect, RefusedError
from datasets.importers.recording import Array
from datasets.kinematics import ARMS, poses_of

if TYPE_CHECKING:
    import mujoco

Forward = Callable[[Array], Array]
"""Joint angles rad [T, n] -> poses [T, 7], xyz m + quaternion xyzw."""


def forward_kinematics(name: str) -> Forward:
    """Kinematics of an arm by name, or of a URDF or MJCF file; ``FILE:BODY`` selects the body.

    Raises:
        RefusedError: neither; lists the valid names.
    """
    found = require_arm(name)
    return _of_file(*found) if found else lambda joints: _along(name, joints)


def require_arm(name: str) -> tuple[Path, str] | None:
    """Resolve a name to file and body, or None for a known arm, without reading anything.

    Raises:
        RefusedError: neither; lists the valid names.
    """
    if name in ARMS:
        return None
    text, _, body = name.rpartition(":") if not Path(name).is_file() else (name, "", "")
    path = Path(text)
    if not path.is_file():
        raise RefusedError(
            Defect.NO_KINEMATICS,
            f"'{name}' is neither a known arm ({', '.join(ARMS)}) nor a URDF or MJCF file",
        )
    return path, body


def _along(name: str, joints: Array) -> Array:
    chain = ARMS[name]
    if joints.shape[1] != len(chain.links):
        raise RefusedError(
            Defect.UNFIT, f"the arm has {len(chain.links)} joints, the source {joints.shape[1]}"
        )
    return chain.forward(joints)


def _of_file(path: Path, body: str) -> Forward:
    import mujoco

    try:
        model = mujoco.MjModel.from_xml_string(_without_shapes(path))
    except (ValueError, OSError, SyntaxError, mujoco.FatalError) as error:
        raise RefusedError(
            Defect.NO_KINEMATICS, f"{path} cannot be loaded as URDF or MJCF ({error})"
        ) from error
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
        return poses_of(position, matrices)

    return forward


def _body(model: mujoco.MjModel, name: str, path: Path) -> int:
    """The named body, or the only leaf body."""
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
    """The file's text without geometry, which kinematics do not need and whose mesh files are often missing."""
    from xml.etree import ElementTree

    root = ElementTree.parse(path).getroot()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _SHAPES:
                parent.remove(child)
    compiler = '<compiler boundmass="1e-3" boundinertia="1e-6"/>'
    if root.tag == "robot":
        compiler = '<mujoco><compiler boundmass="1e-3" boundinertia="1e-6" fusestatic="false"/></mujoco>'
    for element in root.iter():
        other = element.get("file") or element.get("filename")
        if other is not None or element.tag == "include":
            raise RefusedError(
                Defect.OUTSIDE,
                f"{path} has other files read ('{element.tag}' of {other}); "
                "give one file that holds the arm's links and joints",
            )
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
    "gazebo",
    "transmission",
)
