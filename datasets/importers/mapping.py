"""The mapping: the meaning, unit and order of each column of a foreign file; proposed, shown, answered and saved.

Entries have flat names, identical in flags, in the session's ``import.toml`` and on screen::

    camera.<task camera>   position   rotation   joints   gripper          what was observed
    action.position   action.rotation   action.joints   action.gripper     what was commanded
    representation   action.representation      how a rotation is written
    range   action.range                        a gripper column's values when closed and open: 0,0.08
    colour  quaternion  euler  state  angle  length  rate  actions  frame  kinematics
    increment_position  increment_rotation  increment_frame  increment_turn  unstored

A column is selected by its key; ``key[2:5]`` selects some of its numbers, ``key[7]`` one. Entries of a second arm begin
with ``arm2.``, including its ``frame`` and ``tool``, which default to those of the first arm. The encoding of a column
(``range``, ``representation``) can be set for all arms at once: ``arms.range``, ``arms.action.range``. Entries that a
source does not determine stay None, and an import that needs one asks; nothing here guesses.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError

from datasets.errors import ExitCode, StationError
from datasets.importers.defects import RefusedError
from datasets.importers.kinematics import require_arm
from datasets.settings import Settings
from datasets.wording import did_you_mean

Colour = Literal["rgb", "bgr"]
QuaternionOrder = Literal["xyzw", "wxyz"]
EulerOrder = Literal["xyz", "zyx", "XYZ", "ZYX"]
Matrix4 = tuple[float, ...]


class MappingError(StationError, ValueError):
    """An invalid entry; the message says what is valid."""

    exit_code = ExitCode.USAGE


class Representation(StrEnum):
    """How a rotation is represented."""

    QUATERNION = "quaternion"
    EULER = "euler"
    """Three angles; the entry `euler` gives their order."""
    ROTATION_VECTOR = "rotation_vector"
    """Axis times angle."""
    ROT6D = "rot6d"
    """First two rows of the rotation matrix."""
    MATRIX = "matrix"
    """Nine numbers, row by row."""

    @property
    def size(self) -> int:
        """Numbers per rotation."""
        return {"quaternion": 4, "euler": 3, "rotation_vector": 3, "rot6d": 6, "matrix": 9}[self.value]


class ActionKind(StrEnum):
    """Kind of the source's actions."""

    COMMANDED = "commanded"
    """Absolute targets."""
    ACHIEVED = "achieved"
    """The source's actions are ignored; the pose reached one sample later serves as the action."""
    INCREMENTS = "increments"
    """Added to the observed pose or joint angles; `increment_position` and `increment_rotation` scale them."""


class Track(Settings):
    """One arm's columns, either observed or commanded."""

    position: str | None = None
    """Three numbers, in units of `length`."""
    rotation: str | None = None
    """Encoded as `representation` says; angles in units of `angle`."""
    representation: Representation | None = None
    """quaternion, euler, rotation_vector, rot6d or matrix."""
    joints: str | None = None
    """Joint angles, in units of `angle`."""
    gripper: str | None = None
    """One number; if several, the first is used."""
    closed: float | None = None
    """Value of the gripper column when closed."""
    open: float | None = None
    """Value of the gripper column when open."""


class Arm(Settings):
    """One arm's columns."""

    observed: Track = Field(default_factory=Track)
    """Measured columns."""
    commanded: Track = Field(default_factory=Track)
    """Commanded columns."""
    frame: Matrix4 | None = Field(default=None, min_length=16, max_length=16)
    """As `Mapping.frame`, for a second arm; None uses the mapping's."""
    tool: Matrix4 | None = Field(default=None, min_length=16, max_length=16)
    """As `Mapping.tool`, for a second arm; None uses the mapping's."""


class Mapping(Settings):
    """Everything an import must know about a source."""

    cameras: dict[str, str] = Field(default_factory=dict)
    """The task's camera -> the source's."""
    arms: tuple[Arm, ...] = (Arm(),)
    """Arms, in the task's order."""
    actions: ActionKind | None = ActionKind.COMMANDED
    """commanded, achieved or increments."""
    colour: Colour | None = None
    """Colour channel order of the source."""
    quaternion: QuaternionOrder | None = None
    """Order of a quaternion's numbers."""
    euler: EulerOrder | None = None
    """Axes of Euler angles: lower case for fixed axes (extrinsic), upper case for the tool's own (intrinsic)."""
    state: Literal["joints", "pose"] | None = None
    """What the non-gripper numbers are, in a source whose columns may be either."""
    angle: Literal["rad", "deg", "percent"] | None = None
    """Unit of angles; percent of a joint's range cannot be converted and is refused."""
    length: Literal["m", "cm", "mm"] | None = None
    """Unit of positions."""
    unstored: Literal["fill", "lost"] | None = None
    """What missing rows are: fill values that the writer chose not to store, or lost data."""
    rate: float | None = Field(default=None, gt=0, le=1000)
    """Sample rate of a source without time stamps, Hz."""
    increment_position: float | None = Field(default=None, gt=0)
    """m per unit of increment."""
    increment_rotation: float | None = Field(default=None, gt=0)
    """rad per unit of increment."""
    increment_frame: Literal["base", "tool"] | None = None
    """Frame whose axes pose increments follow."""
    increment_turn: Literal["vector", "euler", "difference"] | None = None
    """Meaning of a rotation increment's three numbers: a rotation vector, Euler angles of the turn, or differences of
    the pose's Euler angles."""
    frame: Matrix4 | None = Field(default=None, min_length=16, max_length=16)
    """4x4, row-major: transforms poses from the source's frame to the arm's base frame; None is the identity."""
    tool: Matrix4 | None = Field(default=None, min_length=16, max_length=16)
    """4x4, row-major: from the body whose pose the source (or the kinematics) gives to the task's tool."""
    kinematics: str | None = None
    """Arm name (xarm6, xarm7, fr3), or a URDF or MJCF file, to compute poses from joint angles."""

    def entries(self) -> dict[str, str]:
        """Flat name -> value of all entries that are set."""
        found = {f"camera.{name}": key for name, key in self.cameras.items()}
        for number, arm in enumerate(self.arms, start=1):
            prefix = arm_prefix(number)
            for track, part in (("", arm.observed), ("action.", arm.commanded)):
                for name, value in part.model_dump(mode="json", exclude_none=True).items():
                    found[f"{prefix}{track}{name}"] = str(value)
            for name, matrix in (("frame", arm.frame), ("tool", arm.tool)):
                if matrix is not None:
                    found[f"{prefix}{name}"] = " ".join(map(str, matrix))
        for name, value in self.model_dump(
            mode="json", exclude={"cameras", "arms"}, exclude_none=True
        ).items():
            found[name] = " ".join(map(str, value)) if name in _MATRICES else str(value)
        return found

    def as_answered(self) -> Self:
        """This mapping, with joint columns read as position and rotation if `state` says they hold a pose."""
        if self.state != "pose":
            return self
        arms = tuple(
            arm.model_copy(update={side: _as_pose(getattr(arm, side)) for side in ("observed", "commanded")})
            for arm in self.arms
        )
        return self.model_copy(update={"arms": arms})

    def with_answers(self, answers: dict[str, str]) -> Self:
        """This mapping with flat entries applied in order.

        Raises:
            MappingError: an unknown name or an invalid value.
        """
        tables = self.model_dump(mode="json")
        for answer, text in answers.items():
            for name, value in _split(answer, text).items():
                _enter(tables, name, value)
        try:
            return type(self).model_validate(tables)
        except ValidationError as error:
            first = error.errors()[0]
            said = first["msg"].replace("Input should", "it should")
            raise MappingError(f"{_name_of(first['loc'])}: {said}") from error


def _as_pose(track: Track) -> Track:
    """The track with its joint column read as a position followed by a rotation."""
    found = None if track.joints is None else _STRETCH.fullmatch(track.joints)
    if found is None or track.position is not None or track.rotation is not None:
        return track
    key, first, end = found["key"], int(found["first"]), int(found["end"])
    position, rotation = f"{key}[{first}:{first + 3}]", f"{key}[{first + 3}:{end}]"
    return track.model_copy(update={"joints": None, "position": position, "rotation": rotation})


def comparable(entries: dict[str, str]) -> dict[str, str]:
    """Entries without those that have no effect on their own, which older imports did not have."""
    return {
        name: value for name, value in entries.items() if name != "state" and (name, value) not in _AS_EVER
    }


_AS_EVER = (("increment_frame", "base"), ("increment_turn", "vector"), ("unstored", "fill"))


def entry_names(answers: dict[str, str]) -> frozenset[str]:
    """Names of the entries that answers set; a gripper's range sets its two ends."""
    return frozenset(entry for name, text in answers.items() for entry in _split(name, text))


def parse_answers(texts: list[str]) -> dict[str, str]:
    """Parse and check flags ``NAME=VALUE``; a matrix file is replaced by its numbers, so it need not be kept.

    A gripper's range becomes the entries ``closed`` and ``open``, next to the gripper's column.

    Raises:
        MappingError: not NAME=VALUE, an unknown name or an invalid value.
    """
    answers: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise MappingError(f"'{text}' is not NAME=VALUE, as in --map camera.front=observation.images.top")
        answers |= _split(name.strip(), value.strip())
    mapping = Mapping().with_answers(answers)
    if mapping.kinematics is not None:
        _require_kinematics(mapping.kinematics)
    known = mapping.entries()
    return {
        name: known[name] if name.rpartition(".")[2] in _MATRICES else value
        for name, value in answers.items()
    }


def _split(name: str, value: str) -> dict[str, str]:
    """One answer as entries: a gripper's range gives two; ``key[7]`` becomes ``key[7:8]``, as in proposals."""
    track, dot, last = name.rpartition(".")
    number = _ONE_NUMBER.fullmatch(value)
    if last in _COLUMNS and number is not None:
        return {name: f"{number['key']}[{number['one']}:{int(number['one']) + 1}]"}
    if last != "range" and not (last == "gripper" and _is_range(value)):
        return {name: value}
    if not _is_range(value):
        raise MappingError(f"{name}: '{value}' is not a range; give two numbers, closed and open: 0,0.08")
    closed, opened = (part.strip() for part in value.split(","))
    if float(closed) == float(opened):
        raise MappingError(f"{name}={value}: closed and open are the same number")
    return {f"{track}{dot}closed": closed, f"{track}{dot}open": opened}


def _require_kinematics(name: str) -> None:
    """Check the name now: a wrong one is an error even if no source of this import needs kinematics."""
    try:
        require_arm(name)
    except RefusedError as error:
        raise MappingError(f"kinematics: {error}") from error


def read_matrix(name: str, text: str) -> tuple[float, ...]:
    """Parse a row-major 4x4 matrix from sixteen numbers or a text file; its last row must be 0 0 0 1.

    Raises:
        MappingError: not such a matrix.
    """
    words, wanted = text, "give 16 numbers row by row, or a text file with them"
    is_file = len(text) < _LONGEST_PATH and Path(text).is_file()
    try:
        words = Path(text).read_text(encoding="utf-8", errors="replace") if is_file else text
        for mark in ",;[]":
            words = words.replace(mark, " ")
        numbers = tuple(float(word) for word in words.split())
    except OSError as error:
        raise MappingError(f"{name}: {text} cannot be read ({error.strerror}); {wanted}") from error
    except ValueError as error:
        what = f"{text} holds more than numbers" if is_file else f"there is no file {text}"
        raise MappingError(f"{name}: {what}; {wanted}") from error
    matrix = np.asarray(numbers, np.float64)
    if matrix.shape != (16,) or not np.isfinite(matrix).all():
        raise MappingError(f"{name}: {len(numbers)} numbers; a 4x4 matrix has 16, row by row")
    rotation = matrix.reshape(4, 4)[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) and np.linalg.det(rotation) > 0
    if not rigid or not np.allclose(matrix[12:], (0, 0, 0, 1)):
        raise MappingError(
            f"{name}: no rigid transform; its 3x3 part must be a rotation, its last row 0 0 0 1"
        )
    return numbers


_LONGEST_PATH = 1024
_COLUMNS = ("position", "rotation", "joints", "gripper")
_STRETCH = re.compile(r"(?P<key>.+)\[(?P<first>\d+):(?P<end>\d+)\]")
_ONE_NUMBER = re.compile(r"(?P<key>.+)\[(?P<one>\d+)\]")


def _enter(tables: dict[str, Any], name: str, value: str) -> None:
    """Store one flat entry at its place in the tables."""
    if name.startswith("camera."):
        tables["cameras"] = {**tables["cameras"], name.removeprefix("camera."): value}
        return
    if name.startswith(EVERY):
        rest = name.removeprefix(EVERY)
        if rest.removeprefix("action.") not in _WRITTEN:
            raise MappingError(f"{name}: of every arm only these can be said: {', '.join(_OF_EVERY_ARM)}")
        for number in range(len(tables["arms"])):
            _enter(tables, f"{arm_prefix(number + 1)}{rest}", value)
        return
    number, rest = _arm_of(name)
    side = "commanded" if rest.startswith("action.") else "observed"
    field = rest.removeprefix("action.")
    if field in Track.model_fields:
        _track(tables, number, side)[field] = _number(name, value) if field in ("closed", "open") else value
    elif rest in _MATRICES:
        place = tables if number == 1 else _arm(tables, number)
        place[rest] = read_matrix(name, value)
    elif name in Mapping.model_fields and name not in ("cameras", "arms"):
        tables[name] = _number(name, value) if name in _NUMBERS else value
    else:
        raise MappingError(_unknown(name))


EVERY = "arms."
"""Prefix of entries that apply to all arms."""
_WRITTEN = ("closed", "open", "representation")
_OF_EVERY_ARM = tuple(
    f"{EVERY}{side}{field}" for side in ("", "action.") for field in ("range", "representation")
)


def for_every_arm(name: str) -> str:
    """The corresponding entry for all arms: ``arms.action.open`` for ``arm2.action.open``."""
    _, rest = _arm_of(name)
    return f"{EVERY}{rest}"


def arm_prefix(number: int) -> str:
    """How the entries of an arm begin, which is counted from 1: ``arm2.``; those of the first have no prefix."""
    return "" if number == 1 else f"arm{number}."


def _arm_of(name: str) -> tuple[int, str]:
    """The number of the arm that an entry is about, and the entry without the arm's prefix."""
    if name.startswith("arm") and name[3:4].isdigit() and name[4:5] == ".":
        return int(name[3]), name[5:]
    return 1, name


_MATRICES = ("frame", "tool")
_NUMBERS = ("rate", "increment_position", "increment_rotation")


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise MappingError(f"{name}: '{value}' is no number") from error


def _is_range(value: str) -> bool:
    first, sign, second = value.partition(",")
    return bool(sign) and _is_number(first) and _is_number(second)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _track(tables: dict[str, Any], number: int, side: str) -> dict[str, Any]:
    track: dict[str, Any] = _arm(tables, number)[side]
    return track


def _arm(tables: dict[str, Any], number: int) -> dict[str, Any]:
    arms = list(tables["arms"])
    if not 1 <= number <= 2:
        raise MappingError(f"arm{number}: a task has one or two arms")
    while len(arms) < number:
        arms.append(Arm().model_dump(mode="json"))
    tables["arms"] = arms
    arm: dict[str, Any] = arms[number - 1]
    return arm


def _name_of(place: tuple[int | str, ...]) -> str:
    """The entry name for a path in the tables."""
    if place[0] != "arms" or len(place) < 3:
        return ".".join(map(str, place))
    side = "action." if place[2] == "commanded" else ""
    return f"{arm_prefix(int(place[1]) + 1)}{side}{place[-1]}"


def _unknown(name: str) -> str:
    known = [
        *(field for field in Mapping.model_fields if field not in ("cameras", "arms")),
        *(f"{side}{field}" for side in ("", "action.") for field in (*Track.model_fields, "range")),
        "camera.<name>",
    ]
    hint = did_you_mean(name, known, f"Known: {', '.join(known)}.")
    return f"there is no entry '{name}'. {hint}"
