"""LeRobotDataset v2.1 and v3.0: parquet tables and one MP4 per camera.

`importers.files.lerobot_layout` locates the episodes. ``meta/info.json`` names the columns. Time stamps are the frame
index divided by the rate. Only the names of a column's numbers can tell joint angles from poses. Exports of this
station are restored exactly. Needs pyarrow, and PyAV for video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.enter.reimport import outcome_named, spec_from
from datasets.importers.files.lerobot_index import Doubts, of_rows
from datasets.importers.files.lerobot_layout import Layout, Place, has_tables, info_of, layout_of, parquet
from datasets.importers.files.video import VideoFrames
from datasets.importers.interface import Format, OwnEpisode, RawEpisode, require_size
from datasets.importers.map.proposals import gripper_range, joint_range, named_range
from datasets.importers.mapping import ActionKind, Arm, Mapping, Representation, Track
from datasets.importers.recording import Array, EncodedFrames, Frames, JoinedFrames, if_there
from datasets.plain_text import from_json
from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError

if TYPE_CHECKING:
    import pyarrow as pa

_BOOKKEEPING = ("index", "episode_index", "frame_index", "task_index", "timestamp")
_STATE, _ACTION = "observation.state", "action"
_STATES, _ACTIONS = (_STATE, "state"), (_ACTION, "actions")
"""Column names in LeRobot and in openpi."""
_ROTATIONS = (
    (("qx", "qy", "qz", "qw"), Representation.QUATERNION, "xyzw"),
    (("qw", "qx", "qy", "qz"), Representation.QUATERNION, "wxyz"),
    (("roll", "pitch", "yaw"), Representation.EULER, None),
    (("rx", "ry", "rz"), None, None),
)
"""Names of numbers -> the rotation representation they imply; rx, ry, rz may be a vector or angles."""


class LeRobotFormat(Format):
    """LeRobotDataset folders."""

    name: ClassVar[str] = "lerobot"
    description: ClassVar[str] = "LeRobotDataset v2.1 and v3.0 folders"

    def __init__(self) -> None:
        self._held: tuple[Path, int, Layout] | None = None

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and (path / "meta" / "info.json").is_file() and has_tables(path)

    def keys(self, path: Path) -> Iterator[str]:
        yield from (str(number) for number in sorted(self._layout(path).places))

    def instructions(self, path: Path) -> dict[str, str]:
        return {str(number): task for number, task in self._layout(path).tasks.items()}

    def unlisted(self, path: Path) -> Iterator[RecordingError]:
        yield from self._layout(path).damaged

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        info = info_of(path)
        features, rate = info["features"], float(info["fps"])
        place = self._place(path, key)
        table = _rows(place)
        columns = _columns(table)
        ticks = table.num_rows
        doubtful = self._layout(path).doubtful
        doubt = doubtful.get((place.number, "")) or of_rows(place.number, place.length, columns, ticks)
        if doubt is not None:
            raise RefusedError(Defect.INDEX, doubt)
        frames = dict(_frames(place, features, table, rate, doubtful))
        own = _own(path, place, columns, frames)
        yield RawEpisode(
            columns=columns,
            names={name: _names(features.get(name)) for name in columns},
            frames=own[1] if own else frames,
            time=columns["timestamp"][:, 0] if "timestamp" in columns else np.arange(ticks) / rate,
            success=_success(columns),
            rate=rate if "timestamp" in columns else None,
            depth=tuple(name for name, feature in features.items() if _is_depth(feature)),
            attributes=_attributes(self._layout(path), place),
            own=own[0] if own else None,
        )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        observed, orders = _track(raw, _first(raw, _STATES))
        commanded, orders_of_actions = _track(raw, _first(raw, _ACTIONS))
        found = {order for order in (orders, orders_of_actions) if order}
        quaternion: Any = found.pop() if len(found) == 1 else None
        return Mapping(
            arms=(Arm(observed=observed, commanded=commanded),),
            colour="rgb",
            quaternion=quaternion,
            actions=ActionKind.COMMANDED,
        )

    def fingerprint(self, path: Path, key: str) -> str:
        place = self._place(path, key)
        columns = _columns(_rows(place))
        return fingerprints.of_arrays(
            self.name, {name: values for name, values in columns.items() if name not in _BOOKKEEPING}
        )

    def _place(self, path: Path, key: str) -> Place:
        place = self._layout(path).places.get(int(key)) if key.isdecimal() else None
        if place is None:
            raise RefusedError(Defect.MISSING_MEMBER, f"episode {key} is not in its list of episodes")
        return place

    def _layout(self, path: Path) -> Layout:
        """The location of every episode; cached, because episodes are opened one by one."""
        stamp = (path / "meta" / "info.json").stat().st_mtime_ns
        if self._held is None or self._held[:2] != (path, stamp):
            self._held = (path, stamp, layout_of(path))
        return self._held[2]


def _rows(place: Place) -> pa.Table:
    """The episode's rows, in order; reads only row groups that contain some."""
    with parquet(place.table) as opened:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not place.shared:
            table = opened.read()
        else:
            pieces = []
            for group in _groups(opened.metadata, place.number):
                mine = pc.equal(
                    opened.read_row_group(group, columns=["episode_index"])["episode_index"], place.number
                )
                if pc.any(mine).as_py():
                    pieces.append(opened.read_row_group(group).filter(mine))
            table = pa.concat_tables(pieces) if pieces else opened.schema_arrow.empty_table()
        table.validate(full=True)
    require_size((table.num_rows,), place.table.name)
    return table


def _groups(metadata: Any, number: int) -> Iterator[int]:
    """Row groups that may contain an episode, according to the statistics that most writers store."""
    names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    column = names.index("episode_index")
    for group in range(metadata.num_row_groups):
        known = metadata.row_group(group).column(column).statistics
        if known is None or not known.has_min_max or known.min <= number <= known.max:
            yield group


def _columns(table: pa.Table) -> dict[str, Array]:
    """Numbers only: scalars and vectors."""
    import pyarrow as pa

    columns = {}
    for name in table.column_names:
        kind, column = table[name].type, table[name]
        scalar = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
        if scalar:
            columns[name] = np.asarray(column.to_numpy(), np.float64).reshape(-1, 1)
        elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            columns[name] = _vectors(name, column)
    return columns


def _vectors(name: str, column: pa.ChunkedArray) -> Array:
    """[T, n] from a column of lists, which must have equal lengths."""
    try:
        rows = np.asarray(column.to_pylist(), np.float64)
    except (ValueError, TypeError) as error:
        raise RefusedError(
            Defect.UNEQUAL_LENGTHS, f"the rows of '{name}' are not vectors of equal length"
        ) from error
    require_size(rows.shape, name)
    return rows.reshape(len(rows), -1) if rows.size else np.zeros((len(rows), 1))


def _frames(
    place: Place, features: dict[str, Any], table: pa.Table, rate: float, doubtful: Doubts
) -> Iterator[tuple[str, Frames]]:
    """Images from videos, and those embedded in the table."""
    for name, feature in features.items():
        kind = feature.get("dtype") if isinstance(feature, dict) else None
        if kind == "video":
            doubt = doubtful.get((place.number, name))
            yield name, if_there(partial(_video, place, name, table.num_rows, rate, doubt), table.num_rows)
        elif kind == "image" and name in table.column_names:
            fetch = _fetch_from(table[name])
            yield name, if_there(partial(EncodedFrames, fetch, table.num_rows, name, reverse=True))


def _is_depth(feature: Any) -> bool:
    """Whether LeRobot marks it as depth: with or without a prefix, on the feature or in its info."""
    if not isinstance(feature, dict) or feature.get("dtype") not in ("video", "image"):
        return False
    facts = [feature, *(feature.get(name) for name in ("info", "video_info"))]
    marks = ("is_depth_map", "video.is_depth_map")
    return any(isinstance(each, dict) and each.get(mark) is True for each in facts for mark in marks)


def _video(place: Place, name: str, count: int, rate: float, doubt: str | None) -> Frames:
    if doubt is not None:
        raise RefusedError(Defect.INDEX, doubt)
    if name not in place.videos or not place.videos[name][0].is_file():
        raise RefusedError(Defect.MISSING_MEMBER, f"the video of '{name}' is missing")
    file, begin = place.videos[name]
    return VideoFrames(file, begin=begin, count=count, rate=rate)


def _fetch_from(column: pa.ChunkedArray) -> Callable[[int], bytes]:
    """A function that returns the bytes of one image in a table."""

    def fetch(index: int) -> bytes:
        cell = column[index].as_py()
        return bytes(cell["bytes"])

    return fetch


def _only(data: bytes, _index: int) -> bytes:
    return data


def _names(feature: Any) -> tuple[str, ...]:
    """A name for each number; datasets nest names in many ways."""
    return tuple(_flat(feature.get("names") if isinstance(feature, dict) else None, 0))


def _flat(names: Any, depth: int) -> Iterator[str]:
    """Flatten names from lists and groups; a table from names to indices is ordered by index."""
    if depth > _DEEPEST:
        return
    if isinstance(names, dict):
        places = list(names.values())
        if places and all(isinstance(place, int) for place in places):
            yield from (str(name) for name, _ in sorted(names.items(), key=lambda item: item[1]))
            return
        names = places
    if isinstance(names, list):
        for name in names:
            yield from [str(name)] if isinstance(name, str | int | float) else _flat(name, depth + 1)


_DEEPEST = 8
"""Maximum nesting depth of names."""


def _first(raw: RawEpisode, names: tuple[str, ...]) -> str:
    return next((name for name in names if name in raw.columns), names[0])


def _track(raw: RawEpisode, column: str) -> tuple[Track, str | None]:
    """The track implied by the names of a column's numbers, and its quaternion order."""
    names = raw.names.get(column, ())
    if column not in raw.columns or len(names) != raw.columns[column].shape[1]:
        return Track(), None
    position, joints, gripper = named_range(names, ("x", "y", "z")), joint_range(names), gripper_range(names)
    known: dict[str, Any] = {
        name: f"{column}{found}"
        for name, found in (("position", position), ("joints", joints), ("gripper", gripper))
        if found is not None
    }
    for wanted, representation, order in _ROTATIONS:
        found = named_range(names, wanted)
        if found is not None:
            return Track(**known, rotation=f"{column}{found}", representation=representation), order
    return Track(**known), None


def _attributes(layout: Layout, place: Place) -> dict[str, Any]:
    task = layout.tasks.get(place.number)
    return {} if task is None else {"instruction": task}


def _success(columns: dict[str, Array]) -> bool | None:
    if "next.success" not in columns:
        return None
    return bool((columns["next.success"] > 0).any())


def _own(
    path: Path, place: Place, columns: dict[str, Array], frames: dict[str, Frames]
) -> tuple[OwnEpisode, dict[str, Frames]] | None:
    """The exported episode if this station wrote it, with the final observation that other readers have no row for."""
    facts = _station(path)
    spec = spec_from(facts.get("spec"))
    wanted = (_STATE, "time.observation", "time.command", "action", "sent")
    if spec is None or not all(name in columns for name in wanted):
        return None
    with parquet(path / "meta" / "final.parquet") as opened:
        rows = [row for row in opened.read().to_pylist() if row.get("episode_index") == place.number]
    if len(rows) != 1:
        raise RefusedError(Defect.MISSING_MEMBER, f"meta/final.parquet has no row of episode {place.number}")
    last = np.asarray(rows[0][_STATE], np.float64).reshape(1, -1)
    entries = facts.get("episodes")
    entry = entries[place.number] if isinstance(entries, list) and place.number < len(entries) else {}
    own = OwnEpisode(
        spec=spec,
        proprioception=np.concatenate([columns[_STATE], last]),
        observation_time=np.append(columns["time.observation"][:, 0], float(rows[0]["time.observation"])),
        action=columns["action"],
        sent=columns["sent"],
        command_time=columns["time.command"][:, 0],
        outcome=outcome_named(entry.get("outcome")),
    )
    whole: dict[str, Frames] = {}
    for name, images in frames.items():
        data = rows[0].get(name)
        if not isinstance(data, bytes):
            raise RefusedError(Defect.MISSING_MEMBER, f"meta/final.parquet has no image of '{name}'")
        final = EncodedFrames(partial(_only, data), 1, name, reverse=True)
        whole[name.removeprefix("observation.images.")] = JoinedFrames(images, final)
    return own, whole


def _station(path: Path) -> dict[str, Any]:
    file = path / "meta" / "station.json"
    if not file.is_file():
        return {}
    try:
        facts = from_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
