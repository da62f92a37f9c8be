"""Array files in no known format (npz, HDF5, pickles, parquet), read according to a small description.

``import-description.toml`` is in the data folder, or is given as ``--as described:FILE``. It lists the files to read,
how they hold episodes, which members hold time and success, and in ``[map]`` the meaning of other members, as
``--map`` does. `datasets.importers.files.description` generates a template.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files import hdf5, images, members, unpickling
from datasets.importers.files.description import (
    NAME,
    Description,
    description_in,
    first_file,
    guess,
    template,
)
from datasets.importers.files.members import Members
from datasets.importers.files.places import inside
from datasets.importers.interface import Format, RawEpisode, require_size
from datasets.importers.map.proposals import matched_cameras
from datasets.importers.map.questions import questions
from datasets.importers.mapping import Arm, Mapping
from datasets.importers.recording import Array, Frames, if_there
from datasets.spec import DataSpec

_PART = "#"
"""Separator between a file's name and the episode in it."""


class DescribedFormat(Format):
    """Any file that has a description."""

    name: ClassVar[str] = "described"
    description: ClassVar[str] = f"npz, HDF5, parquet or pickled arrays, read as an {NAME} says"

    def __init__(self, file: Path | None = None) -> None:
        """`file` describes everything that is read; without it, each folder has its own description."""
        self._file = file

    @property
    def spoken(self) -> str:
        return self.name if self._file is None else f"{self.name}:{self._file}"

    def recognises(self, path: Path) -> bool:
        if self._file is not None:
            return path.is_dir() or path.name.endswith(members.SUFFIXES)
        return path.is_dir() and (path / NAME).is_file()

    def keys(self, path: Path) -> Iterator[str]:
        described = self._description(path)
        names = [""] if path.is_file() else _files(path, described.files)
        if not names:
            raise RefusedError(
                Defect.MISSING_MEMBER, f"no file here is called '{described.files}' ({NAME}: files)"
            )
        for name in names:
            yield from self._keys_in(path, name, described)

    def instructions(self, path: Path) -> dict[str, str]:
        words = self._description(path).instruction
        return dict.fromkeys(self.keys(path), words) if words else {}

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        described = self._description(path)
        with self._episode(path, key, described) as (found, mark):
            yield _raw(found, described, mark)

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        entries: dict[str, str] = raw.facts["map"]
        return Mapping(arms=(Arm(),) * spec.action.arms).with_answers(entries)

    def fingerprint(self, path: Path, key: str) -> str:
        name, _, part = key.partition(_PART)
        if not part:
            return fingerprints.of_file(_file(path, name))
        with self.open(path, key) as raw:
            return fingerprints.of_arrays(self.name, raw.columns)

    def memory(self, path: Path) -> int:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.name.endswith(_WHOLE)]
        return unpickling.EXPANSION * max((file.stat().st_size for file in files), default=0)

    def _description(self, path: Path) -> Description:
        return description_in(self._file or path / NAME)

    def _keys_in(self, path: Path, name: str, described: Description) -> Iterator[str]:
        if not (described.episodes or described.ends):
            yield name
            return
        with members.opened(_file(path, name), lists_are_groups=bool(described.episodes)) as found:
            if described.ends:
                yield from (f"{name}{_PART}{number}" for number in range(len(_ends(found, described.ends))))
            else:
                yield from (f"{name}{_PART}{group}" for group in _groups(found, described.episodes))

    @contextmanager
    def _episode(self, path: Path, key: str, described: Description) -> Iterator[tuple[Members, bool | None]]:
        """The episode's members, and the success flag on its group."""
        name, _, part = key.partition(_PART)
        file = _file(path, name)
        with members.opened(file, lists_are_groups=bool(described.episodes)) as found:
            if described.ends:
                yield _stretch(found, described.ends, int(part)), None
            elif part:
                yield _inside(found, part), _mark(found, part, described.success)
            else:
                yield found, _mark(found, "", described.success)


def describe(path: Path, spec: DataSpec) -> str:
    """A description template for the files at `path`, with the entries that this task needs.

    Raises:
        RefusedError: no file there holds arrays, or none can be read.
    """
    file = first_file(path)
    with members.opened(file) as found:
        described = guess(file, found)
    with members.opened(file, lists_are_groups=bool(described.episodes)) as found:
        inner = found
        if described.ends:
            inner = _stretch(found, described.ends, 0)
        elif described.episodes:
            inner = _inside(found, _groups(found, described.episodes)[0])
        raw = _raw(inner, described, None)
        cameras = matched_cameras([camera.name for camera in spec.cameras], raw.frames)
        mapping = Mapping(cameras=cameras, arms=(Arm(),) * spec.action.arms)
        described = described.model_copy(
            update={"map": {f"camera.{name}": key for name, key in cameras.items()}}
        )
        return template(file, inner, described, questions(raw, mapping, spec))


_WHOLE = (*members.NPZ, *members.PICKLES, *members.PARQUET)
"""Suffixes of files that are loaded beyond a single episode's numbers."""


def _file(path: Path, name: str) -> Path:
    return inside(path, name) if name else path


def _files(folder: Path, pattern: str) -> list[str]:
    found = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    return sorted(
        name for name in found if fnmatch.fnmatchcase(name, pattern) and name.endswith(members.SUFFIXES)
    )


def _groups(found: Members, pattern: str) -> list[str]:
    depth = pattern.count("/") + 1
    groups = {"/".join(name.split("/")[:depth]) for name in found if name.count("/") >= depth}
    matching = [group for group in groups if fnmatch.fnmatchcase(group, pattern)]
    if not matching:
        raise RefusedError(
            Defect.MISSING_MEMBER,
            f"no group is called '{pattern}' ({NAME}: episodes); it holds {members.said(found)}",
        )
    return sorted(matching, key=_in_order)


def _in_order(group: str) -> list[tuple[int, str]]:
    """Sort key that puts traj_2 before traj_10."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", group)]


def _inside(found: Members, group: str) -> Members:
    prefix = f"{group}/"
    within = {name.removeprefix(prefix): member for name, member in found.items() if name.startswith(prefix)}
    if not within:
        raise RefusedError(Defect.MISSING_MEMBER, f"'{group}' is missing")
    return within


def _ends(found: Members, name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    if name not in found:
        raise RefusedError(
            Defect.MISSING_MEMBER, f"'{name}' is missing ({NAME}: ends); it holds {members.said(found)}"
        )
    require_size(found[name].shape, name)
    ends = np.asarray(found[name][:]).astype(np.int64).reshape(-1)
    if (np.diff(np.concatenate([[0], ends])) < 0).any():
        raise RefusedError(Defect.UNREADABLE, f"'{name}' does not rise")
    return ends


def _stretch(found: Members, name: str, number: int) -> Members:
    """One episode's rows of the members that hold the steps of all episodes."""
    ends = _ends(found, name)
    if number >= len(ends):
        raise RefusedError(Defect.MISSING_MEMBER, f"there are only {len(ends)} episodes")
    first, end = (int(ends[number - 1]) if number else 0), int(ends[number])
    return {
        key: hdf5.Rows(member, first, end)
        for key, member in found.items()
        if len(member.shape) and member.shape[0] == ends[-1]
    }


def _raw(found: Members, described: Description, mark: bool | None) -> RawEpisode:
    files = {name: member for name, member in found.items() if images.is_encoded(member)}
    columns = {
        name: _numbers(member, name)
        for name, member in found.items()
        if _is_column(member) and name not in files
    }
    frames: dict[str, Frames] = {
        name: if_there(partial(images.as_frames, member, name))
        for name, member in found.items()
        if images.is_colour(member)
    }
    frames |= {
        name: if_there(partial(images.encoded_frames, member, name), member.shape[0])
        for name, member in files.items()
    }
    if described.time and described.time not in columns:
        raise RefusedError(
            Defect.MISSING_MEMBER,
            f"'{described.time}' is missing ({NAME}: time); it holds {members.said(found)}",
        )
    return RawEpisode(
        columns=columns,
        unstored=hdf5.unstored({name: found[name] for name in columns}),
        frames=frames,
        time=columns[described.time][:, 0] if described.time else None,
        success=mark if mark is not None else _truth(found, described.success),
        depth=tuple(name for name, member in found.items() if images.is_depth(member)),
        attributes={"instruction": described.instruction} if described.instruction else {},
        facts={"map": described.map},
    )


def _is_column(member: Any) -> bool:
    return np.dtype(member.dtype).kind in "fiub" and len(member.shape) in (1, 2) and member.shape[0] > 0


def _numbers(member: Any, name: str) -> Array:
    require_size(member.shape, name)
    values = np.asarray(member[:], np.float64)
    return values.reshape(len(values), -1)


def _truth(found: Members, name: str) -> bool | None:
    """Whether a member signals success at any tick; unknown if some of its ticks were never written."""
    if not name or name not in found or hdf5.first_unwritten(found[name]) is not None:
        return None
    member = found[name]
    values = np.asarray(member[()] if not member.shape else member[:])
    return bool((values > 0).any()) if values.dtype.kind in "fiub" else None


def _mark(found: Members, group: str, name: str) -> bool | None:
    """The success attribute of that name on an HDF5 file, or on an episode's group in it."""
    first = next(iter(found.values()), None)
    if not name or not isinstance(first, h5py.Dataset):
        return None
    place = first.file[group] if group else first.file
    return hdf5.verdict(place, name) if isinstance(place, h5py.Group) else None
