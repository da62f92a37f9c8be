"""DROID episode folders: ``trajectory.h5`` and one MP4 per camera under ``recordings/MP4``.

Poses are in m with Euler angles about fixed axes x, y, z; the gripper is 0 open .. 1 closed; steps with the operator's
clutch open are marked and have zero actions. Cameras are named by the role that ``metadata_*.json`` assigns to their
serial number, otherwise by serial number. SVO recordings need the camera vendor's library and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from datasets.importers import fingerprints
from datasets.importers.convert.checks import TAIL_TICKS
from datasets.importers.convert.timeline import nearest, tick
from datasets.importers.defects import Defect, Note, RefusedError, repaired, warning
from datasets.importers.files import hdf5
from datasets.importers.files.video import SAME_RATE, VideoFrames
from datasets.importers.interface import Format, RawEpisode
from datasets.importers.mapping import Arm, Mapping, Representation, Track
from datasets.importers.recording import Array, CutFrames, Frames, if_there
from datasets.plain_text import from_json
from datasets.spec import DataSpec

_STATE = "observation/robot_state"
_TRAJECTORY = "trajectory.h5"
_RATE = 15.0
"""Rate of the recorder, Hz; used only for trajectories without time stamps."""
_ROLES = {"wrist_cam_serial": "wrist", "ext1_cam_serial": "ext1", "ext2_cam_serial": "ext2"}


class DroidFormat(Format):
    """DROID episode folders."""

    name: ClassVar[str] = "droid"
    description: ClassVar[str] = "DROID episode folders"
    members: ClassVar[tuple[str, ...]] = ("observation/robot_state", "action/cartesian_position")

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and hdf5.has(path / _TRAJECTORY, _STATE, "action")

    def instructions(self, path: Path) -> dict[str, str]:
        told = str(_metadata(path).get("current_task") or "")
        return {"": told} if told.strip() else {}

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with hdf5.opened(path / _TRAJECTORY) as file:
            columns = {
                name: hdf5.numbers(member, name)
                for name, member in _members(file)
                if name.startswith((_STATE, "action/")) and hdf5.is_numeric(member)
            }
            _require_length(path, columns)
            time, notes = _time(file)
            yield RawEpisode(
                columns=columns,
                unstored=hdf5.unstored({name: file[name] for name in columns}),
                frames={
                    name: if_there(partial(_frames, file, video, serial, _Table.of(columns, time)))
                    for name, serial, video in _cameras(path)
                },
                time=time,
                following=_following(file),
                success=_success(file, path),
                attributes={"folder": "/".join(path.parts[-3:])},
                notes=notes,
            )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        observed = Track(
            position=f"{_STATE}/cartesian_position[0:3]",
            rotation=f"{_STATE}/cartesian_position[3:6]",
            joints=f"{_STATE}/joint_positions",
            gripper=f"{_STATE}/gripper_position",
            representation=Representation.EULER,
            closed=1.0,
            open=0.0,
        )
        commanded = Track(
            position="action/cartesian_position[0:3]",
            rotation="action/cartesian_position[3:6]",
            gripper="action/gripper_position",
            representation=Representation.EULER,
            closed=1.0,
            open=0.0,
        )
        arms = (Arm(observed=observed, commanded=commanded),)
        rate = None if raw.time is not None else _RATE
        return Mapping(arms=arms, colour="rgb", euler="xyz", angle="rad", length="m", rate=rate)

    def fingerprint(self, path: Path, key: str) -> str:
        return fingerprints.of_files([path / _TRAJECTORY, *sorted((path / "recordings").rglob("*.mp4"))])


def _members(file: h5py.File) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, member: found.append((name, member)))
    return found


def _time(file: h5py.File) -> tuple[Array | None, tuple[Note, ...]]:
    """Time of the robot's state, s [T], by the robot's or the recorder's clock; None if neither is stored."""
    stamps = file.get("observation/timestamp/robot_state")
    if isinstance(stamps, h5py.Group):
        pair = [stamps.get(f"robot_timestamp_{unit}") for unit in ("seconds", "nanos")]
        if all(hdf5.is_numeric(member) for member in pair):
            seconds, nanos = (hdf5.numbers(member, "robot_timestamp")[:, 0] for member in pair)
            if len(seconds) == len(nanos) and (np.diff(seconds + nanos * 1e-9) > 0).all():
                return seconds - seconds[:1] + nanos * 1e-9, ()
    control = file.get("observation/timestamp/control/step_start")
    if hdf5.is_numeric(control):
        note = repaired(
            Defect.TIME_ORDER, "the robot's own clock is missing or stands still; the recorder's is used"
        )
        return hdf5.numbers(control, "step_start")[:, 0] * 1e-3, (note,)
    return None, ()


def _following(file: h5py.File) -> NDArray[np.bool_] | None:
    """[T] whether the operator's clutch was closed."""
    flags = []
    for name, wanted in (
        ("observation/controller_info/movement_enabled", True),
        ("observation/timestamp/skip_action", False),
        ("observation/skip_action", False),
    ):
        member = file.get(name)
        if hdf5.is_numeric(member):
            flags.append((hdf5.numbers(member, name)[:, 0] != 0) == wanted)
    if not flags:
        return None
    ticks = min(len(flag) for flag in flags)
    return np.asarray(np.stack([flag[:ticks] for flag in flags]).all(axis=0), np.bool_)


def _success(file: h5py.File, path: Path) -> bool | None:
    """The file's own verdict, otherwise the folder into which the recorder moved the episode."""
    success, failure = file.attrs.get("success"), file.attrs.get("failure")
    if success is not None and bool(success):
        return True
    if failure is not None and bool(failure):
        return False
    folders = [part for part in path.parts[-4:-1] if part in ("success", "failure")]
    # episodes start in the failure folder, so one there without a verdict was never judged
    return True if folders == ["success"] else None


def _cameras(path: Path) -> Iterator[tuple[str, str, Path]]:
    """(role or serial number, serial number, video) of each camera."""
    videos = {video.stem: video for video in sorted((path / "recordings" / "MP4").glob("*.mp4"))}
    if not videos and any((path / "recordings").rglob("*.svo*")):
        raise RefusedError(
            Defect.MISSING_MEMBER,
            "its images are SVO recordings, which only the camera maker's library reads; convert them to MP4 "
            "with DROID's svo_to_mp4 script and import the folder again",
        )
    roles = _roles(path)
    for serial, video in videos.items():
        if not serial.endswith("-stereo"):
            yield roles.get(serial, serial), serial, video


def _require_length(path: Path, columns: dict[str, Array]) -> None:
    """Refuse a trajectory whose length differs from the metadata's."""
    claimed = _metadata(path).get("trajectory_length")
    actions = next((len(values) for name, values in columns.items() if name.startswith("action/")), None)
    if actions is None or not isinstance(claimed, int) or abs(claimed - actions) <= 1:
        return
    raise RefusedError(
        Defect.INDEX,
        f"its metadata say that it has {claimed} steps, and it holds {actions}; it was cut off, or the metadata are "
        "another episode's",
    )


def _roles(path: Path) -> dict[str, str]:
    """Serial number -> role."""
    facts = _metadata(path)
    return {str(facts[key]): role for key, role in _ROLES.items() if key in facts}


def _metadata(path: Path) -> dict[str, Any]:
    """The recorder's metadata of the episode; empty if there is none."""
    for file in sorted(path.glob("metadata_*.json")):
        try:
            facts = from_json(file.read_text(encoding="utf-8", errors="replace"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict):
            return facts
    return {}


@dataclass(frozen=True)
class _Table:
    """Number of rows and their rate."""

    rows: int
    rate: float

    @classmethod
    def of(cls, columns: dict[str, Array], time: Array | None) -> _Table:
        """Derive the rate from the rows' time stamps, otherwise from the recorder's rate."""
        period = tick(time) if time is not None else 0.0
        return cls(
            max((len(values) for values in columns.values()), default=0), 1 / period if period > 0 else _RATE
        )


def _frames(file: h5py.File, video: Path, serial: str, table: _Table) -> Frames:
    """The image of each tick, matched by the recorder's list of time stamps or, without one, by the two rates."""
    frames = VideoFrames(video)
    received = file.get(f"observation/timestamp/cameras/{serial}_frame_received")
    listed = _stamps(video.with_name(f"{video.stem}_timestamps.json"))
    if listed is None or not hdf5.is_numeric(received):
        return _without_stamps(frames, video, table)
    wanted = hdf5.numbers(received, "frame_received")[:, 0]
    stamps = listed[: frames.count]
    if not len(stamps) or not len(wanted) or not (np.diff(stamps) >= 0).all():
        return _without_stamps(frames, video, table)
    return CutFrames(frames, kept=np.maximum.accumulate(nearest(stamps, wanted)))


def _without_stamps(frames: VideoFrames, video: Path, table: _Table) -> Frames:
    """Match one to one if there is an image per row; by time if the video lasts as long as the table.

    Raises:
        RefusedError: neither holds, so images cannot be matched to rows.
    """
    faster = frames.shown / table.rate
    if not faster or abs(faster - 1) <= SAME_RATE:
        return frames
    rates = f"the video {video.name} has {frames.count} frames, {frames.shown:.4g} a second, and the table "
    rates += f"{table.rows} rows, {table.rate:.4g} a second"
    if abs(frames.count - table.rows) <= TAIL_TICKS:
        frames.notes = (warning(Defect.RATE, f"{rates}; one image was taken for each row"),)
        return frames
    if abs(frames.count / max(table.rows, 1) / faster - 1) <= _SAME_LENGTH:
        return VideoFrames(video, begin=0.0, count=table.rows, rate=table.rate)
    raise RefusedError(
        Defect.RATE, f"{rates}; nothing says which image belongs to which row (it has no list of stamps)"
    )


_SAME_LENGTH = 0.05
"""Relative tolerance between the lengths of a video and its table."""


def _stamps(path: Path) -> Array | None:
    """Time stamps of a video's images, ms, as listed by its recorder."""
    try:
        stamps = np.asarray(from_json(path.read_text(encoding="utf-8")), np.float64)
    except (OSError, ValueError, TypeError):
        return None
    return stamps if stamps.ndim == 1 and np.isfinite(stamps).all() else None
