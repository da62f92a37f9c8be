"""The interface of an import format: recognise its files by structure, list their episodes, open one.

A format returns a file's content under the file's own names. The mapping decides what each column means; the shared
pipeline converts it. Formats open untrusted files, so they run in a separate process.
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
"""Longer episodes are refused: no demonstration lasts for hours, but damaged headers may claim so."""
MOST_NUMBERS = 64_000_000
"""Maximum numbers in one column."""
MOST_PIXELS = 36_000_000
"""Maximum pixels in one image."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One episode in a file or folder."""

    path: Path
    format: str
    key: str = ""
    """Location within `path`; empty when `path` is the episode."""
    instruction: str = ""
    """Task instruction from the recorder; empty if none."""

    @property
    def label(self) -> str:
        """Name used in reports."""
        return f"{self.path}[{self.key}]" if self.key else str(self.path)


@dataclass(frozen=True, kw_only=True)
class Unstored:
    """Rows of a column that are missing from the files, and that libraries read as a fill value."""

    where: str
    """Which rows (in the file's numbering) and which file is missing; a sentence fragment."""
    fill: str
    """The fill value they are read as."""
    is_lost: bool = False
    """Whether they must have been lost, because the writer of this column stores every chunk."""
    evidence: str = ""
    """Evidence for a loss that is not proof; a sentence fragment."""


@dataclass(frozen=True, kw_only=True)
class OwnEpisode:
    """An episode that this station exported; importing it raises no questions."""

    spec: DataSpec
    proprioception: Array
    """[T+1, proprioception_dim]"""
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
    """One episode under its file's own names. T ticks; columns may differ in length."""

    columns: dict[str, Array] = field(default_factory=dict)
    """name -> float64 [T, n]"""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """column -> names of its numbers, if the file has them"""
    unstored: dict[str, Unstored] = field(default_factory=dict)
    """column -> its rows that are missing from the files"""
    vague: tuple[str, ...] = ()
    """Columns that may hold joint angles or a pose; the file does not say which."""
    frames: dict[str, Frames] = field(default_factory=dict)
    """the file's camera name -> images, RGB unless the mapping's `colour` says otherwise"""
    time: TimeArray | None = None
    """s [T]; None when the file holds no time."""
    action_time: TimeArray | None = None
    """s [T]; None: as `time`."""
    image_time: dict[str, TimeArray] = field(default_factory=dict)
    """camera -> s [T]; absent: as `time`"""
    following: NDArray[np.bool_] | None = None
    """[T] False where the recorder marks that the arm did not follow; None: it always followed."""
    finished: NDArray[np.bool_] | None = None
    """[T] True where the operator signalled the end of the episode."""
    success: bool | None = None
    rate: float | None = None
    """Sample rate that the file declares besides its time stamps, Hz."""
    depth: tuple[str, ...] = ()
    """Depth streams; those that also appear in `frames` are not colour cameras."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Plain JSON."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Notes of the format for its own `propose`; never stored."""
    notes: tuple[Note, ...] = ()
    own: OwnEpisode | None = None


class Format(ABC):
    """One foreign format."""

    name: ClassVar[str]
    """Name on the command line."""
    description: ClassVar[str]
    """Short description, a sentence fragment."""
    members: ClassVar[tuple[str, ...]] = ()
    """Characteristic members of its files; used to suggest the closest format for an unrecognised file."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """File suffixes, with the dot; unrecognised files with such a suffix are reported, others skipped."""

    @property
    def spoken(self) -> str:
        """Name used by ``--as`` and in each source."""
        return self.name

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether `path` is one of this format's files or folders, by its structure.

        Raises:
            RecordingError: it looks like one but is damaged.
        """

    def keys(self, path: Path) -> Iterator[str]:
        """Keys of the episodes in `path`, in order; a single empty key when `path` is the episode.

        Raises:
            RecordingError: the list cannot be read.
        """
        yield ""

    def instructions(self, path: Path) -> dict[str, str]:
        """key -> task instruction, for episodes that have one; read from index files, not from the episodes.

        Raises:
            RecordingError: the list cannot be read.
        """
        return {}

    def unlisted(self, path: Path) -> Iterator[RecordingError]:
        """Damage in the index files of `path` that keeps episodes out of `keys`."""
        yield from ()

    @abstractmethod
    def open(self, path: Path, key: str) -> AbstractContextManager[RawEpisode]:
        """Open an episode: numbers are loaded, images are read lazily while the context is open.

        Raises:
            RecordingError: the episode cannot be read; says what is missing or damaged.
        """

    @abstractmethod
    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        """A mapping with what the format knows about its columns; unknown entries stay None."""

    def fingerprint(self, path: Path, key: str) -> str:
        """Sixteen hexadecimal digits that identify the episode's content, regardless of the file name.

        Raises:
            OSError: unreadable.
        """
        return fingerprints.of_file(path, key)

    def damage(self, path: Path) -> str | None:
        """Why a file of this kind cannot be opened; None if it opens and is simply another format."""
        return None

    def memory(self, path: Path) -> int:
        """Extra bytes that reading one episode may need, beyond the common limit."""
        return 0


def require_size(shape: tuple[int, ...], what: str) -> None:
    """Refuse implausible sizes (as in damaged headers) before allocating memory.

    Raises:
        RefusedError: more ticks or numbers than any demonstration has.
    """
    numbers = int(np.prod([int(size) for size in shape], dtype=object)) if shape else 1
    if (shape and shape[0] > MOST_TICKS) or numbers > MOST_NUMBERS:
        raise RefusedError(Defect.TOO_BIG, f"'{what}' claims to be {list(shape)}; the file is damaged")


def require_image(height: int, width: int, what: str) -> None:
    """As `require_size`, for one camera image.

    Raises:
        RefusedError: no camera image has this size.
    """
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise RefusedError(Defect.TOO_BIG, f"'{what}' claims images of {width}x{height}")
