"""Proposals from the names in a source: which camera is which, which state columns are joints or a pose.

Proposals are shown before anything is imported. Ambiguous names produce none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NOISE = {
    "observation",
    "observations",
    "images",
    "image",
    "img",
    "rgb",
    "color",
    "colour",
    "obs",
    "camera",
    "cam",
}


def matched_cameras(wanted: Iterable[str], found: Iterable[str]) -> dict[str, str]:
    """task camera -> source camera, where names match or each side has only one."""
    wanted, found = list(wanted), list(found)
    if len(wanted) == len(found) == 1:
        return {wanted[0]: found[0]}
    matches: dict[str, str] = {}
    for name in wanted:
        equal = [key for key in found if key == name] or [key for key in found if _words(key) == _words(name)]
        if len(equal) == 1:
            matches[name] = equal[0]
    return matches


def is_depth_name(name: str) -> bool:
    """Whether a camera's name indicates depth."""
    return "depth" in re.split(r"[^a-z0-9]+", name.lower())


def _words(name: str) -> tuple[str, ...]:
    words = re.split(r"[^a-z0-9]+", name.lower())
    told = tuple(word for word in words if word and word not in _NOISE)
    return told or tuple(word for word in words if word)


_INCREMENTS = frozenset({"delta", "deltas", "diff", "difference", "increment", "inc", "rel", "relative"})
_OTHERS = frozenset(
    {
        "vel", "velocity", "velocities", "speed", "acc", "acceleration", "effort", "efforts", "torque", "torques",
        "force", "forces", "current", "currents", "temperature", "temp", "voltage", "load",
    }
)  # fmt: skip
"""Words in names of quantities other than an arm's actual or target position."""


def are_increments(names: Iterable[str]) -> bool:
    """Whether some of these names indicate increments."""
    return any(
        word in _INCREMENTS or _less_d(word) != word for name in names for word in _parts(_apart(name))
    )


def _apart(name: str) -> str:
    """Split a name into words (deltaPos -> delta Pos), and join d_x to dx."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(rf"(?i)(?<![a-z0-9])d[^a-z0-9]+(?={_COORDINATE}(?![a-z]))", "d", spaced)


_COORDINATE = (
    r"(?:x|y|z|r[xyz]|q[wxyz]|roll|pitch|yaw|r|p|pos|position|rot|rotation|theta|joint|ee|eef|tcp|pose)"
)
_D = re.compile(rf"(?:d|delta|rel|inc)({_COORDINATE}\d*)")


def _less_d(word: str) -> str:
    """The coordinate in a word such as dx, droll or deltax; any other word unchanged."""
    match = _D.fullmatch(word)
    return match[1] if match else word


def _coordinate(name: str) -> str:
    """The coordinate in a number's name, of a position or an increment: x for ``ee.x``, dx, ``x_delta``."""
    words = [word for word in _parts(_apart(name)) if word]
    while len(words) > 1 and words[-1] in _INCREMENTS:
        words.pop()
    return _less_d(words[-1]) if words else ""


def named_range(names: tuple[str, ...], wanted: tuple[str, ...]) -> str | None:
    """``[a:b]`` if the names `wanted` occur in that order exactly once in a column; otherwise None."""
    ends = ["" if _OTHERS & set(_parts(name)) else _coordinate(name) for name in names]
    found = [
        first
        for first in range(len(ends) - len(wanted) + 1)
        if tuple(ends[first : first + len(wanted)]) == wanted
    ]
    return f"[{found[0]}:{found[0] + len(wanted)}]" if len(found) == 1 else None


def joint_range(names: tuple[str, ...]) -> str | None:
    """``[a:b]`` of the numbers named as joints; None if there are none or they are not contiguous."""
    numbers = [
        index
        for index, name in enumerate(names)
        if re.search(r"joint|waist|shoulder|elbow|forearm|wrist", name.lower())
        and "grip" not in name.lower()
        and not _OTHERS & set(_parts(name))
    ]
    if not numbers or numbers != list(range(numbers[0], numbers[-1] + 1)):
        return None
    return f"[{numbers[0]}:{numbers[-1] + 1}]"


def gripper_range(names: tuple[str, ...]) -> str | None:
    """``[a:b]`` of the single number named as gripper; None if there are none or several."""
    numbers = [
        index
        for index, name in enumerate(names)
        if "grip" in name.lower() and not _OTHERS & set(_parts(name))
    ]
    return f"[{numbers[0]}:{numbers[0] + 1}]" if len(numbers) == 1 else None


def _parts(name: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", name.lower())
