"""What every format promises: to know its files by their structure, to list the episodes in them, to open one.

A format says what is in a file in the file's own words; which column means what is the mapping's business, and what
becomes of it the common path's. Formats open foreign files and may be fed anything: they run in a process of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Outcome
from datasets.importers import fingerprints
from datasets.importers.defects import Defect, Note, RefusedError
from datasets.importers.mapping import Mapping
from datasets.importers.recording import Array, Frames
from datasets.observation import TimeArray
from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError

MOST_TICKS = 1_000_000
"""Longer episodes are refused: nobody demonstrates for hours without a break, but damaged headers say so."""
MOST_NUMBERS = 64_000_000
"""Numbers in one column."""
MOST_PIXELS = 36_000_000
"""Pixels in one picture."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One episode of some file or folder."""

    path: Path
    format: str
    key: str = ""
    """Where in `path` it is; empty when `path` is the episode."""
    instruction: str = ""
    """The task in the recorder's words; empty where it has none."""

    @property
    def label(self) -> str:
        """As reports name it."""
        return f"{self.path}[{self.key}]" if self.key else str(self.path)


@dataclass(frozen=True, kw_only=True)
class Unstored:
    """Rows of a column that no file holds, and that are read as a fill value all the same."""

    where: str
    """Which rows, as its file counts them, and what is not there; half a sentence."""
    fill: str
    """What they are read as."""
    is_lost: bool = False
    """They were stored once: whoever wrote this column left none out."""
    evidence: str = ""
    """What speaks for a loss and does not prove it; half a sentence."""


@dataclass(frozen=True, kw_only=True)
class OwnEpisode:
    """An episode that this station exported: nothing about it must be asked."""

    spec: DataSpec
    proprioception: Array
    """[T+1, dq]"""
    observation_time: TimeArray
    """[T+1]"""
    action: Array
    """[T, da]"""
    sent: Array
    """[T, da]"""
    command_time: TimeArray
    """[T]"""
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class RawEpisode:
    """One episode in its file's own words. T ticks; columns may differ in length."""

    columns: dict[str, Array] = field(default_factory=dict)
    """name -> float64 [T, n]"""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """column -> a name for each of its numbers, where the file has them."""
    unstored: dict[str, Unstored] = field(default_factory=dict)
    """column -> what of it no file holds"""
    vague: tuple[str, ...] = ()
    """Columns whose numbers may be joint angles or a pose; nothing in the file says which."""
    frames: dict[str, Frames] = field(default_factory=dict)
    """camera as the file names it -> pictures, RGB unless the mapping's colour says otherwise"""
    time: TimeArray | None = None
    """s [T]; None when the file holds no time."""
    action_time: TimeArray | None = None
    """s [T]; None: as `time`."""
    image_time: dict[str, TimeArray] = field(default_factory=dict)
    """camera -> s [T]; absent: as `time`"""
    following: NDArray[np.bool_] | None = None
    """[T] False where the recorder says that the arm did not follow; None: always."""
    finished: NDArray[np.bool_] | None = None
    """[T] True where the recorder was told that it is over."""
    success: bool | None = None
    rate: float | None = None
    """Samples per second that the file declares beside its stamps, Hz."""
    depth: tuple[str, ...] = ()
    """Streams of depth; those that are in `frames` too are no colour cameras."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Plain JSON."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the format wants to remember for its proposal; stored nowhere."""
    notes: tuple[Note, ...] = ()
    own: OwnEpisode | None = None


class Format(ABC):
    """One foreign format."""

    name: ClassVar[str]
    """As on the command line."""
    description: ClassVar[str]
    """What it is, half a sentence."""
    members: ClassVar[tuple[str, ...]] = ()
    """By which people know its files; says which format is nearest to a file that is none."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Of its files, with the dot; files of these kinds that nobody recognises are reported, others passed over."""

    @property
    def spoken(self) -> str:
        """As ``--as`` and each source name it."""
        return self.name

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether `path` is one of this format's files or folders, by its structure.

        Raises:
            RecordingError: it looks like one, and is damaged.
        """

    def keys(self, path: Path) -> Iterator[str]:
        """The episodes in `path`, in order; one empty key when `path` is the episode.

        Raises:
            RecordingError: the list cannot be read.
        """
        yield ""

    def instructions(self, path: Path) -> dict[str, str]:
        """key -> the task in the recorder's words, of episodes that have it; read from lists, not from episodes.

        Raises:
            RecordingError: the list cannot be read.
        """
        return {}

    def unlisted(self, path: Path) -> Iterator[RecordingError]:
        """What is damaged of the lists in `path`, so that the episodes in it are missing from `keys`."""
        yield from ()

    @abstractmethod
    def open(self, path: Path, key: str) -> AbstractContextManager[RawEpisode]:
        """Numbers in memory, pictures read while the context is open.

        Raises:
            RecordingError: the episode cannot be read; says what is missing or damaged.
        """

    @abstractmethod
    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        """What the format itself knows about its columns; what it does not know stays open."""

    def fingerprint(self, path: Path, key: str) -> str:
        """Sixteen hexadecimal digits that name this episode's content, whatever its file is called.

        Raises:
            OSError: unreadable.
        """
        return fingerprints.of_file(path, key)

    def damage(self, path: Path) -> str | None:
        """Why a file of this kind cannot even be opened; None when it can, and is simply something else."""
        return None

    def memory(self, path: Path) -> int:
        """Bytes that reading one episode may take beyond what every format may."""
        return 0


def require_size(shape: tuple[int, ...], what: str) -> None:
    """Refuse what a damaged header claims before memory is asked for it.

    Raises:
        RefusedError: more ticks or numbers than any demonstration has.
    """
    numbers = int(np.prod([int(size) for size in shape], dtype=object)) if shape else 1
    if (shape and shape[0] > MOST_TICKS) or numbers > MOST_NUMBERS:
        raise RefusedError(Defect.TOO_BIG, f"'{what}' claims to be {list(shape)}; the file is damaged")


def require_picture(height: int, width: int, what: str) -> None:
    """As `require_size`, for one picture of a camera.

    Raises:
        RefusedError: no picture has this size.
    """
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise RefusedError(Defect.TOO_BIG, f"'{what}' claims pictures of {width}x{height}")
