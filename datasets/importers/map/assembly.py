"""From a raw episode and a mapping to the neutral recording: select columns, convert units, compute poses.

Refuses while a question is open. Repairs nothing; the checks do that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from datasets.importers.defects import Defect, Note, QuestionError, RefusedError, warning
from datasets.importers.interface import RawEpisode
from datasets.importers.kinematics import forward_kinematics
from datasets.importers.map import columns
from datasets.importers.map.doubts import asked, contradicted
from datasets.importers.map.gaps import notes_on_gaps
from datasets.importers.map.plausibility import require_angles
from datasets.importers.map.questions import gripper_count, joint_count, turn_of
from datasets.importers.map.turns import turned
from datasets.importers.mapping import ActionKind, Arm, Mapping, Track
from datasets.importers.recording import AbsentFrames, ArmTrack, Array, CutFrames, Frames, Recording
from datasets.spec import DataSpec


def assemble(
    raw: RawEpisode, mapping: Mapping, spec: DataSpec, told: Collection[str] = ()
) -> tuple[Recording, tuple[Note, ...]]:
    """The recording, and notes on derived data; `told`: the entries that a person gave.

    Raises:
        QuestionError: the mapping lacks information that only a person has.
        RefusedError: a column in the mapping is missing or has the wrong size.
    """
    questions = asked(raw, mapping, spec, told)
    if questions:
        raise QuestionError(tuple(questions))
    ticks = _ticks(raw, mapping)
    time = raw.time if raw.time is not None else np.arange(ticks) / float(mapping.rate or 1.0)
    frames = {camera.name: _frames(raw, mapping, camera.name) for camera in spec.cameras}
    arms = tuple(_Columns(raw, mapping, arm, spec).track() for arm in mapping.arms[: spec.action.arms])
    recording = Recording(
        frames=frames,
        image_time={name: raw.image_time.get(mapping.cameras[name], time) for name in frames},
        arms=arms,
        observation_time=time,
        action_time=time if raw.action_time is None else raw.action_time,
        following=np.ones(len(time), np.bool_) if raw.following is None else raw.following,
        finished=np.zeros(len(time), np.bool_) if raw.finished is None else raw.finished,
        success=raw.success,
        attributes=raw.attributes,
    )
    return recording, (*_notes(raw, mapping, spec), *contradicted(raw, mapping, spec, told))


def _ticks(raw: RawEpisode, mapping: Mapping) -> int:
    """T of a file without time stamps: the length of the first arm's action column."""
    arm = mapping.arms[0]
    for track in (arm.commanded, arm.observed):
        for selector in (track.position, track.joints, track.gripper):
            if selector is not None:
                return len(columns.select(raw.columns, selector))
    return max((len(values) for values in raw.columns.values()), default=0)


def _frames(raw: RawEpisode, mapping: Mapping, camera: str) -> Frames:
    frames = raw.frames[mapping.cameras[camera]]
    if isinstance(frames, AbsentFrames):
        raise frames.why
    return CutFrames(frames, reverse_colours=True) if mapping.colour == "bgr" else frames


def _notes(raw: RawEpisode, mapping: Mapping, spec: DataSpec) -> list[Note]:
    notes = [*raw.notes, *_notes_on_rate(raw, mapping), *notes_on_gaps(raw, mapping, spec)]
    for key in mapping.cameras.values():
        notes += raw.frames[key].notes if key in raw.frames else ()
    if raw.success is None:
        notes.append(warning(Defect.NO_LABEL, "no success label; say --outcome, or label it in the review"))
    if mapping.actions is ActionKind.ACHIEVED:
        text = "actions are the poses reached one sample later; the source's own were not used"
        notes.append(warning(Defect.ACTIONS_DERIVED, text))
    elif mapping.actions is ActionKind.INCREMENTS:
        text = "actions are the observed poses plus the source's increments"
        notes.append(warning(Defect.ACTIONS_DERIVED, text))
    elif all(arm.commanded.position is None for arm in mapping.arms):
        text = f"poses are computed from joint angles by the kinematics of {mapping.kinematics}"
        notes.append(warning(Defect.ACTIONS_DERIVED, text))
    return notes


def _notes_on_rate(raw: RawEpisode, mapping: Mapping) -> list[Note]:
    """A note if time stamps and the declared rate contradict each other."""
    declared = raw.rate or mapping.rate
    if raw.time is None or declared is None or len(raw.time) < 3:
        return []
    period = float(np.median(np.diff(raw.time)))
    if not period > 0 or abs(1 / period / declared - 1) <= _SAME_RATE:
        return []
    text = (
        f"stamps say {1 / period:.4g} samples a second, and {declared:.4g} are declared; the stamps are used"
    )
    return [warning(Defect.RATE, text)]


_SAME_RATE = 0.05
"""Relative tolerance between a clock and a declared rate."""


@dataclass(frozen=True)
class _Columns:
    """One arm's numbers in the station's units."""

    raw: RawEpisode
    mapping: Mapping
    arm: Arm
    spec: DataSpec

    def track(self) -> ArmTrack:
        """All of the arm's members; T may still differ between them."""
        commanded = self._action_pose()
        return ArmTrack(
            joint_angles=self._joints(len(commanded)),
            pose=self._observed_pose(len(commanded)),
            gripper=self._gripper(self.arm.observed, len(commanded), needed=gripper_count(self.spec) > 0),
            action_pose=commanded,
            action_gripper=self._action_gripper(len(commanded)),
        )

    def _select(self, selector: str) -> Array:
        return columns.select(self.raw.columns, selector)

    def _joints(self, ticks: int) -> Array:
        selector = self.arm.observed.joints
        if selector is None or not joint_count(self.spec):
            return np.zeros((ticks, 0))
        return columns.angles(self._select(selector), self.mapping)

    def _observed_pose(self, ticks: int) -> Array:
        if not self.spec.observes_pose:
            return np.zeros((ticks, 0))
        return self._placed(self._pose(self.arm.observed, "observed pose"))

    def _pose(self, track: Track, what: str) -> Array:
        if track.position is None or track.rotation is None:
            assert track.joints is not None and self.mapping.kinematics is not None
            joints = columns.angles(self._select(track.joints), self.mapping)
            require_angles(joints, f"'{track.joints}'")
            return forward_kinematics(self.mapping.kinematics)(joints)
        position = columns.positions(self._select(track.position), self.mapping, f"'{track.position}'")
        values = self._select(track.rotation)
        kind = columns.representation_of(values, track.representation)
        assert kind is not None
        rotation = columns.quaternions(values, kind, self.mapping, f"'{track.rotation}'")
        ticks = min(len(position), len(rotation))
        if max(len(position), len(rotation)) != ticks:
            raise RefusedError(
                Defect.UNEQUAL_LENGTHS, f"positions and rotations of the {what} differ in length"
            )
        return np.concatenate([position, rotation], axis=1)

    def _placed(self, poses: Array) -> Array:
        matrices = (self.arm.frame or self.mapping.frame, self.arm.tool or self.mapping.tool)
        if matrices == (None, None):
            return poses
        frame, tool = (
            np.eye(4) if matrix is None else np.asarray(matrix, np.float64).reshape(4, 4)
            for matrix in matrices
        )
        return columns.transformed(poses, frame, tool)

    def _action_pose(self) -> Array:
        match self.mapping.actions:
            case ActionKind.ACHIEVED:
                return _next(self._placed(self._pose(self.arm.observed, "observed pose")))
            case ActionKind.INCREMENTS:
                return self._placed(self._added())
            case _:
                return self._placed(self._pose(self.arm.commanded, "commanded pose"))

    def _added(self) -> Array:
        observed, track = self.arm.observed, self.arm.commanded
        if track.position is None and track.rotation is None and track.joints is not None:
            return self._added_joints(track.joints)
        assert track.position is not None and track.rotation is not None
        moves = self._select(track.position) * (self.mapping.increment_position or 0.0)
        turns = self._select(track.rotation) * (self.mapping.increment_rotation or 0.0)
        poses = self._pose(observed, "observed pose")
        if not len(poses) == len(moves) == len(turns):
            raise RefusedError(Defect.UNEQUAL_LENGTHS, "observed poses and increments differ in length")
        if moves.shape[1] != 3 or turns.shape[1] != 3:
            raise RefusedError(Defect.UNFIT, "increments are three numbers of position and three of rotation")
        along_tool = self.mapping.increment_frame == "tool"
        kind, order = turn_of(self.mapping, track) or "", self.mapping.euler or "xyz"
        rotations = turned(poses, turns, kind, order, along_tool=along_tool)
        return columns.moved(poses, moves, rotations, along_tool=along_tool)

    def _added_joints(self, selector: str) -> Array:
        """[T, 7] pose after adding the joint increments."""
        observed, steps = self.arm.observed.joints, self._select(selector)
        if observed is None or self._select(observed).shape != steps.shape:
            raise RefusedError(Defect.UNFIT, f"'{selector}' and the observed joint angles differ in size")
        joints = columns.angles(self._select(observed), self.mapping)
        joints = joints + steps * (self.mapping.increment_rotation or 0.0)
        require_angles(joints, f"'{selector}'")
        return forward_kinematics(str(self.mapping.kinematics))(joints)

    def _gripper(self, track: Track, ticks: int, *, needed: bool) -> Array:
        if not needed or track.gripper is None or track.closed is None or track.open is None:
            return np.ones(ticks)
        return columns.opening(self._select(track.gripper), track.closed, track.open)

    def _action_gripper(self, ticks: int) -> Array:
        needed = self.spec.action.gripper
        if self.mapping.actions is ActionKind.ACHIEVED:
            return _next(self._gripper(self.arm.observed, ticks, needed=needed))
        return self._gripper(self.arm.commanded, ticks, needed=needed)


def _next(values: Array) -> Array:
    """Shifted by one sample; the last is repeated."""
    return np.concatenate([values[1:], values[-1:]])
