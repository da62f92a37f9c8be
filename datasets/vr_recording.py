"""The file format of our VR recorder: one HDF5 file per demonstration, read and written here, checked by the importer.

Layout, all arrays [T, ...] with T ticks of the recorder, time s on one monotonic clock::

    attrs            format "vr_recording", version 1, success (bool, absent when unknown), attributes (JSON)
    images/<cam>     uint8 [T, height, width, 3] RGB        image_time/<cam>      float64 [T]
    observation/     joint_angles [T, nj] rad               end_effector_pose [T, 7] xyz m + quaternion xyzw
                     gripper [T] 0 closed .. 1 open         time [T]
    action/          pose [T, 7] due a tick after it was commanded                gripper [T]    time [T] of the command
    buttons/         clutch, success, failure  bool [T]     clutch True: the arm follows the hand

Poses are in the arm's base frame.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from datasets.durable import Disk
from datasets.errors import StationError
from datasets.hdf5_links import leads_outside
from datasets.hdf5_writing import writing
from datasets.observation import Image, TimeArray
from datasets.plain_text import from_json

FORMAT = "vr_recording"
VERSION = 1

_ARRAYS = {
    "joint_angles": ("observation/joint_angles", np.float64, 2),
    "end_effector_pose": ("observation/end_effector_pose", np.float64, 2),
    "gripper": ("observation/gripper", np.float64, 1),
    "observation_time": ("observation/time", np.float64, 1),
    "action_pose": ("action/pose", np.float64, 2),
    "action_gripper": ("action/gripper", np.float64, 1),
    "action_time": ("action/time", np.float64, 1),
    "clutch": ("buttons/clutch", np.bool_, 1),
    "success_button": ("buttons/success", np.bool_, 1),
    "failure_button": ("buttons/failure", np.bool_, 1),
}
"""field -> (path in the file, type, dimensions)"""

_FRAMES_PER_CHUNK = 16


class RecordingError(StationError):
    """A recording cannot be read or used; the message is the reason, without the file's name."""


@dataclass(frozen=True, kw_only=True)
class VrRecording:
    """One raw demonstration, including idle starts and intervals with the clutch off."""

    images: dict[str, Image]
    """camera -> uint8 [T, height, width, 3]"""
    image_time: dict[str, TimeArray]
    """camera -> s [T]"""
    joint_angles: NDArray[np.float64]
    """rad [T, nj]"""
    end_effector_pose: NDArray[np.float64]
    """[T, 7] xyz m + quaternion xyzw, base frame"""
    gripper: NDArray[np.float64]
    """[T] 0 closed .. 1 open"""
    observation_time: TimeArray
    """s [T]"""
    action_pose: NDArray[np.float64]
    """[T, 7] commanded pose, same frame as `end_effector_pose`"""
    action_gripper: NDArray[np.float64]
    """[T]"""
    action_time: TimeArray
    """s [T] when each command was given; its pose is due one tick later."""
    clutch: NDArray[np.bool_]
    """[T] True: the arm follows the hand."""
    success_button: NDArray[np.bool_]
    """[T]"""
    failure_button: NDArray[np.bool_]
    """[T]"""
    success: bool | None = None
    """The recorder's verdict; None if it gave none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: demonstrator, style, device, seed, ..."""


def write(path: Path, recording: VrRecording) -> None:
    """Write one file atomically.

    Raises:
        DiskFullError, OSError: the write failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        with writing(partial) as file:
            _fill(file, recording)
        partial.replace(path)
        Disk().sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> VrRecording:
    """Read one file as it is; the importer checks lengths, gaps and motion.

    Raises:
        RecordingError: not HDF5, damaged, another layout or version, or members are missing or have the wrong shape.
    """
    if not path.is_file():
        raise RecordingError("no such file")
    try:
        with h5py.File(path, "r") as file:
            if elsewhere := leads_outside(file):
                raise RecordingError(elsewhere)
            return _parse(file)
    except RecordingError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RecordingError(trouble(error)) from error


def trouble(error: Exception) -> str:
    """Explain an error that h5py raised on a file, without HDF5 jargon."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"unreadable ({os.strerror(error.errno).lower()})"
    if "signature not found" in str(error):
        return "unreadable, not an HDF5 file"
    if "truncated" in str(error):
        return "unreadable, the HDF5 file is cut off; copy it again from where it was recorded"
    return "unreadable, the HDF5 file is damaged; copy it again from where it was recorded"


def _fill(file: h5py.File, recording: VrRecording) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["version"] = VERSION
    file.attrs["attributes"] = json.dumps(recording.attributes)
    if recording.success is not None:
        file.attrs["success"] = recording.success
    for camera, frames in recording.images.items():
        chunk = (max(1, min(len(frames), _FRAMES_PER_CHUNK)), *frames.shape[1:])
        file.create_dataset(
            f"images/{camera}", data=frames, chunks=chunk, compression="gzip", compression_opts=1
        )
        file.create_dataset(f"image_time/{camera}", data=np.asarray(recording.image_time[camera], np.float64))
    for name, (member, dtype, _) in _ARRAYS.items():
        file.create_dataset(member, data=np.asarray(getattr(recording, name), dtype))


def _parse(file: h5py.File) -> VrRecording:
    if file.attrs.get("format") != FORMAT:
        raise RecordingError("not a VR recording: the file's attribute 'format' says something else")
    if int(file.attrs.get("version", 0)) > VERSION:
        raise RecordingError(
            f"written by a newer recorder (layout {file.attrs['version']}, known up to {VERSION})"
        )
    cameras = list(_member(file, "images", h5py.Group))
    success = file.attrs.get("success")
    return VrRecording(
        images={camera: _frames(file, camera) for camera in cameras},
        image_time={camera: _array(file, f"image_time/{camera}", np.float64, 1) for camera in cameras},
        success=None if success is None else bool(success),
        attributes=_attributes(file),
        **{name: _array(file, *where) for name, where in _ARRAYS.items()},
    )


def _attributes(file: h5py.File) -> dict[str, Any]:
    try:
        attributes = from_json(str(file.attrs.get("attributes", "{}")))
    except ValueError:
        attributes = None
    if not isinstance(attributes, dict):
        raise RecordingError("its 'attributes' are not a JSON object")
    return attributes


def _member(file: h5py.File, name: str, kind: Callable[..., Any]) -> Any:
    member = file.get(name)
    if member is None or not isinstance(member, kind):  # type: ignore[arg-type]
        raise RecordingError(f"'{name}' is missing")
    return member


def _frames(file: h5py.File, camera: str) -> Image:
    frames = _member(file, f"images/{camera}", h5py.Dataset)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise RecordingError(
            f"'images/{camera}' is {frames.dtype} {list(frames.shape)}, not uint8 [T, height, width, 3]"
        )
    return np.asarray(frames[()], np.uint8)


def _array(file: h5py.File, name: str, dtype: Any, dimensions: int) -> NDArray[Any]:
    member = _member(file, name, h5py.Dataset)
    if member.ndim != dimensions:
        raise RecordingError(f"'{name}' has {member.ndim} dimensions, not {dimensions}")
    if name.endswith("pose") and member.shape[-1] != 7:
        raise RecordingError(f"'{name}' has {member.shape[-1]} numbers per tick, not 7")
    return np.asarray(member[()], dtype)
