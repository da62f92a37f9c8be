"""Questions about entries that a mapping still lacks for a task, each with the flag that answers it.

Nothing is guessed: an entry with only one possible reading (four rotation numbers are a quaternion) raises no question;
everything else does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from datasets.importers.defects import Defect, Question, RefusedError
from datasets.importers.interface import RawEpisode
from datasets.importers.map import columns
from datasets.importers.map.agreement import choices
from datasets.importers.map.gaps import questions_of_gaps
from datasets.importers.map.proposals import are_increments
from datasets.importers.map.turns import DIFFERENCE, EULER, VECTOR
from datasets.importers.mapping import EVERY, ActionKind, Arm, Mapping, Representation, Track, arm_prefix
from datasets.spec import DataSpec


def joint_count(spec: DataSpec) -> int:
    """Number of joint angles that a task observes."""
    return 0 if spec.observes_pose else sum("gripper" not in name for name in spec.proprioception)


def gripper_count(spec: DataSpec) -> int:
    """Number of gripper openings that a task observes."""
    return sum("gripper" in name for name in spec.proprioception)


def questions(
    raw: RawEpisode, mapping: Mapping, spec: DataSpec, told: Collection[str] = ()
) -> list[Question]:
    """Open questions before this source can be used for this task, in the order to ask them.

    `told`: the entries that a person gave.

    Raises:
        RefusedError: no answer can help.
    """
    _require_arms(mapping, spec)
    # ask this first, because the ranges of columns depend on it
    asked = [*questions_of_gaps(raw, mapping, spec), *_camera_questions(raw, mapping, spec)]
    if raw.time is None and mapping.rate is None:
        asked.append(
            Question(
                name="rate", text="the source holds no time; its samples per second are needed", example="50"
            )
        )
    for number, arm in enumerate(mapping.arms[: spec.action.arms], start=1):
        asked += _ArmQuestions(raw, mapping, arm, spec, arm_prefix(number), told).all()
    return _of_both_arms(raw, mapping, list({question.name: question for question in asked}.values()))


def _of_both_arms(raw: RawEpisode, mapping: Mapping, asked: list[Question]) -> list[Question]:
    """Merge two questions into one if both arms lack the same entry and may share its value."""
    named = {question.name: question for question in asked}
    for name, first in list(named.items()):
        second = named.get(f"arm2.{name}")
        if second is None or name.rpartition(".")[2] not in ("range", "representation"):
            continue
        if first.choices != second.choices or not _may_be_alike(raw, mapping, name):
            continue
        each = f"--map {name}={first.example or 'VALUE'} and --map arm2.{name}="
        text = f"of both arms (each by itself: {each}): {first.text}; {second.text}"
        del named[second.name]
        named[name] = replace(first, name=f"{EVERY}{name}", text=text)
    return list(named.values())


def _may_be_alike(raw: RawEpisode, mapping: Mapping, name: str) -> bool:
    """Whether both arms' grippers may share one range."""
    if not name.endswith("range"):
        return True
    tracks = [arm.commanded if name.startswith("action.") else arm.observed for arm in mapping.arms[:2]]
    spans = []
    for track in tracks:
        values = columns.select(raw.columns, str(track.gripper))[:, :1]
        spans.append(float(np.ptp(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0)
    return min(spans) == 0 or max(spans) < _OTHER_UNIT * min(spans)


_OTHER_UNIT = 4.0
"""Maximum ratio of two grippers' ranges; beyond it, their units differ."""


def _require_arms(mapping: Mapping, spec: DataSpec) -> None:
    if len(mapping.arms) < spec.action.arms:
        raise RefusedError(
            Defect.UNFIT,
            f"the task moves {spec.action.arms} arms, the source has one; columns of a second are named by "
            "--map arm2.action.position=KEY and its like",
        )


def _camera_questions(raw: RawEpisode, mapping: Mapping, spec: DataSpec) -> list[Question]:
    asked = []
    colour = tuple(name for name in raw.frames if name not in raw.depth)
    found = ", ".join(colour) or "none"
    if raw.depth:
        found += f" (and depth: {', '.join(raw.depth)})"
    for camera in spec.cameras:
        key = mapping.cameras.get(camera.name)
        if key is not None and key not in raw.frames:
            raise RefusedError(
                Defect.MISSING_MEMBER,
                f"no camera '{key}' (the task's '{camera.name}'); the recording has: {found}",
            )
        if key is not None and key in raw.depth:
            raise RefusedError(
                Defect.UNFIT, f"'{key}' is a stream of depth, no colour camera; the recording has: {found}"
            )
        if key is None and not colour:
            raise RefusedError(
                Defect.MISSING_MEMBER, f"no camera '{camera.name}'; the recording has: {found}"
            )
        if key is None:
            text = f"no camera '{camera.name}'; the recording has: {found}"
            asked.append(Question(name=f"camera.{camera.name}", text=text, choices=colour))
    if mapping.colour is None and spec.cameras:
        asked.append(
            Question(
                name="colour",
                text="the order of the colours is not written in the source",
                choices=("rgb", "bgr"),
            )
        )
    return asked


@dataclass(frozen=True)
class _ArmQuestions:
    """Questions about one arm's columns."""

    raw: RawEpisode
    mapping: Mapping
    arm: Arm
    spec: DataSpec
    prefix: str
    told: Collection[str]

    def all(self) -> list[Question]:
        """All questions, in the order to ask them."""
        if vague := self._vague():
            text = f"whether '{vague}' holds joint angles or a pose is not written in the source"
            return [Question(name="state", text=text, choices=("joints", "pose"))]
        if names := self._called_increments():
            more = ", .." if len(names) > _MOST_NAMED else ""
            called = f"{', '.join(names[:_MOST_NAMED])}{more}"
            text = f"the source's actions are called {called}, as increments are, not targets"
            return [Question(name="actions", text=text, choices=choices(ActionKind.INCREMENTS))]
        if self.mapping.actions is None:
            text = "whether the source's actions are absolute targets is not written in it"
            return [Question(name="actions", text=text, choices=tuple(ActionKind))]
        return [*self._observed(), *self._commanded(), *self._orders()]

    def _called_increments(self) -> list[str]:
        """Names of commands that indicate increments, if no person has said what they are."""
        if "actions" in self.told or self.mapping.actions in (ActionKind.INCREMENTS, ActionKind.ACHIEVED):
            return []
        commanded = self.arm.commanded
        selectors = [commanded.position, commanded.rotation, commanded.joints]
        called = [
            name
            for selector in selectors
            if selector is not None
            for name in columns.names_of(self.raw.columns, self.raw.names, selector)
        ]
        return list(dict.fromkeys(name for name in called if are_increments([name])))

    def _vague(self) -> str | None:
        """An unnamed column proposed as joint angles that no person has confirmed."""
        if self.mapping.state is not None:
            return None
        for side, track in (("", self.arm.observed), ("action.", self.arm.commanded)):
            proposed = track.joints is not None and f"{self.prefix}{side}joints" not in self.told
            if proposed and str(track.joints).partition("[")[0] in self.raw.vague:
                return track.joints
        return None

    def _observed(self) -> list[Question]:
        asked = []
        observed = self.arm.observed
        if joint_count(self.spec) and observed.joints is None:
            wanted = joint_count(self.spec) // self.spec.action.arms
            text = (
                f"the task observes {wanted} joint angles (a source that holds none needs a session of a task with "
                '[cell] proprioception = "pose")'
            )
            asked.append(self._column("joints", text, f"[0:{wanted}]"))
        if gripper_count(self.spec) or (self.spec.action.gripper and self._achieved):
            asked += self._gripper(observed, "")
        if self.mapping.actions is not ActionKind.COMMANDED or self.spec.observes_pose:
            asked += self._pose(observed, "")
        return asked

    def _commanded(self) -> list[Question]:
        asked = []
        commanded = self.arm.commanded
        if self.mapping.actions is ActionKind.INCREMENTS:
            asked += self._increments(commanded)
        elif not self._achieved:
            asked += self._pose(commanded, "action.")
        if self.spec.action.gripper and not self._achieved:
            asked += self._gripper(commanded, "action.")
        return asked

    def _pose(self, track: Track, side: str) -> list[Question]:
        if _is_joints(track):
            return [] if self.mapping.kinematics else [_KINEMATICS]
        asked = []
        whose = "end effector's commanded" if side else "end effector's"
        if track.position is None:
            asked.append(self._column(f"{side}position", f"no column is known to hold the {whose} position"))
        elif self.mapping.length is None:
            seen = f" ('{track.position}': {self._seen(track.position)})"
            asked.append(_unit("length", "positions", ("m", "cm", "mm"), seen))
        if track.rotation is None:
            text = f"no column is known to hold the {whose} rotation"
            asked.append(self._column(f"{side}rotation", text, "[3:7]"))
        elif self._kind(track) is None:
            choices = tuple(kind for kind in Representation if kind.size == self._size(track.rotation))
            asked.append(
                Question(
                    name=f"{self.prefix}{side}representation",
                    text=f"how '{track.rotation}' writes a rotation is not known",
                    choices=choices or tuple(Representation),
                )
            )
        return asked

    def _increments(self, track: Track) -> list[Question]:
        if _is_joints(track):
            asked = self._scales("increment_rotation")
            return asked if self.mapping.kinematics else [_KINEMATICS, *asked]
        asked = []
        if track.position is None:
            asked.append(self._column("action.position", "no column is known to hold position increments"))
        if track.rotation is None:
            text = "no column is known to hold rotation increments"
            asked.append(self._column("action.rotation", text, "[3:6]"))
        if self.mapping.increment_frame is None:
            text = "whether increments go along the axes of the arm's base or of the tool is not written in the source"
            asked.append(Question(name="increment_frame", text=text, choices=("base", "tool")))
        if track.rotation is not None and turn_of(self.mapping, track) is None:
            text = f"what the three numbers of '{track.rotation}' are is not written in the source: a rotation vector, "
            text += "euler angles of the turn, or differences of the pose's euler angles"
            asked.append(Question(name="increment_turn", text=text, choices=(VECTOR, EULER, DIFFERENCE)))
        return [*asked, *self._scales("increment_position", "increment_rotation")]

    def _scales(self, *names: str) -> list[Question]:
        return [
            Question(
                name=name,
                text=f"how many {'m' if name == 'increment_position' else 'rad'} an increment of 1 means",
                example="0.05",
            )
            for name in names
            if getattr(self.mapping, name) is None
        ]

    def _gripper(self, track: Track, side: str) -> list[Question]:
        if track.gripper is None:
            text = f"no column is known to hold the gripper's {_side(side)}"
            return [self._column(f"{side}gripper", text, "[7]")]
        if track.closed is None or track.open is None:
            text = f"what '{track.gripper}' says when the gripper is closed and when it is open"
            text += f" ({self._seen(track.gripper, 1)})"
            return [Question(name=f"{self.prefix}{side}range", text=text, example="CLOSED,OPEN")]
        return []

    def _seen(self, selector: str, first: int | None = None) -> str:
        """The range of a column's numbers in this recording."""
        values = columns.select(self.raw.columns, selector)[:, :first]
        values = values[np.isfinite(values)]
        return f"it runs from {values.min():.3g} to {values.max():.3g}" if values.size else "it is empty"

    def _orders(self) -> list[Question]:
        kinds = {self._kind(track) for track in self._pose_tracks() if track.rotation is not None}
        joints = self.arm.observed.joints is not None and joint_count(self.spec) > 0
        joints |= any(track.rotation is None and track.joints is not None for track in self._pose_tracks())
        joints |= self.mapping.actions is ActionKind.INCREMENTS and _is_joints(self.arm.commanded)
        asked = []
        if Representation.QUATERNION in kinds and self.mapping.quaternion is None:
            text = "the order of a quaternion's numbers is not written in the source"
            asked.append(Question(name="quaternion", text=text, choices=("xyzw", "wxyz")))
        by_angles = self.mapping.actions is ActionKind.INCREMENTS and turn_of(
            self.mapping, self.arm.commanded
        ) in (EULER, DIFFERENCE)
        if (Representation.EULER in kinds or by_angles) and self.mapping.euler is None:
            text = "the order of the euler angles is not written in the source"
            asked.append(Question(name="euler", text=text, choices=("xyz", "zyx", "XYZ", "ZYX")))
        turns = {Representation.EULER, Representation.ROTATION_VECTOR} & kinds
        if (joints or turns) and self.mapping.angle is None:
            asked.append(_unit("angle", "angles", ("rad", "deg", "percent"), self._angles_seen()))
        if self.mapping.angle == "percent":
            raise RefusedError(
                Defect.UNFIT,
                "percent of a joint's range is not an angle, and the ranges are in the recorder's calibration; record "
                "or convert in degrees (LeRobot: use_degrees=true)",
            )
        return asked

    def _angles_seen(self) -> str:
        tracks = (self.arm.observed, self.arm.commanded)
        found = next(
            (track.joints or track.rotation for track in tracks if track.joints or track.rotation), None
        )
        return "" if found is None else f" ('{found}': {self._seen(found)})"

    def _pose_tracks(self) -> list[Track]:
        """Tracks whose rotations are read."""
        if self.mapping.actions is ActionKind.COMMANDED:
            return [self.arm.commanded, *([self.arm.observed] if self.spec.observes_pose else [])]
        return [self.arm.observed]

    @property
    def _achieved(self) -> bool:
        return self.mapping.actions is ActionKind.ACHIEVED

    def _kind(self, track: Track) -> Representation | None:
        if track.rotation is None:
            return None
        return columns.representation_of(
            columns.select(self.raw.columns, track.rotation), track.representation
        )

    def _size(self, selector: str) -> int:
        return int(columns.select(self.raw.columns, selector).shape[1])

    def _column(self, name: str, text: str, numbers: str = "[0:3]") -> Question:
        return Question(name=f"{self.prefix}{name}", text=text, example=f"KEY{numbers}")


_MOST_NAMED = 3


def turn_of(mapping: Mapping, track: Track) -> str | None:
    """Meaning of a rotation increment's three numbers, such as `turns.VECTOR`; None if unknown."""
    if mapping.increment_turn is None and track.representation is Representation.ROTATION_VECTOR:
        return VECTOR
    return mapping.increment_turn


_KINEMATICS = Question(
    name="kinematics",
    text="the source holds joint angles and no end-effector pose; the arm's kinematics are needed",
    choices=("xarm6", "xarm7", "fr3", "FILE.urdf"),
)


def _is_joints(track: Track) -> bool:
    """Whether a track's pose must be computed from its joint angles."""
    return track.position is None and track.rotation is None and track.joints is not None


def _unit(name: str, what: str, choices: tuple[str, ...], seen: str = "") -> Question:
    return Question(name=name, text=f"the unit of {what} is not written in the source{seen}", choices=choices)


def _side(side: str) -> str:
    return "command" if side else "opening"
