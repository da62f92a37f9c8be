"""Conversion of a foreign file's numbers to the station's units: poses, joint angles, gripper openings.

Each function takes raw columns and returns new arrays. Columns are chosen elsewhere; the result is checked afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Table

import numpy as np
from scipy.spatial.transform import Rotation

from datasets.importers.defects import Defect, RefusedError
from datasets.importers.mapping import Mapping, Representation
from datasets.importers.recording import Array

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
RADIANS = {"rad": 1.0, "deg": np.pi / 180}
"""Percent of a joint's range is not an angle; such imports are refused earlier."""

_SELECTOR = re.compile(r"(?P<key>.+?)(\[(?P<first>\d*):(?P<end>\d*)\])?")


def key_of(selector: str) -> str:
    """The column that a selector reads."""
    match = _SELECTOR.fullmatch(selector)
    assert match is not None
    return match["key"]


def select(columns: Table[str, Array], selector: str) -> Array:
    """[T, n] of ``key`` or ``key[first:end]``.

    Raises:
        RefusedError: no such column, or an empty range.
    """
    match = _SELECTOR.fullmatch(selector)
    assert match is not None
    key = match["key"]
    if key not in columns:
        found = ", ".join(f"{name} [{values.shape[1]}]" for name, values in columns.items()) or "none"
        raise RefusedError(Defect.MISSING_MEMBER, f"'{key}' is missing; its columns are: {found}")
    values = columns[key]
    first = int(match["first"] or 0)
    end = int(match["end"] or values.shape[1])
    if not first < end <= values.shape[1]:
        raise RefusedError(Defect.MISSING_MEMBER, f"'{selector}': '{key}' has {values.shape[1]} numbers")
    return values[:, first:end]


def names_of(
    columns: Table[str, Array], names: Table[str, tuple[str, ...]], selector: str
) -> tuple[str, ...]:
    """Names of the numbers of ``key`` or ``key[first:end]``; the column's own name if they have none."""
    match = _SELECTOR.fullmatch(selector)
    assert match is not None
    called = names.get(match["key"], ())
    if match["key"] not in columns or len(called) != columns[match["key"]].shape[1]:
        return (match["key"],)
    return called[int(match["first"] or 0) : int(match["end"] or len(called))]


def positions(values: Array, mapping: Mapping, what: str) -> Array:
    """[T, 3] m."""
    if values.shape[1] != 3:
        raise RefusedError(
            Defect.UNFIT, f"{what}: {values.shape[1]} numbers are not a position; select three"
        )
    return values * METRES[mapping.length or "m"]


def angles(values: Array, mapping: Mapping) -> Array:
    """The same numbers in rad, [T, n]."""
    return values * RADIANS[mapping.angle or "rad"]


def representation_of(selected: Array, chosen: Representation | None) -> Representation | None:
    """The chosen one, or the only one with as many numbers as `selected` [T, n]; None if it must be asked."""
    if chosen is not None:
        return chosen
    fitting = [kind for kind in Representation if kind.size == selected.shape[1]]
    return fitting[0] if len(fitting) == 1 else None


def quaternions(values: Array, kind: Representation, mapping: Mapping, what: str) -> Array:
    """xyzw [T, 4]; invalid rotations are returned as NaN or unchanged, for the checks to report.

    Euler angles are converted sample by sample, so wrapping at half a turn does not matter.
    """
    if values.shape[1] != kind.size:
        raise RefusedError(
            Defect.UNFIT, f"{what}: {values.shape[1]} numbers are not a {kind.value.replace('_', ' ')}"
        )
    match kind:
        case Representation.QUATERNION:
            return values if mapping.quaternion == "xyzw" else np.roll(values, -1, axis=1)
        case Representation.EULER:
            return _finite(
                angles(values, mapping), lambda rows: Rotation.from_euler(mapping.euler or "xyz", rows)
            )
        case Representation.ROTATION_VECTOR:
            return _finite(angles(values, mapping), Rotation.from_rotvec)
        case Representation.ROT6D:
            return _finite(values, lambda rows: Rotation.from_matrix(_from_two_rows(rows)))
        case Representation.MATRIX:
            return _finite(values, lambda rows: Rotation.from_matrix(rows.reshape(-1, 3, 3)))


def opening(values: Array, closed: float, opened: float) -> Array:
    """[T] 0 closed .. 1 open of the first number of each row."""
    return (values[:, 0] - closed) / (opened - closed)


def transformed(poses: Array, frame: Array, tool: Array) -> Array:
    """[T, 7] frame @ pose @ tool; rows with invalid rotations stay unchanged."""
    sound = np.isfinite(poses).all(1) & (np.linalg.norm(poses[:, 3:], axis=1) > _SMALLEST)
    result = poses.copy()
    turn, here = Rotation.from_matrix(frame[:3, :3]), poses[sound]
    if not len(here):
        return result
    own = Rotation.from_quat(here[:, 3:])
    position = turn.apply(here[:, :3] + own.apply(tool[:3, 3])) + frame[:3, 3]
    result[sound] = np.concatenate(
        [position, (turn * own * Rotation.from_matrix(tool[:3, :3])).as_quat()], axis=1
    )
    return result


def moved(poses: Array, moves: Array, turned: Array, *, along_tool: bool = False) -> Array:
    """[T, 7] poses moved by m [T, 3] along the axes of base or tool, with rotations replaced by xyzw [T, 4]."""
    sound = np.isfinite(poses).all(1) & np.isfinite(turned).all(1) & np.isfinite(moves).all(1)
    result = np.concatenate([poses[:, :3], np.full((len(poses), 4), np.nan)], axis=1)
    if sound.any():
        here = Rotation.from_quat(poses[sound, 3:])
        result[sound, :3] += here.apply(moves[sound]) if along_tool else moves[sound]
        result[sound, 3:] = turned[sound]
    return result


_SMALLEST = 1e-6


def _finite(rows: Array, convert: Callable[[Array], Rotation]) -> Array:
    """xyzw of the rows that can be converted, NaN for the rest."""
    result = np.full((len(rows), 4), np.nan)
    sound = np.isfinite(rows).all(1) & (np.abs(rows) < _LARGEST).all(1)
    if sound.any():
        try:
            result[sound] = convert(rows[sound]).as_quat()
        except ValueError as error:
            raise RefusedError(
                Defect.QUATERNION_NORM, f"the numbers of a rotation are none ({error})"
            ) from error
    return result


_LARGEST = 1e6


def _from_two_rows(rows: Array) -> Array:
    first = rows[:, :3] / np.maximum(np.linalg.norm(rows[:, :3], axis=1, keepdims=True), _SMALLEST)
    second = rows[:, 3:] - (first * rows[:, 3:]).sum(1, keepdims=True) * first
    second /= np.maximum(np.linalg.norm(second, axis=1, keepdims=True), _SMALLEST)
    return np.stack([first, second, np.cross(first, second)], axis=1)
