"""Results of inspecting a foreign episode, as plain data that can be sent between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datasets.episode import Episode, Outcome
from datasets.importers.defects import Note, Question
from datasets.observation import Image

Answers = dict[str, dict[str, str]]
"""structure -> entries that a person gave for sources of that structure; those under "" apply to all."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Result of inspecting one episode; nothing was written."""

    path: Path
    key: str = ""
    """Location within `path`; empty when the file is the episode."""
    format: str = ""
    """Name of the format; empty if unrecognised."""
    fingerprint: str = ""
    """Sixteen hexadecimal digits that identify the content; empty if unreadable."""
    refused: str | None = None
    """Why it cannot be used; None if it can."""
    defects: tuple[Note, ...] = ()
    """All defects found, repaired or not."""
    ticks: int = 0
    """Recorded samples."""
    rate: float = 0.0
    """Recorded samples per second."""
    idle: int = 0
    """Ticks of idle start that were trimmed."""
    clutch_off: int = 0
    """Ticks that were dropped because the arm did not follow."""
    steps: int = 0
    """Control steps of the resulting episode."""
    outcome: Outcome | None = None
    """Outcome stored in the source; None if it has none."""
    declared: Outcome | None = None
    """Outcome declared by the user, for sources without one."""
    cameras: dict[str, tuple[int, int]] = field(default_factory=dict)
    """the task's camera -> recorded (height, width)"""
    style: str = ""

    @property
    def success(self) -> bool | None:
        """The resulting verdict: the source's, otherwise the declared one; None without either."""
        verdict = self.outcome or self.declared
        return None if verdict is None else verdict is Outcome.SUCCESS

    @property
    def notes(self) -> tuple[str, ...]:
        """Repairs and warnings, one sentence each."""
        return tuple(note.text for note in self.defects)

    @property
    def kept(self) -> int:
        """Ticks that are used."""
        return self.ticks - self.dropped

    @property
    def dropped(self) -> int:
        """Ticks that are not used."""
        return self.idle + self.clutch_off

    @property
    def label(self) -> str:
        """Name used in reports."""
        return f"{self.path}[{self.key}]" if self.key else str(self.path)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Interpretation of all sources with the same structure; shown once."""

    structure: str
    format: str
    entries: dict[str, str]
    """The whole mapping, flat."""
    answered: tuple[str, ...]
    """Entries that a person gave."""
    open: tuple[Question, ...]
    settled: dict[Question, str]
    """Questions that the answers settled, with their answers."""
    columns: dict[str, int]
    """Source column -> number of values per tick."""
    cameras: dict[str, tuple[int, int]]
    """Source camera -> (height, width)."""
    depth: tuple[str, ...] = ()
    """Depth streams, which cannot serve as a task's cameras."""
    unlabelled: bool = False
    """Whether the source lacks a success flag."""
    images: dict[str, Image] = field(default_factory=dict)
    """source camera -> thumbnail of its first image, in the source's channel order"""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything that inspecting one episode returned."""

    finding: Finding
    episode: Episode | None = None
    """The converted episode; None if refused."""
    outline: Outline | None = None
    """Given only for the first source of each structure."""
    known: str | None = None
    """The existing episode of the same content, if nothing was read or the result is unchanged."""
    replaces: tuple[str, ...] = ()
    """Episodes of the same content that it would replace."""
