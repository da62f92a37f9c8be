"""HDF5 of our own VR recorder: everything is known, no questions are asked. Layout: `datasets.vr_recording`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from datasets import vr_recording
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files import hdf5, images
from datasets.importers.interface import Format, RawEpisode
from datasets.importers.mapping import Arm, Mapping, Representation, Track
from datasets.importers.recording import Array
from datasets.plain_text import from_json
from datasets.spec import DataSpec

_COLUMNS = (
    "observation/joint_angles",
    "observation/end_effector_pose",
    "observation/gripper",
    "action/pose",
    "action/gripper",
)


class VrFormat(Format):
    """Recordings of the station's own VR recorder."""

    name: ClassVar[str] = "vr"
    description: ClassVar[str] = "the station's VR recordings, HDF5"
    members: ClassVar[tuple[str, ...]] = (
        "observation/joint_angles",
        "observation/end_effector_pose",
        "action/pose",
    )
    suffixes: ClassVar[tuple[str, ...]] = hdf5.SUFFIXES

    def recognises(self, path: Path) -> bool:
        if not hdf5.has(path):
            return False
        with hdf5.opened(path) as file:
            return bool(file.attrs.get("format") == vr_recording.FORMAT)

    def damage(self, path: Path) -> str | None:
        return hdf5.damage(path)

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with hdf5.opened(path) as file:
            if int(file.attrs.get("version", 0)) > vr_recording.VERSION:
                raise RefusedError(
                    Defect.UNREADABLE,
                    f"written by a newer recorder (layout {file.attrs['version']}, known up to "
                    f"{vr_recording.VERSION})",
                )
            yield _raw(file)

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        observed = Track(
            joints="observation/joint_angles", gripper="observation/gripper", closed=0.0, open=1.0,
            position="observation/end_effector_pose[0:3]", rotation="observation/end_effector_pose[3:7]",
            representation=Representation.QUATERNION,
        )  # fmt: skip
        commanded = Track(
            position="action/pose[0:3]", rotation="action/pose[3:7]", gripper="action/gripper",
            representation=Representation.QUATERNION, closed=0.0, open=1.0,
        )  # fmt: skip
        arms = (Arm(observed=observed, commanded=commanded),)
        return Mapping(arms=arms, colour="rgb", quaternion="xyzw", angle="rad", length="m")


def _raw(file: h5py.File) -> RawEpisode:
    cameras = list(hdf5.group(file, "images"))
    success = file.attrs.get("success")
    return RawEpisode(
        columns={name: hdf5.numbers(hdf5.dataset(file, name), name) for name in _COLUMNS},
        frames={name: images.as_frames(_image_set(file, f"images/{name}"), name) for name in cameras},
        time=_column(file, "observation/time"),
        action_time=_column(file, "action/time"),
        image_time={name: _column(file, f"image_time/{name}") for name in cameras},
        following=_column(file, "buttons/clutch").astype(np.bool_),
        finished=_finished(file),
        success=None if success is None else bool(success),
        attributes=_attributes(file),
    )


def _finished(file: h5py.File) -> Any:
    success, failure = _column(file, "buttons/success"), _column(file, "buttons/failure")
    ticks = min(len(success), len(failure))
    if abs(len(success) - len(failure)) > _BUTTON_TAIL:
        raise RefusedError(Defect.UNEQUAL_LENGTHS, "unequal lengths: the two buttons were not recorded alike")
    return (success[:ticks] + failure[:ticks]).astype(np.bool_)


_BUTTON_TAIL = 2


def _column(file: h5py.File, name: str) -> Array:
    values = hdf5.numbers(hdf5.dataset(file, name), name)
    if values.shape[1] != 1:
        raise RefusedError(Defect.UNFIT, f"'{name}' has {values.shape[1]} numbers per tick, not one")
    return values[:, 0]


def _image_set(file: h5py.File, name: str) -> h5py.Dataset:
    member = hdf5.dataset(file, name)
    if not images.is_colour(member):
        raise RefusedError(
            Defect.UNFIT, f"'{name}' is {member.dtype} {list(member.shape)}, not uint8 [T, height, width, 3]"
        )
    return member


def _attributes(file: h5py.File) -> dict[str, Any]:
    attributes = from_json(str(file.attrs.get("attributes", "{}")))
    if not isinstance(attributes, dict):
        raise RefusedError(Defect.UNREADABLE, "its 'attributes' are not a JSON object")
    return attributes
