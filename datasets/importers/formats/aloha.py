"""ALOHA and ACT episodes: one HDF5 file each, with joint angles and images, raw or individually JPEG-compressed.

``/observations/qpos`` and ``/action`` [T, n] hold each arm's joint angles, rad, and gripper opening, which the recorder
scales to 0 closed .. 1 open. ``/observations/images/<camera>`` is uint8 [T, height, width, 3], or JPEG bytes
[T, longest]. There are no time stamps, rarely a success flag (an attribute of the file), and no channel order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files import hdf5, images
from datasets.importers.interface import Format, RawEpisode, require_size
from datasets.importers.mapping import Arm, Mapping, Track
from datasets.importers.recording import EncodedFrames, Frames, if_there
from datasets.spec import DataSpec

_QPOS, _ACTION, _IMAGES = "observations/qpos", "action", "observations/images"
_PER_ARM = (7, 8)
"""Numbers of one arm: six or seven joints and the gripper."""


class AlohaFormat(Format):
    """ALOHA and ACT HDF5."""

    name: ClassVar[str] = "aloha"
    description: ClassVar[str] = "ALOHA and ACT episodes, HDF5"
    members: ClassVar[tuple[str, ...]] = ("observations/qpos", "action", "observations/images")
    suffixes: ClassVar[tuple[str, ...]] = hdf5.SUFFIXES

    def recognises(self, path: Path) -> bool:
        return hdf5.has(path, _QPOS, _ACTION)

    def instructions(self, path: Path) -> dict[str, str]:
        with hdf5.opened(path) as file:
            told = _instruction(file)
        return {"": told} if told else {}

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with hdf5.opened(path) as file:
            group = file.get(_IMAGES)
            names = list(group) if isinstance(group, h5py.Group) else []
            columns = _columns(file)
            yield RawEpisode(
                columns=columns,
                unstored=hdf5.unstored({name: file[name] for name in columns}),
                frames={name: if_there(partial(_frames, file, f"{_IMAGES}/{name}")) for name in names},
                success=hdf5.verdict(file),
                vague=(_QPOS, _ACTION),
                attributes=_attributes(file),
            )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        width, arms = raw.columns[_QPOS].shape[1], spec.action.arms
        if width % arms or width // arms not in _PER_ARM:
            return Mapping(arms=(Arm(),) * arms)
        size = width // arms
        return Mapping(arms=tuple(_arm(number * size, size) for number in range(arms)))


def _attributes(file: h5py.File) -> dict[str, Any]:
    told = _instruction(file)
    attributes: dict[str, Any] = {"sim": bool(file.attrs["sim"])} if "sim" in file.attrs else {}
    return {**attributes, "instruction": told} if told else attributes


def _instruction(file: h5py.File) -> str:
    return hdf5.words(file, "instruction", "language_instruction", "language_raw", "task")


def _arm(first: int, size: int) -> Arm:
    gripper = first + size - 1

    def track(key: str) -> Track:
        return Track(joints=f"{key}[{first}:{gripper}]", gripper=f"{key}[{gripper}:{gripper + 1}]")

    return Arm(observed=track(_QPOS), commanded=track(_ACTION))


def _columns(file: h5py.File) -> dict[str, Any]:
    names = [_ACTION, *(f"observations/{name}" for name in hdf5.group(file, "observations"))]
    columns = {name: hdf5.numbers(file[name], name) for name in names if hdf5.is_numeric(file.get(name))}
    for name in (_QPOS, _ACTION):
        if name not in columns:
            raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing or holds no numbers")
    return columns


def _frames(file: h5py.File, name: str) -> Frames:
    member = hdf5.dataset(file, name)
    if images.is_colour(member):
        return images.as_frames(member, name)
    lengths = h5py.check_vlen_dtype(member.dtype)
    if (member.ndim, lengths) not in ((1, np.dtype(np.uint8)), (2, None)) or member.dtype.kind not in "uO":
        raise RefusedError(
            Defect.IMAGE,
            f"'{name}' is {member.dtype} {list(member.shape)}: neither images nor JPEG bytes",
        )
    require_size(member.shape[:1], name)
    # the recorder passed its images to OpenCV's encoder unchanged, so OpenCV decodes them in the same channel order
    return EncodedFrames(lambda index: bytes(member[index]), len(member), name, reverse=False)
