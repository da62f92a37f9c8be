"""LeRobotDataset v2.1 and v3.0: parquet tables and one MP4 per camera, known by where files lie, not by their label.

v2.1 has a table and a video per episode; v3.0 puts many into a file and lists in ``meta/episodes`` where each begins.
``meta/info.json`` names the columns. Time stamps are frame numbers over the rate. Whether numbers are joint angles or
poses is known only where the names of the columns say so. Exports of this station come back number for number. Needs
pyarrow, and PyAV for video.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.interface import MOST_NUMBERS, Format, OwnEpisode, RawEpisode, require_size
from datasets.importers.mapping import Arm, Mapping, Representation, Track
from datasets.importers.optional import needed
from datasets.importers.own import outcome_named, spec_from
from datasets.importers.places import inside
from datasets.importers.proposals import gripper_range, joint_range, named_range
from datasets.importers.recording import Array, EncodedFrames, Frames, JoinedFrames
from datasets.importers.video import VideoFrames
from datasets.spec import DataSpec

if TYPE_CHECKING:
    import pyarrow as pa

_BOOKKEEPING = ("index", "episode_index", "frame_index", "task_index", "timestamp")
_STATE, _ACTION = "observation.state", "action"
_ROTATIONS = (
    (("qx", "qy", "qz", "qw"), Representation.QUATERNION, "xyzw"),
    (("qw", "qx", "qy", "qz"), Representation.QUATERNION, "wxyz"),
    (("roll", "pitch", "yaw"), Representation.EULER, None),
    (("rx", "ry", "rz"), None, None),
)
"""Names of numbers -> how they write a rotation; rx, ry, rz may be a vector or angles."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one episode lies."""

    number: int
    table: Path
    videos: dict[str, tuple[Path, float]]
    """camera -> (file, s at which the episode begins in it)"""


class LeRobotFormat(Format):
    """LeRobotDataset folders."""

    name: ClassVar[str] = "lerobot"
    description: ClassVar[str] = "LeRobotDataset v2.1 and v3.0 folders"

    def __init__(self) -> None:
        self._held: tuple[Path, int, dict[int, _Place]] | None = None

    def recognises(self, path: Path) -> bool:
        return (
            path.is_dir()
            and (path / "meta" / "info.json").is_file()
            and any((path / "data").glob("chunk-*/*.parquet"))
        )

    def keys(self, path: Path) -> Iterator[str]:
        yield from (str(number) for number in sorted(self._places(path)))

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        features, rate = _info(path)
        place = self._place(path, key)
        table = _rows(place)
        columns = _columns(table)
        ticks = table.num_rows
        frames = dict(_frames(place, features, table, rate))
        own = _own(path, place, columns, frames)
        yield RawEpisode(
            columns=columns,
            names={name: _names(features.get(name)) for name in columns},
            frames=own[1] if own else frames,
            time=columns["timestamp"][:, 0] if "timestamp" in columns else np.arange(ticks) / rate,
            success=_success(columns),
            own=own[0] if own else None,
        )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        observed, orders = _track(raw, _STATE)
        commanded, orders_of_actions = _track(raw, _ACTION)
        found = {order for order in (orders, orders_of_actions) if order}
        quaternion: Any = found.pop() if len(found) == 1 else None
        return Mapping(
            arms=(Arm(observed=observed, commanded=commanded),), colour="rgb", quaternion=quaternion
        )

    def fingerprint(self, path: Path, key: str) -> str:
        place = self._place(path, key)
        columns = _columns(_rows(place))
        return fingerprints.of_arrays(
            self.name, {name: values for name, values in columns.items() if name not in _BOOKKEEPING}
        )

    def _place(self, path: Path, key: str) -> _Place:
        place = self._places(path).get(int(key))
        if place is None:
            raise RefusedError(Defect.MISSING_MEMBER, f"episode {key} is not in its list of episodes")
        return place

    def _places(self, path: Path) -> dict[int, _Place]:
        """Every episode; kept, because episodes are asked for one by one."""
        stamp = (path / "meta" / "info.json").stat().st_mtime_ns
        if self._held is None or self._held[:2] != (path, stamp):
            self._held = (path, stamp, _places(path))
        return self._held[2]


def _info(path: Path) -> tuple[dict[str, Any], float]:
    """Features, and the rate in Hz."""
    try:
        info = json.loads((path / "meta" / "info.json").read_text(encoding="utf-8"))
        features, rate = info["features"], float(info["fps"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError(Defect.UNREADABLE, _ill("meta/info.json", error)) from error
    if not isinstance(features, dict) or not 0 < rate <= _FASTEST:
        raise RefusedError(Defect.UNREADABLE, f"meta/info.json makes no sense (fps {rate})")
    return features, rate


def _ill(name: str, error: Exception) -> str:
    """What is wrong with a file of facts."""
    match error:
        case OSError():
            return f"{name} is unreadable ({why(error)})"
        case json.JSONDecodeError():
            return f"{name} is no JSON (line {error.lineno})"
        case KeyError():
            return f"{name} lacks {error}"
        case _:
            return f"{name} makes no sense"


_FASTEST = 1000


def _places(path: Path) -> dict[int, _Place]:
    """Every episode, by number."""
    single = sorted((path / "data").glob("chunk-*/episode_*.parquet"))
    return _single_places(path, single) if single else _listed_places(path)


def _single_places(path: Path, tables: list[Path]) -> dict[int, _Place]:
    """v2: a table and a video per episode and camera."""
    places = {}
    for table in tables:
        digits = table.stem.removeprefix("episode_")
        if digits.isdigit():
            videos = (path / "videos" / table.parent.name).glob(f"*/{table.stem}.mp4")
            found = {video.parent.name: (video, 0.0) for video in sorted(videos)}
            places[int(digits)] = _Place(number=int(digits), table=table, videos=found)
    return places


def _listed_places(path: Path) -> dict[int, _Place]:
    """v3: many episodes to a file, and a table of where they are."""
    places = {}
    files = sorted((path / "meta" / "episodes").glob("chunk-*/*.parquet"))
    if not files:
        raise RefusedError(
            Defect.MISSING_MEMBER, "meta/episodes is missing, so nobody knows where episodes begin"
        )
    for file in files:
        with _parquet(file) as opened:
            names = [n for n in opened.schema_arrow.names if not n.startswith("stats/")]
            rows = opened.read(columns=names).to_pylist()
        for row in rows:
            place = _listed(path, row)
            places[place.number] = place
    return places


def _listed(path: Path, row: dict[str, Any]) -> _Place:
    def where(prefix: str) -> str:
        chunk, file = int(row[f"{prefix}chunk_index"]), int(row[f"{prefix}file_index"])
        return f"chunk-{chunk:03d}/file-{file:03d}"

    try:
        videos = {}
        for name, begin in row.items():
            if name.startswith("videos/") and name.endswith("/from_timestamp"):
                camera = name.removeprefix("videos/").removesuffix("/from_timestamp")
                video = inside(path, "videos", camera, f"{where(f'videos/{camera}/')}.mp4")
                videos[camera] = (video, float(begin))
        table = path / "data" / f"{where('data/')}.parquet"
        return _Place(number=int(row["episode_index"]), table=table, videos=videos)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(Defect.UNREADABLE, _ill("meta/episodes", error)) from error


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """An open parquet file; everything that pyarrow raises becomes a refusal."""
    with needed("formats"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        with pq.ParquetFile(path) as opened:
            rows, columns = opened.metadata.num_rows, opened.metadata.num_columns
            if rows * max(1, columns) > MOST_NUMBERS * 8:
                raise RefusedError(Defect.TOO_BIG, f"{path.name} claims {rows} rows")
            yield opened
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise RefusedError(
            Defect.UNREADABLE, f"{path.name} is damaged or cut off; copy it again ({why(error)})"
        ) from error


def _rows(place: _Place) -> pa.Table:
    """The episode's rows, in order; only row groups that hold some are read."""
    with _parquet(place.table) as opened:
        import pyarrow as pa
        import pyarrow.compute as pc

        if place.table.stem.startswith("episode_"):
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
    """Row groups that may hold an episode, by the statistics that most writers leave."""
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
    """[T, n] of a column of lists, which must all be of one length."""
    try:
        rows = np.asarray(column.to_pylist(), np.float64)
    except (ValueError, TypeError) as error:
        raise RefusedError(
            Defect.UNEQUAL_LENGTHS, f"the rows of '{name}' are no vectors of one length"
        ) from error
    require_size(rows.shape, name)
    return rows.reshape(len(rows), -1) if rows.size else np.zeros((len(rows), 1))


def _frames(
    place: _Place, features: dict[str, Any], table: pa.Table, rate: float
) -> Iterator[tuple[str, Frames]]:
    """Videos, and pictures that lie in the table."""
    for name, feature in features.items():
        kind = feature.get("dtype") if isinstance(feature, dict) else None
        if kind == "video":
            if name not in place.videos or not place.videos[name][0].is_file():
                raise RefusedError(Defect.MISSING_MEMBER, f"the video of '{name}' is missing")
            file, begin = place.videos[name]
            yield name, VideoFrames(file, begin=begin, count=table.num_rows, rate=rate)
        elif kind == "image" and name in table.column_names:
            yield name, EncodedFrames(_fetch_from(table[name]), table.num_rows, name, reverse=True)


def _fetch_from(column: pa.ChunkedArray) -> Callable[[int], bytes]:
    """How to get the bytes of one picture in a table."""

    def fetch(index: int) -> bytes:
        cell = column[index].as_py()
        return bytes(cell["bytes"])

    return fetch


def _only(data: bytes, _index: int) -> bytes:
    return data


def _names(feature: Any) -> tuple[str, ...]:
    """A name for each number; data sets nest them in many ways."""
    names = feature.get("names") if isinstance(feature, dict) else None
    while isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _track(raw: RawEpisode, column: str) -> tuple[Track, str | None]:
    """What the names of a column's numbers say, and the order of its quaternions."""
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


def _success(columns: dict[str, Array]) -> bool | None:
    if "next.success" not in columns:
        return None
    return bool((columns["next.success"] > 0).any())


def _own(
    path: Path, place: _Place, columns: dict[str, Array], frames: dict[str, Frames]
) -> tuple[OwnEpisode, dict[str, Frames]] | None:
    """An export of this station, with the last observation that other readers have no row for."""
    facts = _station(path)
    spec = spec_from(facts.get("spec"))
    wanted = (_STATE, "time.observation", "time.command", "action", "sent")
    if spec is None or not all(name in columns for name in wanted):
        return None
    with _parquet(path / "meta" / "final.parquet") as opened:
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
    for name, pictures in frames.items():
        data = rows[0].get(name)
        if not isinstance(data, bytes):
            raise RefusedError(Defect.MISSING_MEMBER, f"meta/final.parquet has no picture of '{name}'")
        final = EncodedFrames(partial(_only, data), 1, name, reverse=True)
        whole[name.removeprefix("observation.images.")] = JoinedFrames(pictures, final)
    return own, whole


def _station(path: Path) -> dict[str, Any]:
    file = path / "meta" / "station.json"
    if not file.is_file():
        return {}
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
