"""Diffusion Policy's and UMI's replay buffers: one zarr folder or zip, v2 or v3, all episodes end to end.

``data/*`` have a row per step, ``meta/episode_ends`` says where episodes end. There is no success, mostly no time, and
UMI holds no actions: the pose of the next step stands for them. Arrays are opened only after their description was
found harmless: known codecs, plain numbers. JPEG-XL pictures need imagecodecs. Exports of this station come back
number for number.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import zarr
from numcodecs.registry import register_codec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.errors import BaseZarrError
from zarr.storage import LocalStore, ZipStore

from datasets.importers import fingerprints, pictures
from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.interface import Format, OwnEpisode, RawEpisode, require_size
from datasets.importers.mapping import ActionKind, Arm, Mapping, Representation, Track
from datasets.importers.optional import needed
from datasets.importers.own import outcome_named, spec_from
from datasets.importers.pointers import missing_content
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

_CODECS = (
    "blosc",
    "zlib",
    "gzip",
    "lz4",
    "zstd",
    "bz2",
    "lzma",
    "crc32",
    "delta",
    "shuffle",
    "fixedscaleoffset",
)
"""Compressors and filters of numbers; others, such as pickle, can do more than decode."""
_JPEGXL = "imagecodecs_jpegxl"
_DAMAGE = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, AttributeError, SystemError,
    EOFError, NotImplementedError, RecursionError, zipfile.BadZipFile, BaseZarrError,
)  # fmt: skip


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
                for group, array in ((".zgroup", ".zarray"), (_V3, _V3))
            )
        if not path.name.endswith(self.suffixes):
            return False
        try:
            with _opened(path) as root:
                return "meta/episode_ends" in root
        except RecordingError:
            return False

    def damage(self, path: Path) -> str | None:
        try:
            with _opened(path):
                return None
        except RecordingError as error:
            return str(error)

    def keys(self, path: Path) -> Iterator[str]:
        with _opened(path) as root:
            count = len(_ends(root))
        yield from (str(number) for number in range(count))

    def unlisted(self, path: Path) -> Iterator[RecordingError]:
        with _opened(path) as root:
            rows = _left_over(root)
        if rows > 0:
            text = f"{counted(rows, 'row')} after the last end in 'meta/episode_ends' belong to no episode"
            yield RefusedError(Defect.INDEX, f"{text}; its recorder was cut off, or the list is another's")

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with _opened(path) as root:
            first, end = _range(root, int(key))
            columns, frames = _rows(root, first, end)
            own = _own(root, int(key), columns)
            time = columns["timestamp"][:, 0] if "timestamp" in columns else None
            yield RawEpisode(
                columns=columns,
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
        with _opened(path) as root:
            first, end = _range(root, int(key))
            return fingerprints.of_arrays(self.name, _rows(root, first, end)[0])


@contextmanager
def _opened(path: Path) -> Iterator[zarr.Group]:
    store = None
    try:
        store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
        yield zarr.open_group(store, mode="r", zarr_format=_version(path))
    except RecordingError:
        raise
    except _DAMAGE as error:
        raise missing_content(path) or RefusedError(
            Defect.UNREADABLE,
            f"unreadable, the zarr data are damaged or cut off; copy them again ({why(error)})",
        ) from error
    finally:
        if store is not None:
            # a zip that could not be opened has nothing to close, and says so badly
            with suppress(AttributeError):
                store.close()


def _version(path: Path) -> Literal[2, 3]:
    """2, unless only the description of v3 is there."""
    if path.is_dir():
        found = {name for name in (".zgroup", _V3) if (path / name).is_file()}
    else:
        with zipfile.ZipFile(path) as packed:
            found = set(packed.namelist())
    return 3 if ".zgroup" not in found and _V3 in found else 2


_V3 = "zarr.json"
"""Describes every group and array of v3."""


def _array(root: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array whose description is harmless.

    Raises:
        RefusedError: missing, or not plain numbers in known codecs.
    """
    _require_harmless(root, name)
    member = root.get(name)
    if not isinstance(member, zarr.Array):
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    return member


def _require_harmless(root: zarr.Group, name: str) -> None:
    """Look at an array's description before any library acts on it."""
    if root.metadata.zarr_format == 3:
        _require_harmless_v3(root, name)
        return
    described = _bytes(root, f"{name}/.zarray")
    if described is None:
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    facts = json.loads(described)
    dtype = facts.get("dtype")
    if not isinstance(dtype, str) or dtype[1:2] not in "fiub" or not dtype[2:].isdigit():
        raise RefusedError(Defect.UNREADABLE, f"'{name}' holds {dtype}, no numbers")
    codecs = [facts.get("compressor"), *(facts.get("filters") or ())]
    for codec in codecs:
        if codec is not None and codec.get("id") == _JPEGXL:
            with needed("formats"):
                from imagecodecs.numcodecs import Jpegxl

                register_codec(Jpegxl)
        elif codec is not None and codec.get("id") not in _CODECS:
            raise RefusedError(
                Defect.UNREADABLE, f"'{name}' is packed with '{codec.get('id')}', which is not read"
            )


def _require_harmless_v3(root: zarr.Group, name: str) -> None:
    described = _bytes(root, f"{name}/{_V3}")
    if described is None:
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    facts = json.loads(described)
    dtype = facts.get("data_type")
    if not isinstance(dtype, str) or re.fullmatch(r"bool|(u?int|float)\d{1,2}", dtype) is None:
        raise RefusedError(Defect.UNREADABLE, f"'{name}' holds {dtype}, no numbers")
    for codec in _codecs_of_v3(facts):
        if codec not in _CODECS_OF_V3 and codec.removeprefix("numcodecs.") not in _CODECS:
            raise RefusedError(Defect.UNREADABLE, f"'{name}' is packed with '{codec}', which is not read")
    if facts.get("storage_transformers"):
        raise RefusedError(Defect.UNREADABLE, f"'{name}' is stored in a way that is not read")


def _codecs_of_v3(facts: dict[str, Any]) -> Iterator[str]:
    """All of them, also those inside shards."""
    for key in ("codecs", "index_codecs"):
        for codec in facts.get(key) or ():
            known = codec if isinstance(codec, dict) else {"name": codec}
            yield str(known.get("name"))
            inner = known.get("configuration")
            if isinstance(inner, dict):
                yield from _codecs_of_v3(inner)


_CODECS_OF_V3 = ("bytes", "blosc", "zstd", "gzip", "crc32c", "transpose", "sharding_indexed")


def _bytes(root: zarr.Group, name: str) -> bytes | None:
    """A file of the store as it lies there."""
    buffer = sync(root.store.get(name, default_buffer_prototype()))
    return None if buffer is None else buffer.to_bytes()


def _ends(root: zarr.Group) -> np.ndarray[Any, np.dtype[np.int64]]:
    array = _array(root, "meta/episode_ends")
    require_size(array.shape, "meta/episode_ends")
    ends = np.asarray(array[:]).astype(np.int64)
    if ends.ndim != 1 or (np.diff(np.concatenate([[0], ends])) < 0).any():
        raise RefusedError(Defect.UNREADABLE, "'meta/episode_ends' does not rise")
    return ends


def _left_over(root: zarr.Group) -> int:
    """Rows that lie behind the last episode's end, in the array that has most."""
    ends = _ends(root)
    last = int(ends[-1]) if len(ends) else 0
    longest = last
    for name in _names(root):
        with suppress(RefusedError):  # what is wrong with an array is said of the episodes in it
            longest = max(longest, int(_array(root, f"data/{name}").shape[0]))
    return longest - last


def _require_rows(array: zarr.Array[Any], name: str, end: int) -> None:
    if array.shape[0] < end:
        raise RefusedError(
            Defect.INDEX,
            f"'{name}' has {array.shape[0]} rows, and 'meta/episode_ends' says that this episode ends at {end}",
        )


def _require_chunks(root: zarr.Group, array: zarr.Array[Any], name: str, first: int, end: int) -> None:
    """zarr reads a chunk that is not there as zeros: black pictures, which no camera takes."""
    size = int((array.shards or array.chunks)[0])
    below = ["0"] * (len(array.shape) - 1)
    before, separator = _chunk_names(root, name)
    for chunk in range(first // size, -(-end // size)):
        if not sync(root.store.exists(f"data/{name}/{before}{separator.join([str(chunk), *below])}")):
            raise RefusedError(
                Defect.MISSING_MEMBER,
                f"a file with pictures {chunk * size} and on of '{name}' is missing; copy it again",
            )


def _chunk_names(root: zarr.Group, name: str) -> tuple[str, str]:
    """What goes before the numbers in the name of a chunk's file, and what between them."""
    if root.metadata.zarr_format == 2:
        facts = json.loads(_bytes(root, f"data/{name}/.zarray") or b"{}")
        return "", str(facts.get("dimension_separator", "."))
    encoding = json.loads(_bytes(root, f"data/{name}/{_V3}") or b"{}").get("chunk_key_encoding", {})
    usual = "/" if encoding.get("name") == "default" else "."
    separator = str(encoding.get("configuration", {}).get("separator", usual))
    return (f"c{separator}" if encoding.get("name") == "default" else ""), separator


def _range(root: zarr.Group, number: int) -> tuple[int, int]:
    ends = _ends(root)
    if number >= len(ends):
        raise RefusedError(Defect.MISSING_MEMBER, f"there are only {len(ends)} episodes")
    return (int(ends[number - 1]) if number else 0), int(ends[number])


def _rows(root: zarr.Group, first: int, end: int) -> tuple[dict[str, Array], dict[str, Frames]]:
    """An episode's numbers, and its pictures where they lie."""
    columns: dict[str, Array] = {}
    frames: dict[str, Frames] = {}
    data = root.get("data")
    if not isinstance(data, zarr.Group):
        raise RefusedError(Defect.MISSING_MEMBER, "'data' is missing")
    for name in sorted(_names(root)):
        try:
            array = _array(root, f"data/{name}")
        except RefusedError as error:
            if _dimensions(root, name) != _PICTURES:
                raise
            frames[name] = AbsentFrames(error, end - first)
            continue
        if pictures.is_colour(array):
            frames[name] = if_there(partial(_sliced, root, array, name, first, end), end - first)
        elif len(array.shape) in (1, 2):
            _require_rows(array, name, end)
            require_size((end - first, *array.shape[1:]), name)
            values = np.asarray(array[first:end], np.float64)
            columns[name] = values.reshape(len(values), -1) if values.size else np.zeros((len(values), 1))
    return columns, frames


def _sliced(root: zarr.Group, array: zarr.Array[Any], name: str, first: int, end: int) -> Frames:
    _require_rows(array, name, end)
    _require_chunks(root, array, name, first, end)
    return SlicedFrames(pictures.as_frames(array, name), first, end)


def _dimensions(root: zarr.Group, name: str) -> int:
    """Of an array by its description alone."""
    described = _V3 if root.metadata.zarr_format == 3 else ".zarray"
    shape = json.loads(_bytes(root, f"data/{name}/{described}") or b"{}").get("shape")
    return len(shape) if isinstance(shape, list) else 0


_PICTURES = 4
"""Dimensions of an array of pictures."""


def _depth(root: zarr.Group) -> tuple[str, ...]:
    found = []
    for name in sorted(_names(root)):
        with suppress(RefusedError):
            found += [name] if pictures.is_depth(_array(root, f"data/{name}")) else []
    return tuple(found)


def _names(root: zarr.Group) -> list[str]:
    """Arrays under data/, by what lies there and not by what some index claims."""

    async def listed() -> list[str]:
        return [name async for name in root.store.list_dir("data")]

    return [name for name in sync(listed()) if not name.startswith(".") and name != _V3]


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
    """Its rotations may be vectors, as its authors' arm gives them, or angles."""
    pose = raw.columns["robot_eef_pose"].shape[1]
    known = {"position": "robot_eef_pose[0:3]", "rotation": "robot_eef_pose[3:6]"}
    joints = "robot_joint" if "robot_joint" in raw.columns else None
    commanded = Track()
    if "action" in raw.columns and raw.columns["action"].shape[1] >= _POSE:
        commanded = Track(position="action[0:3]", rotation="action[3:6]")
    return Arm(observed=Track(**(known if pose == _POSE else {}), joints=joints), commanded=commanded)


_POSE = 6
"""Numbers of a position and a rotation."""


def _own(root: zarr.Group, number: int, columns: dict[str, Array]) -> OwnEpisode | None:
    """An export of this station."""
    facts = root.attrs.get("station")
    spec = spec_from(facts.get("spec") if isinstance(facts, dict) else None)
    wanted = ("proprioception", "observation_time", "action", "sent", "command_time")
    if spec is None or not isinstance(facts, dict) or not all(name in columns for name in wanted):
        return None
    entries = facts.get("episodes")
    entry = entries[number] if isinstance(entries, list) and number < len(entries) else {}
    final = {
        name: np.asarray(_array(root, f"meta/final_{name}")[number : number + 1], np.float64).reshape(1, -1)
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
    """Pictures with the last one, which the layout has no row for."""
    return {
        name.removesuffix("_image"): JoinedFrames(
            pictures, SlicedFrames(ArrayFrames(_array(root, f"meta/final_{name}")), number, number + 1)
        )
        for name, pictures in frames.items()
    }
