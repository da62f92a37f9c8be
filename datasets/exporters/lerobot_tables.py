"""The tables of a LeRobotDataset v3.0: columns, files, episode index, info and statistics.

Defines the names and types of the format; `lerobot` handles the images. Needs pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Episode
from datasets.exporters import statistics, video
from datasets.exporters.card import action_names
from datasets.exporters.source import ExportSource
from datasets.spec import DataSpec

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "v3.0"
_DATA_MB = 100
_FILES_PER_CHUNK = 1000
_EPISODES_PER_GROUP = 1000


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Location of one episode's rows or images."""

    chunk: int
    file: int
    begin: float = 0.0
    """Start of the episode in the video file, s."""

    def path(self, suffix: str) -> Path:
        """Path relative to the folder of its kind."""
        return Path(f"chunk-{self.chunk:03d}") / f"file-{self.file:03d}{suffix}"


def place(number: int, *, begin: float = 0.0) -> Placed:
    """The `number`-th file of its kind."""
    chunk, file = divmod(number, _FILES_PER_CHUNK)
    return Placed(chunk=chunk, file=file, begin=begin)


def groups(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Group neighbours into files of at most `limit` bytes; a larger one gets its own file."""
    found: list[list[int]] = []
    filled = limit
    for index, size in enumerate(sizes):
        if filled + size > limit:
            found.append([])
            filled = 0
        found[-1].append(index)
        filled += size
    return found


def image_key(camera: str) -> str:
    """Column name of a camera."""
    return f"observation.images.{camera}"


def features(spec: DataSpec) -> dict[str, dict[str, Any]]:
    """name -> its entry in info.json; policies use names that begin with "observation" or "action"."""

    def of(dtype: str, names: list[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [len(names) if names else 1], "names": names}

    numbers = {
        "observation.state": of("float32", list(spec.proprioception)),
        "action": of("float32", action_names(spec)),
        "sent": of("float32", action_names(spec)),
        "time.observation": of("float64"),
        "time.command": of("float64"),
        "next.reward": of("float32"),
        "next.done": of("bool"),
        "next.success": of("bool"),
        "timestamp": of("float32"),
        **{name: of("int64") for name in ("frame_index", "episode_index", "index", "task_index")},
    }
    cameras = {
        image_key(camera.name): {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": camera.height,
                "video.width": camera.width,
                "video.codec": video.CODEC,
                "video.pix_fmt": video.pixel_format(camera.height, camera.width),
                "video.is_depth_map": False,
                "video.fps": _fps(spec),
                "video.channels": 3,
                "has_audio": False,
            },
        }
        for camera in spec.cameras
    }
    return numbers | cameras


def rows(episode: Episode, index: int, start: int, *, success: bool) -> dict[str, NDArray[Any]]:
    """One row per step: column -> [T] or [T, n]."""
    steps = episode.steps
    frame = np.arange(steps, dtype=np.int64)
    last = frame == steps - 1
    rate = Fraction(episode.header.spec.control_hz).limit_denominator(1001)
    return {
        "observation.state": episode.proprioception[:steps],
        "action": episode.action,
        "sent": episode.sent,
        "time.observation": episode.observation_time[:steps],
        "time.command": episode.command_time,
        "next.reward": (last & success).astype(np.float32),
        "next.done": last,
        "next.success": last & success,
        "timestamp": (frame / float(rate)).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.full(steps, index, np.int64),
        "index": start + frame,
        "task_index": np.zeros(steps, np.int64),
    }


def schema(spec: DataSpec) -> pa.Schema:
    """Schema of the rows; a vector is a fixed-size list, a single number a scalar."""
    import pyarrow as pa

    fields = []
    for name, feature in features(spec).items():
        if feature["dtype"] != "video":
            number = {"bool": pa.bool_()}.get(feature["dtype"]) or pa.type_for_alias(feature["dtype"])
            (size,) = feature["shape"]
            fields.append(pa.field(name, pa.list_(number, size) if size > 1 else number))
    return pa.schema(fields)


def final_schema(spec: DataSpec) -> pa.Schema:
    """Schema of the final observations."""
    import pyarrow as pa

    return pa.schema(
        [
            ("episode_index", pa.int64()),
            ("observation.state", pa.list_(pa.float32())),
            ("time.observation", pa.float64()),
            *((image_key(camera.name), pa.binary()) for camera in spec.cameras),
        ]
    )


def write(path: Path, columns: dict[str, Any], schema: pa.Schema) -> None:
    """Write one file with one row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [_column(columns[field.name], field.type) for field in schema]
    pq.write_table(pa.table(arrays, schema=schema), path)


def join_into(path: Path, parts: Sequence[Path], schema: pa.Schema) -> None:
    """Join the rows of all parts in one file, with one part in memory at a time."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, schema=schema))


def join(folder: Path, parts: Sequence[Path], schema: pa.Schema) -> list[Placed]:
    """Join the rows of all parts into files below the maximum size; returns where each part went."""
    placed: list[Placed] = []
    for number, members in enumerate(groups([part.stat().st_size for part in parts], _DATA_MB * 2**20)):
        where = place(number)
        join_into(folder / where.path(".parquet"), [parts[member] for member in members], schema)
        placed += [where] * len(members)
    return placed


def write_meta(
    payload: Path, source: ExportSource, placed: dict[str, list[Placed]], histograms: Sequence[Path]
) -> None:
    """Write info.json, stats.json, tasks.parquet and the episode index."""
    meta = payload / "meta"
    (meta / "info.json").write_text(json.dumps(_info(source), indent=4))
    (meta / "stats.json").write_text(json.dumps(_all_statistics(payload, source, histograms), indent=4))
    _write_tasks(meta / "tasks.parquet", source.instruction)
    _write_episodes(meta / "episodes" / place(0).path(".parquet"), source, placed, payload, histograms)


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    """Convert [T, n] to fixed-size lists without a Python object per number."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    if isinstance(values, np.ndarray):
        values = values.reshape(-1)
    return pa.array(values, kind)


def _fps(spec: DataSpec) -> int | float:
    return int(spec.control_hz) if spec.control_hz == int(spec.control_hz) else spec.control_hz


def _info(source: ExportSource) -> dict[str, Any]:
    cameras = bool(source.spec.cameras)
    return {
        "codebase_version": VERSION,
        "robot_type": "station",
        "total_episodes": len(source.entries),
        "total_frames": source.steps,
        "total_tasks": 1,
        "chunks_size": _FILES_PER_CHUNK,
        "data_files_size_in_mb": _DATA_MB,
        "video_files_size_in_mb": 200,
        "fps": _fps(source.spec),
        "splits": {"train": f"0:{len(source.entries)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        if cameras
        else None,
        "features": features(source.spec),
    }


def _all_statistics(payload: Path, source: ExportSource, histograms: Sequence[Path]) -> dict[str, Any]:
    """Statistics over all episodes, with one column in memory at a time."""
    import pyarrow.parquet as pq

    files = sorted((payload / "data").glob("*/*.parquet"))
    found: dict[str, Any] = {}
    for field in schema(source.spec):
        column = [_numbers(pq.read_table(file, columns=[field.name])[field.name]) for file in files]
        found[field.name] = statistics.of_numbers(np.concatenate(column))
    for camera in source.spec.cameras:
        total = sum(_histogram(path, camera.name) for path in histograms)
        found[image_key(camera.name)] = statistics.of_images(np.asarray(total), source.steps)
    return found


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column's values, [T] or [T, n]."""
    whole = column.combine_chunks()
    if hasattr(whole, "flatten") and hasattr(whole.type, "list_size"):
        flat = whole.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat).reshape(-1, whole.type.list_size)
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _histogram(path: Path, camera: str) -> statistics.Histogram:
    with np.load(path, allow_pickle=False) as saved:
        return np.asarray(saved[camera])


def _write_tasks(path: Path, instruction: str) -> None:
    """Write the table as pandas would with the instructions as index, which readers rely on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = "__index_level_0__"

    def column(name: str | None, field: str, kind: str, stored: str) -> dict[str, str | None]:
        return {
            "name": name,
            "field_name": field,
            "pandas_type": kind,
            "numpy_type": stored,
            "metadata": None,
        }

    described = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            column("task_index", "task_index", "int64", "int64"),
            column(None, index, "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), index: pa.array([instruction], pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), path)


def _write_episodes(
    path: Path,
    source: ExportSource,
    placed: dict[str, list[Placed]],
    payload: Path,
    histograms: Sequence[Path],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    writer: pq.ParquetWriter | None = None
    rows: list[dict[str, Any]] = []
    for row in _episode_rows(source, placed, payload, histograms):
        rows.append(row)
        if len(rows) == _EPISODES_PER_GROUP or row["episode_index"] == len(source.entries) - 1:
            table = pa.Table.from_pylist(rows)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            rows = []
    if writer is not None:
        writer.close()


def _episode_rows(
    source: ExportSource, placed: dict[str, list[Placed]], payload: Path, histograms: Sequence[Path]
) -> Iterator[dict[str, Any]]:
    rate = float(Fraction(source.spec.control_hz).limit_denominator(1001))
    for index, (entry, numbers) in enumerate(zip(source.entries, _per_episode(payload, source), strict=True)):
        row: dict[str, Any] = {
            "episode_index": index,
            "tasks": [source.instruction],
            "length": entry.steps,
            "dataset_from_index": source.starts[index],
            "dataset_to_index": source.starts[index] + entry.steps,
            "data/chunk_index": placed["data"][index].chunk,
            "data/file_index": placed["data"][index].file,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        found = {name: statistics.of_numbers(values) for name, values in numbers.items()}
        for camera in source.spec.cameras:
            key, where = image_key(camera.name), placed[image_key(camera.name)][index]
            row[f"videos/{key}/chunk_index"] = where.chunk
            row[f"videos/{key}/file_index"] = where.file
            row[f"videos/{key}/from_timestamp"] = where.begin
            row[f"videos/{key}/to_timestamp"] = where.begin + entry.steps / rate
            found[key] = statistics.of_images(_histogram(histograms[index], camera.name), entry.steps)
        row |= {f"stats/{key}/{name}": value for key, of in found.items() for name, value in of.items()}
        yield row | {f"station/{name}": value for name, value in entry.to_json().items()}


def _per_episode(payload: Path, source: ExportSource) -> Iterator[dict[str, NDArray[Any]]]:
    """Each episode's columns; every row group of the data files is one episode."""
    import pyarrow.parquet as pq

    for file in sorted((payload / "data").glob("*/*.parquet")):
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group)
                yield {name: _numbers(table[name]) for name in table.column_names}
