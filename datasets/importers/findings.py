"""What a look at a foreign episode says, in plain data that crosses processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datasets.episode import Episode, Outcome
from datasets.importers.defects import Note, Question
from datasets.observation import Image

Answers = dict[str, dict[str, str]]
"""structure -> entries that a person gave for sources of that structure; those under "" hold for all."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a look at one episode found; nothing was written."""

    path: Path
    key: str = ""
    """Where in `path`, empty when the file is the episode."""
    format: str = ""
    """Empty when nobody knows it."""
    fingerprint: str = ""
    """Sixteen hexadecimal digits of the content; empty when it could not be read."""
    refused: str | None = None
    """Why it cannot be used, None when it can."""
    defects: tuple[Note, ...] = ()
    """Everything that was wrong, mended or not."""
    ticks: int = 0
    """Recorded samples."""
    rate: float = 0.0
    """Recorded samples per second."""
    idle: int = 0
    """Ticks of idle start that are trimmed."""
    clutch_off: int = 0
    """Ticks that are dropped because the arm did not follow."""
    steps: int = 0
    """Control steps that the episode will have."""
    outcome: Outcome | None = None
    """As the source has it; None when it has none."""
    declared: Outcome | None = None
    """What whoever imports it says of it, where the source has none."""
    cameras: dict[str, tuple[int, int]] = field(default_factory=dict)
    """the task's camera -> recorded (height, width)"""
    style: str = ""

    @property
    def success(self) -> bool | None:
        """The verdict that it will have: the source's, else what was declared; None without either."""
        verdict = self.outcome or self.declared
        return None if verdict is None else verdict is Outcome.SUCCESS

    @property
    def notes(self) -> tuple[str, ...]:
        """What is mended or worth a warning, one sentence each."""
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
        """As reports name it."""
        return f"{self.path}[{self.key}]" if self.key else str(self.path)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """How the sources of one structure are understood; shown once."""

    structure: str
    format: str
    entries: dict[str, str]
    """The whole mapping, flat."""
    answered: tuple[str, ...]
    """Entries that a person gave."""
    open: tuple[Question, ...]
    settled: dict[Question, str]
    """What was answered to questions that would stand open otherwise."""
    columns: dict[str, int]
    """The source's columns and how many numbers each has."""
    cameras: dict[str, tuple[int, int]]
    """The source's cameras and their (height, width)."""
    depth: tuple[str, ...] = ()
    """Streams of depth, which no camera of a task is."""
    unlabelled: bool = False
    """The source says nothing of success."""
    pictures: dict[str, Image] = field(default_factory=dict)
    """the source's camera -> its first picture, small, in the source's own order of colours"""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look brought."""

    finding: Finding
    episode: Episode | None = None
    """None when refused."""
    outline: Outline | None = None
    """Only for the first source of each structure."""
    known: str | None = None
    """The episode that stands for its content already; then nothing was read, or nothing came out otherwise."""
    replaces: tuple[str, ...] = ()
    """The episodes of the same content that it would replace."""
