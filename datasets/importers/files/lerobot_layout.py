"""Where the episodes of a LeRobotDataset are and what their instructions say, from its files, not its version label.

v2 has a table and a video per episode; v3 packs many into a file and lists in ``meta/episodes`` where each begins. For
other layouts, the templates ``data_path`` and ``video_path`` in ``meta/info.json`` give the paths. A damaged index
loses only the episodes that no other index names.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.files.lerobot_index import Doubts, Entry, contradictions, entry_of
from datasets.importers.files.optional import needed
from datasets.importers.files.places import inside
from datasets.importers.files.pointers import missing_content
from datasets.importers.interface import MOST_NUMBERS
from datasets.plain_text import from_json
from datasets.vr_recording import RecordingError
from datasets.wording import counted

FASTEST = 1000
"""Maximum rate that a dataset may claim, Hz."""
SEVERAL = "; "
"""Separator between the tasks of an episode that has several."""
_INFO = "meta/info.json"
_TABLE_OF_V3 = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO_OF_V3 = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_FIELD = re.compile(r"\{(\w+)(?::[^{}]*)?\}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Location of one episode."""

    number: int
    table: Path
    videos: dict[str, tuple[Path, float]]
    """camera -> (file, start of the episode in it, s)"""
    shared: bool = False
    """Whether the table also holds other episodes."""
    length: int | None = None
    """Number of rows according to the index."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All episodes of one dataset."""

    places: dict[int, Place]
    """Episode number -> place."""
    tasks: dict[int, str]
    """number -> task instruction, for episodes that have one."""
    damaged: tuple[RecordingError, ...] = ()
    """Unreadable index files, and episodes that only some of them list."""
    doubtful: Doubts = field(default_factory=dict)
    """Contradictions in its index files."""


def info_of(path: Path) -> dict[str, Any]:
    """Read ``meta/info.json``; it must have features and a valid rate (``fps``, Hz).

    Raises:
        RefusedError: it cannot be read, or lacks one of them.
    """
    try:
        info = from_json((path / _INFO).read_text(encoding="utf-8"))
        features, rate = info["features"], float(info["fps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise missing_content(path / _INFO) or RefusedError(Defect.UNREADABLE, _ill(_INFO, error)) from error
    if not isinstance(features, dict) or not 0 < rate <= FASTEST:
        raise RefusedError(Defect.UNREADABLE, f"{_INFO} is invalid (fps {rate})")
    return {**info, "fps": rate}


def layout_of(path: Path) -> Layout:
    """The location of every episode.

    Raises:
        RefusedError: there is no readable index.
    """
    single = sorted((path / "data").glob("chunk-*/episode_*.parquet"))
    if single:
        return _checked(path, list(_single_places(path, single)))
    files = sorted((path / "meta" / "episodes").glob("chunk-*/*.parquet"))
    if files:
        return _listed(path, files)
    places = [place for _, place in _templated(path)]
    if places:
        return _checked(path, places)
    raise RefusedError(Defect.MISSING_MEMBER, "meta/episodes is missing, so episode boundaries are unknown")


def has_tables(path: Path) -> bool:
    """Whether the dataset has a table at its own path for tables."""
    if any((path / "data").glob("chunk-*/*.parquet")):
        return True
    try:
        template = _template(info_of(path), "data_path")
    except RecordingError:
        return False
    return bool(template) and any(path.glob(_FIELD.sub("*", template)))


@contextmanager
def parquet(path: Path) -> Iterator[Any]:
    """Open a parquet file; whatever pyarrow raises becomes a refusal, except MemoryError."""
    with needed("formats"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        with pq.ParquetFile(path) as opened:
            rows, columns = opened.metadata.num_rows, opened.metadata.num_columns
            if rows * max(1, columns) > MOST_NUMBERS * 8:
                raise RefusedError(Defect.TOO_BIG, f"{path.name} claims {rows} rows")
            yield opened
    except MemoryError:  # pyarrow's is an ArrowException too, and no damage
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise missing_content(path) or RefusedError(
            Defect.UNREADABLE, f"{path.name} is damaged or cut off; copy it again ({why(error)})"
        ) from error


def _ill(name: str, error: Exception) -> str:
    """The refusal of a damaged metadata file."""
    match error:
        case OSError():
            return f"{name} is unreadable ({why(error)})"
        case json.JSONDecodeError():
            return f"{name} is not valid JSON (line {error.lineno})"
        case KeyError():
            return f"{name} lacks {error}"
        case _:
            return f"{name} is invalid"


def _single_places(path: Path, tables: list[Path]) -> Iterator[Place]:
    """v2: a table and a video per episode and camera."""
    for table in tables:
        digits = table.stem.removeprefix("episode_")
        if digits.isdigit():
            videos = (path / "videos" / table.parent.name).glob(f"*/{table.stem}.mp4")
            found = {video.parent.name: (video, 0.0) for video in sorted(videos)}
            yield Place(number=int(digits), table=table, videos=found)


def _checked(path: Path, found: list[Place]) -> Layout:
    """Check tables of one episode each against the index and against each other."""
    places = {place.number: place for place in found}
    listed, whole = _entries(path / "meta" / "episodes.jsonl")
    doubtful: Doubts = {
        (number, ""): f"two tables are called episode {number}, so it is ambiguous"
        for number, times in Counter(place.number for place in found).items()
        if times > 1
    }
    if listed:
        more = "" if whole else "; a line of that list cannot be read"
        for number in places.keys() - listed.keys():
            doubtful[number, ""] = (
                f"episode {number} has a table but is not listed (meta/episodes.jsonl); it was deleted, or cut off "
                f"while it was recorded{more}"
            )
    places = {
        number: replace(place, length=listed[number].length) if number in listed else place
        for number, place in places.items()
    }
    absent = (RefusedError(Defect.INDEX, text) for text in _absent(path, places, listed))
    return Layout(
        places=places, tasks=_tasks_of_tables(path, places), damaged=tuple(absent), doubtful=doubtful
    )


def _entries(path: Path) -> tuple[dict[int, Entry], bool]:
    """Entries of a JSON Lines episode index, by number, and whether every line was readable."""
    found: dict[int, Entry] = {}
    rows = list(_lines(path))
    for row in rows:
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            entry = entry_of(row)
            found[entry.number] = entry
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}, True
    return found, len(found) == sum(bool(line.strip()) for line in lines)


def _absent(path: Path, places: Iterable[int], listed: Iterable[int]) -> Iterator[str]:
    """Episodes that the index names or counts but that do not exist."""
    here, named = set(places), set(listed)
    missing = sorted(named - here)
    if missing:
        numbers = ", ".join(map(str, missing[:_MOST_NAMED])) + (", .." if len(missing) > _MOST_NAMED else "")
        yield f"{counted(len(missing), 'episode')} listed without a table: {numbers}; copy the data set again"
    claimed = info_of(path).get("total_episodes")
    if isinstance(claimed, int) and claimed > len(here | named):
        yield f"{_INFO} says that there are {claimed} episodes, and {len(here | named)} are listed or have a table"


_MOST_NAMED = 10


def _listed(path: Path, files: list[Path]) -> Layout:
    """v3: many episodes per file, with tables of their locations."""
    places: dict[int, Place] = {}
    tasks: dict[int, str] = {}
    damaged: list[RecordingError] = []
    entries: list[Entry] = []
    info = info_of(path)
    for file in files:
        try:
            rows = _rows(file)
        except RefusedError as error:
            name = file.relative_to(path)
            damaged.append(
                RefusedError(error.defect, f"{name}: {error}; the episodes that only it lists are left out")
            )
            continue
        for row in rows:
            try:
                place, entry = _place(path, row, info), _entry(row)
            except RefusedError as error:
                damaged.append(error)
                continue
            entries.append(entry)
            places[place.number] = place
            if told := _joined(row.get("tasks")):
                tasks[place.number] = told
    if not places and damaged:
        raise damaged[0]
    if not damaged:
        damaged += (RefusedError(Defect.INDEX, text) for text in _absent(path, places, places))
        damaged += (RefusedError(Defect.INDEX, text) for text in _unlisted(path, places))
    doubtful = contradictions(entries, info["fps"])
    return Layout(places=places, tasks=tasks, damaged=tuple(damaged), doubtful=doubtful)


def _unlisted(path: Path, places: dict[int, Place]) -> Iterator[str]:
    """Tables with rows of episodes that no index names."""
    folder = path / "data"
    for file in sorted({*folder.glob("chunk-*/*.parquet"), *(place.table for place in places.values())}):
        try:
            with parquet(file) as opened:
                numbers = opened.read(columns=["episode_index"])["episode_index"].unique().to_pylist()
        except RecordingError:
            continue  # a damaged table is reported for each of its episodes
        strange = sorted(number for number in numbers if isinstance(number, int) and number not in places)
        if strange:
            named = ", ".join(map(str, strange[:_MOST_NAMED]))
            yield f"{file.relative_to(path)} holds rows of episodes that meta/episodes does not list: {named}"


def _entry(row: dict[str, Any]) -> Entry:
    try:
        return entry_of(row)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RefusedError(Defect.UNREADABLE, _ill("meta/episodes", error)) from error


def _rows(file: Path) -> list[dict[str, Any]]:
    with parquet(file) as opened:
        names = [name for name in opened.schema_arrow.names if not name.startswith("stats/")]
        rows: list[dict[str, Any]] = opened.read(columns=names).to_pylist()
    return rows


def _place(path: Path, row: dict[str, Any], info: dict[str, Any]) -> Place:
    def where(prefix: str, usual: str, name: str, **more: str) -> Path:
        values = {f"{part}_index": str(int(row[f"{prefix}{part}_index"])) for part in ("chunk", "file")}
        file = inside(path, _filled(usual, values | more))
        template = _template(info, name)
        if file.exists() or not template or not set(_FIELD.findall(template)) <= set(values | more):
            return file
        return inside(path, _filled(template, values | more))

    try:
        videos = {}
        for name, begin in row.items():
            if name.startswith("videos/") and name.endswith("/from_timestamp"):
                camera = name.removeprefix("videos/").removesuffix("/from_timestamp")
                video = where(f"videos/{camera}/", _VIDEO_OF_V3, "video_path", video_key=camera)
                videos[camera] = (video, float(begin))
        table = where("data/", _TABLE_OF_V3, "data_path")
        length = None if row.get("length") is None else int(row["length"])
        return Place(number=int(row["episode_index"]), table=table, videos=videos, shared=True, length=length)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(Defect.UNREADABLE, _ill("meta/episodes", error)) from error


def _templated(path: Path) -> Iterator[tuple[int, Place]]:
    """One table per episode, at the paths of the dataset's own template."""
    info = info_of(path)
    template = _template(info, "video_path")
    cameras = [name for name, fact in info["features"].items() if _is_video(fact)]
    for table, fields in _numbered(path, _template(info, "data_path")):
        videos = {}
        for camera in cameras if template else ():
            known = {**fields, "video_key": camera}
            if set(_FIELD.findall(template)) <= set(known):
                videos[camera] = (inside(path, _filled(template, known)), 0.0)
        number = int(fields["episode_index"])
        yield number, Place(number=number, table=table, videos=videos)


def _is_video(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("dtype") == "video"


def _template(info: dict[str, Any], name: str) -> str:
    """One of the dataset's own path templates, relative to its folder; empty if it has none."""
    template = info.get(name)
    if not isinstance(template, str) or Path(template).is_absolute() or ".." in Path(template).parts:
        return ""
    return template


def _numbered(path: Path, template: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Single-episode files that match a template, with the values of its fields as written."""
    if "episode_index" not in _FIELD.findall(template):
        return
    parts = _FIELD.split(template)
    seen: set[str] = set()
    pattern = ""
    for literal, name in zip(parts[::2], [*parts[1::2], ""], strict=True):
        pattern += re.escape(literal)
        if name:
            pattern += f"(?P={name})" if name in seen else rf"(?P<{name}>\d+)"
            seen.add(name)
    for table in sorted(path.glob(_FIELD.sub("*", template))):
        match = re.fullmatch(pattern, table.relative_to(path).as_posix())
        if match is not None:
            yield table, match.groupdict()


def _filled(template: str, values: dict[str, str]) -> str:
    """The template filled in, numbers padded as it specifies."""

    def value(match: re.Match[str]) -> str:
        text = values[match[1]]
        return match[0].format(**{match[1]: int(text)}) if text.isdigit() else text

    return _FIELD.sub(value, template)


def _joined(tasks: Any) -> str:
    """An episode's task instructions; empty if there are none."""
    named = tasks if isinstance(tasks, list) else [tasks]
    return SEVERAL.join(dict.fromkeys(str(task) for task in named if isinstance(task, str) and task.strip()))


def _tasks_of_tables(path: Path, places: dict[int, Place]) -> dict[int, str]:
    """Instructions from ``meta/episodes.jsonl``, otherwise from the task numbers in each table."""
    told = {}
    for row in _lines(path / "meta" / "episodes.jsonl"):
        number, words = row.get("episode_index"), _joined(row.get("tasks"))
        if isinstance(number, int) and words:
            told[number] = words
    if told:
        return told
    names = {row.get("task_index"): row.get("task") for row in _lines(path / "meta" / "tasks.jsonl")}
    if not names:
        return {}
    return {number: words for number, place in places.items() if (words := _task_of(place, names))}


def _task_of(place: Place, names: dict[Any, Any]) -> str:
    try:
        with parquet(place.table) as opened:
            if "task_index" not in opened.schema_arrow.names:
                return ""
            numbers = opened.read(columns=["task_index"])["task_index"].unique().to_pylist()
    except RecordingError:
        return ""  # a damaged table is reported when the episode is read
    return _joined([str(names.get(number, f"task {number}")) for number in numbers])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a JSON Lines file; other lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = from_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
