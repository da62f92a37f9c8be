"""Consistency checks of a LeRobotDataset's episode index; no single figure in it is trusted.

The index gives each episode's length, rows and time range in every video. Tools that merge, split or delete episodes
have left indices pointing at another episode's images, so each figure is checked against the others. A contradiction
rejects only the episodes it concerns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_OFF = 2
"""Images by which a video range may differ from the length of its episode."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Index entry of one episode."""

    number: int
    length: int | None = None
    """Number of rows."""
    rows: tuple[int, int] | None = None
    """First row and one past the last, in the whole dataset."""
    stretches: dict[str, tuple[str, float, float | None]] = field(default_factory=dict)
    """camera -> file, start and end of the episode in it, s"""


def entry_of(row: dict[str, Any]) -> Entry:
    """Parse a row of ``meta/episodes``, or a line of ``episodes.jsonl``.

    Raises:
        KeyError, TypeError, ValueError: it is not an entry.
    """
    stretches = {}
    for name, begin in row.items():
        if name.startswith("videos/") and name.endswith("/from_timestamp"):
            camera = name.removeprefix("videos/").removesuffix("/from_timestamp")
            file = f"file {row.get(f'videos/{camera}/file_index')} in chunk {row.get(f'videos/{camera}/chunk_index')}"
            end = row.get(f"videos/{camera}/to_timestamp")
            stretches[camera] = (file, float(begin), None if end is None else float(end))
    first, last, length = row.get("dataset_from_index"), row.get("dataset_to_index"), row.get("length")
    return Entry(
        number=int(row["episode_index"]),
        length=None if length is None else int(length),
        rows=None if first is None or last is None else (int(first), int(last)),
        stretches=stretches,
    )


Doubts = dict[tuple[int, str], str]
"""(episode, camera) -> why the index is wrong about its images; an empty camera means the whole episode"""


def contradictions(entries: Iterable[Entry], rate: float) -> Doubts:
    """Contradictions in the index; `rate` in Hz."""
    found: Doubts = {}
    entries = list(entries)
    for number, times in Counter(entry.number for entry in entries).items():
        if times > 1:
            found[number, ""] = f"episode {number} is listed {times} times, so it is ambiguous"
    for entry in entries:
        found |= dict(_within(entry, rate))
    for where, text in (*_shared_rows(entries), *_shared_images(entries, rate)):
        found.setdefault(where, text)
    return found


def _within(entry: Entry, rate: float) -> Iterator[tuple[tuple[int, str], str]]:
    """Contradictions within one episode's figures."""
    if entry.length is None:
        return
    if entry.rows is not None and entry.rows[1] - entry.rows[0] != entry.length:
        text = f"its list says length {entry.length}, and rows {entry.rows[0]} to {entry.rows[1]}"
        yield (entry.number, ""), f"{text}, which are {entry.rows[1] - entry.rows[0]}"
    for camera, (_, begin, end) in entry.stretches.items():
        if end is not None and not abs((end - begin) * rate - entry.length) <= MOST_OFF:
            yield (
                (entry.number, camera),
                f"its stretch of the video of '{camera}', {begin:.2f} to {end:.2f} s, is {(end - begin) * rate:.0f} "
                f"frames at {rate:g} Hz, and its length is {entry.length}; the frames may be another episode's",
            )


def _shared_rows(entries: list[Entry]) -> Iterator[tuple[tuple[int, str], str]]:
    ranged = sorted((entry.rows, entry.number) for entry in entries if entry.rows is not None)
    for (one, number), (other, following) in pairwise(ranged):
        if other[0] < one[1] and number != following:
            yield from _both((number, following), "", "say that they have the same rows of the data set")


def _shared_images(entries: list[Entry], rate: float) -> Iterator[tuple[tuple[int, str], str]]:
    stretches: dict[tuple[str, str], list[tuple[float, float, int]]] = defaultdict(list)
    for entry in entries:
        for camera, (file, begin, end) in entry.stretches.items():
            until = begin + (entry.length or 0) / rate if end is None else end
            stretches[camera, file].append((begin, until, entry.number))
    for (camera, file), found in stretches.items():
        latest: tuple[float, int] | None = None
        for begin, until, number in sorted(found):
            if latest is not None and begin < latest[0] - 0.5 / rate and number != latest[1]:
                text = f"claim the same images of '{camera}': their stretches of {file} overlap"
                yield from _both((latest[1], number), camera, text)
            latest = (until, number) if latest is None or until > latest[0] else latest


def _both(numbers: tuple[int, int], camera: str, text: str) -> Iterator[tuple[tuple[int, str], str]]:
    for number in numbers:
        words = f"episodes {numbers[0]} and {numbers[1]} {text}"
        yield (number, camera), f"{words}; a tool that merged or split the set may have left it so"


def of_rows(
    number: int, length: int | None, columns: dict[str, NDArray[np.float64]], ticks: int
) -> str | None:
    """Why an episode's rows contradict its index entry or its name; None if they agree."""
    if length is not None and length != ticks:
        return (
            f"its table holds {ticks} rows, and its list says {length}; it was cut off or changed afterwards"
        )
    numbers = columns.get("episode_index")
    if numbers is not None and (numbers != number).any():
        other = int(numbers[numbers != number][0])
        return f"its rows say that they are of episode {other}; two tables may have got one number"
    frames = columns.get("frame_index")
    if frames is not None and ticks:
        missing = np.flatnonzero(np.diff(frames[:, 0]) != 1)
        if frames[0, 0] != 0 or len(missing):
            row = int(missing[0]) + 1 if len(missing) else 0
            return (
                f"'frame_index' is {frames[row, 0]:g} in row {row}: rows are missing or doubled, so that its images "
                "are those of other rows"
            )
    return None
