"""Diffusion Policy's and UMI's replay buffers: one zarr folder or zip, v2 or v3, all episodes end to end.

``data/*`` have a row per step, ``meta/episode_ends`` gives the episode ends. There is no success flag, usually no time,
and UMI stores no actions: the next step's pose serves as the action. `importers.files.zarr_files` opens the stores and
finds rows that are not stored. JPEG-XL images need imagecodecs. Exports of this station are restored exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import zarr

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.enter.reimport import outcome_named, spec_from
from datasets.importers.files import images, zarr_files
from datasets.importers.interface import Format, OwnEpisode, RawEpisode, Unstored, require_size
from datasets.importers.mapping import ActionKind, Arm, Mapping, Representation, Track
from datasets.importers.recording import (
    AbsentFrames,
    Array,
    ArrayFrames,
    Frames,
    JoinedFrames,
    SlicedFrames,
    if_there,
)
from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError
from datasets.wording import counted


class DiffusionPolicyFormat(Format):
    """Diffusion Policy's zarr."""

    name: ClassVar[str] = "diffusion-policy"
    description: ClassVar[str] = "Diffusion Policy and UMI replay buffers, zarr v2 or v3, folder or zip"
    members: ClassVar[tuple[str, ...]] = ("data/action", "meta/episode_ends")
    suffixes: ClassVar[tuple[str, ...]] = (".zarr.zip",)

    def recognises(self, path: Path) -> bool:
        if path.is_dir():
            ends = path / "meta" / "episode_ends"
            return any(
                (path / group).is_file() and (ends / array).is_file()
                for group, array in ((".zgroup", ".zarray"), (zarr_files.DESCRIPTION, zarr_files.DESCRIPTION))
            )
        if not path.name.endswith(self.suffixes):
            return False
        try:
            with zarr_files.opened(path) as root:
                return "meta/episode_ends" in root
        except RecordingError:
            return False

    def damage(self, path: Path) -> str | None:
        try:
            with zarr_files.opened(path):
                return None
        except RecordingError as error:
            return str(error)

    def keys(self, path: Path) -> Iterator[str]:
        with zarr_files.opened(path) as root:
            count = len(_ends(root))
        yield from (str(number) for number in range(count))

    def unlisted(self, path: Path) -> Iterator[RecordingError]:
        with zarr_files.opened(path) as root:
            rows = _left_over(root)
        if rows > 0:
            text = f"{counted(rows, 'row')} after the last end in 'meta/episode_ends' belong to no episode"
            yield RefusedError(Defect.INDEX, f"{text}; its recorder was cut off, or the list is another's")

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with zarr_files.opened(path) as root:
            first, end = _range(root, int(key))
            columns, frames = _rows(root, first, end)
            own = _own(root, int(key), columns, (first, end))
            unstored = {} if own else _unstored(root, columns, first, end)
            time = columns["timestamp"][:, 0] if "timestamp" in columns else None
            if time is not None and "timestamp" in unstored and not (np.diff(time) > 0).all():
                raise RefusedError(Defect.MISSING_MEMBER, f"{unstored['timestamp'].where}; copy it again")
            yield RawEpisode(
                columns=columns,
                unstored=unstored,
                frames=_whole(root, int(key), frames) if own else frames,
                time=time,
                success=None,
                depth=_depth(root),
                own=own,
            )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        robots = [name for name in ("robot0_", "robot1_") if f"{name}eef_pos" in raw.columns]
        if robots:
            arms = tuple(_umi_arm(raw, name) for name in robots)
            return Mapping(arms=arms, angle="rad", length="m", actions=_umi_actions(raw))
        if "robot_eef_pose" in raw.columns:
            return Mapping(arms=(_real_arm(raw),), actions=None)
        return Mapping(arms=(Arm(),) * spec.action.arms)

    def fingerprint(self, path: Path, key: str) -> str:
        with zarr_files.opened(path) as root:
            first, end = _range(root, int(key))
            return fingerprints.of_arrays(self.name, _rows(root, first, end)[0])


def _ends(root: zarr.Group) -> np.ndarray[Any, np.dtype[np.int64]]:
    array = zarr_files.array(root, "meta/episode_ends")
    require_size(array.shape, "meta/episode_ends")
    _require_stored(root, "meta/episode_ends", 0, array.shape[0] if array.ndim else 0)
    ends = np.asarray(array[:]).astype(np.int64)
    if ends.ndim != 1 or (np.diff(np.concatenate([[0], ends])) < 0).any():
        raise RefusedError(Defect.UNREADABLE, "'meta/episode_ends' does not rise")
    return ends


def _left_over(root: zarr.Group) -> int:
    """Number of rows after the last episode's end, in the longest array."""
    ends = _ends(root)
    last = int(ends[-1]) if len(ends) else 0
    longest = last
    for name in zarr_files.names(root, "data"):
        with suppress(RefusedError):  # a damaged array is reported for its episodes
            longest = max(longest, int(zarr_files.array(root, f"data/{name}").shape[0]))
    return longest - last


def _require_rows(array: zarr.Array[Any], name: str, end: int) -> None:
    if array.shape[0] < end:
        raise RefusedError(
            Defect.INDEX,
            f"'{name}' has {array.shape[0]} rows, and 'meta/episode_ends' says that this episode ends at {end}",
        )


def _require_stored(root: zarr.Group, name: str, first: int, end: int) -> None:
    """Refuse missing rows of an array whose writer stores every chunk."""
    missing = zarr_files.first_missing(root, name, first, end)
    if missing is not None:
        raise RefusedError(
            Defect.MISSING_MEMBER, f"a file of '{name}' is missing ({missing[1]}); copy it again"
        )


def _unstored(root: zarr.Group, columns: dict[str, Array], first: int, end: int) -> dict[str, Unstored]:
    """column -> rows of an episode's numbers that are not stored."""
    found = {name: zarr_files.unstored(root, f"data/{name}", first, end) for name in columns}
    return {name: one for name, one in found.items() if one is not None}


def _range(root: zarr.Group, number: int) -> tuple[int, int]:
    ends = _ends(root)
    if number >= len(ends):
        raise RefusedError(Defect.MISSING_MEMBER, f"there are only {len(ends)} episodes")
    return (int(ends[number - 1]) if number else 0), int(ends[number])


def _rows(root: zarr.Group, first: int, end: int) -> tuple[dict[str, Array], dict[str, Frames]]:
    """An episode's numbers, and its images, read lazily."""
    columns: dict[str, Array] = {}
    frames: dict[str, Frames] = {}
    data = root.get("data")
    if not isinstance(data, zarr.Group):
        raise RefusedError(Defect.MISSING_MEMBER, "'data' is missing")
    for name in sorted(zarr_files.names(root, "data")):
        try:
            array = zarr_files.array(root, f"data/{name}")
        except RefusedError as error:
            if zarr_files.dimensions(root, f"data/{name}") != _IMAGES:
                raise
            frames[name] = AbsentFrames(error, end - first)
            continue
        if images.is_colour(array):
            frames[name] = if_there(partial(_sliced, root, array, name, first, end), end - first)
        elif len(array.shape) in (1, 2):
            _require_rows(array, name, end)
            require_size((end - first, *array.shape[1:]), name)
            values = np.asarray(array[first:end], np.float64)
            columns[name] = values.reshape(len(values), -1) if values.size else np.zeros((len(values), 1))
    return columns, frames


def _sliced(root: zarr.Group, array: zarr.Array[Any], name: str, first: int, end: int) -> Frames:
    _require_rows(array, name, end)
    # zarr would read a missing file as zeros: black images, which no camera takes
    missing = zarr_files.first_missing(root, f"data/{name}", first, end)
    if missing is not None:
        text = f"a file with images {missing[0]} and on of '{name}' is missing ({missing[1]}); copy it again"
        raise RefusedError(Defect.MISSING_MEMBER, text)
    return SlicedFrames(images.as_frames(array, name), first, end)


_IMAGES = 4
"""Dimensions of an image array."""


def _depth(root: zarr.Group) -> tuple[str, ...]:
    found = []
    for name in sorted(zarr_files.names(root, "data")):
        with suppress(RefusedError):
            found += [name] if images.is_depth(zarr_files.array(root, f"data/{name}")) else []
    return tuple(found)


def _umi_arm(raw: RawEpisode, prefix: str) -> Arm:
    def found(name: str) -> str | None:
        return f"{prefix}{name}" if f"{prefix}{name}" in raw.columns else None

    rotation = found("eef_rot_axis_angle")
    observed = Track(
        position=found("eef_pos"),
        rotation=rotation,
        representation=Representation.ROTATION_VECTOR if rotation else None,
        gripper=found("gripper_width"),
        joints=found("joint_pos"),
    )
    return Arm(observed=observed)


def _umi_actions(raw: RawEpisode) -> ActionKind | None:
    return None if "action" in raw.columns else ActionKind.ACHIEVED


def _real_arm(raw: RawEpisode) -> Arm:
    """One arm's columns; its rotations may be rotation vectors, as the authors' arm reports them, or angles."""
    pose = raw.columns["robot_eef_pose"].shape[1]
    known = {"position": "robot_eef_pose[0:3]", "rotation": "robot_eef_pose[3:6]"}
    joints = "robot_joint" if "robot_joint" in raw.columns else None
    commanded = Track()
    if "action" in raw.columns and raw.columns["action"].shape[1] >= _POSE:
        commanded = Track(position="action[0:3]", rotation="action[3:6]")
    return Arm(observed=Track(**(known if pose == _POSE else {}), joints=joints), commanded=commanded)


_POSE = 6
"""Numbers of a position and a rotation together."""


def _own(
    root: zarr.Group, number: int, columns: dict[str, Array], rows: tuple[int, int]
) -> OwnEpisode | None:
    """The exported episode, if this station wrote the store; its exports contain every chunk."""
    facts = root.attrs.get("station")
    spec = spec_from(facts.get("spec") if isinstance(facts, dict) else None)
    wanted = ("proprioception", "observation_time", "action", "sent", "command_time")
    if spec is None or not isinstance(facts, dict) or not all(name in columns for name in wanted):
        return None
    for name in wanted:
        _require_stored(root, f"data/{name}", *rows)
    for name in zarr_files.names(root, "meta"):
        if name.startswith("final_"):
            _require_stored(root, f"meta/{name}", number, number + 1)
    entries = facts.get("episodes")
    entry = entries[number] if isinstance(entries, list) and number < len(entries) else {}
    final = {
        name: np.asarray(
            zarr_files.array(root, f"meta/final_{name}")[number : number + 1], np.float64
        ).reshape(1, -1)
        for name in ("proprioception", "observation_time")
    }
    return OwnEpisode(
        spec=spec,
        proprioception=np.concatenate([columns["proprioception"], final["proprioception"]]),
        observation_time=np.append(columns["observation_time"][:, 0], final["observation_time"][0, 0]),
        action=columns["action"],
        sent=columns["sent"],
        command_time=columns["command_time"][:, 0],
        outcome=outcome_named(entry.get("outcome") if isinstance(entry, dict) else None),
    )


def _whole(root: zarr.Group, number: int, frames: dict[str, Frames]) -> dict[str, Frames]:
    """Images including the final one, for which the layout has no row."""
    return {
        name.removesuffix("_image"): JoinedFrames(
            images,
            SlicedFrames(ArrayFrames(zarr_files.array(root, f"meta/final_{name}")), number, number + 1),
        )
        for name, images in frames.items()
    }
