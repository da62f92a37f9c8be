"""Defects of recordings and their treatment: the vocabulary of all import reports."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum

from datasets.vr_recording import RecordingError


class Defect(StrEnum):
    """Kinds of defects, by which reports count."""

    UNREADABLE = "unreadable"
    """Missing file, another format, damaged or truncated."""
    NOT_DOWNLOADED = "not downloaded"
    """A pointer of Git LFS or git-annex."""
    MISSING_MEMBER = "missing member"
    UNANSWERED = "unanswered question"
    """Information that the source lacks and no one has supplied."""
    CONTRADICTION = "numbers contradict an answer"
    NO_KINEMATICS = "no kinematics"
    """Joint angles without a pose, and no kinematics to compute it."""
    UNFIT = "does not fit the task"
    INDEX = "index contradicts"
    """An index contradicts the data."""
    UNEQUAL_LENGTHS = "unequal lengths"
    TIME_ORDER = "time order"
    GAP = "gap"
    FROZEN_IMAGES = "frozen images"
    IMAGE = "undecodable image"
    IMAGE_FORMAT = "image format"
    RESIZED = "image size"
    RATE = "rate"
    """Contradictory sample rates."""
    NOT_FINITE = "not finite"
    QUATERNION_NORM = "quaternion length"
    QUATERNION_SIGN = "quaternion sign"
    EULER_WRAP = "euler wrap"
    GRIPPER_RANGE = "gripper range"
    FRAME = "frame"
    OUT_OF_REACH = "out of reach"
    NO_MOTION = "no motion"
    TOO_SHORT = "too short"
    JUMP = "jump"
    IDLE = "idle start"
    SKIPPED = "skipped steps"
    NO_LABEL = "no success label"
    ACTIONS_DERIVED = "actions derived"
    OUTSIDE = "leads outside"
    """It refers to data outside the path given by the user."""
    TOO_BIG = "too big"
    READER_DIED = "reader died"
    KNOWN = "imported before"


class Treatment(StrEnum):
    """How a defect was treated."""

    REPAIRED = "repaired"
    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Note:
    """One defect of one recording."""

    defect: Defect
    treatment: Treatment
    text: str
    """What is wrong, where and, if repaired, how."""

    def to_json(self) -> dict[str, str]:
        """Plain JSON types."""
        return {"defect": self.defect.value, "treatment": self.treatment.value, "text": self.text}


def repaired(defect: Defect, text: str) -> Note:
    """A note on a repaired defect."""
    return Note(defect=defect, treatment=Treatment.REPAIRED, text=text)


def warning(defect: Defect, text: str) -> Note:
    """A note on a defect that was imported unchanged."""
    return Note(defect=defect, treatment=Treatment.WARNING, text=text)


class RefusedError(RecordingError):
    """A recording cannot become a demonstration; the message says why and where, without the file's name."""

    def __init__(self, defect: Defect, text: str) -> None:
        super().__init__(text)
        self.defect = defect


class QuestionError(RefusedError):
    """The source lacks required information; the message names the flag that supplies it."""

    def __init__(self, questions: tuple[Question, ...]) -> None:
        super().__init__(Defect.UNANSWERED, "; ".join(question.sentence for question in questions))
        self.questions = questions


@dataclass(frozen=True, kw_only=True)
class Question:
    """Information that only a person can supply, asked once per session and source structure."""

    name: str
    """Name of the mapping's entry, as in ``--map NAME=VALUE``."""
    text: str
    """Why it must be asked, one sentence without a full stop."""
    choices: tuple[str, ...] = ()
    """Possible answers; empty for a number or text."""
    example: str = ""
    """A valid answer, if there are no choices."""
    optional: bool = False
    """Whether an import can proceed without an answer."""

    @property
    def flag(self) -> str:
        """The flag to add to the command."""
        value = "|".join(_quoted(choice) for choice in self.choices) or self.example or "VALUE"
        return f"--{SHORTCUTS[self.name]} {value}" if self.name in SHORTCUTS else f"--map {self.name}={value}"

    @property
    def sentence(self) -> str:
        """What is missing and how to say it."""
        return f"{self.text}: say {self.flag}"

    def to_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "text": self.text,
            "choices": list(self.choices),
            "flag": self.flag,
            "optional": self.optional,
        }


def _quoted(choice: str) -> str:
    """Quoted as one word for a shell."""
    return f'"{choice}"' if " " in choice else choice


SHORTCUTS = {
    **{name: name for name in ("colour", "quaternion", "euler", "rate", "kinematics", "actions", "frame")},
    **{name: name for name in ("outcome", "instruction")},
    "range": "gripper",
}
"""Entries with a dedicated flag -> the flag."""


AGAIN = "say --again"
"""Advice in notes on the command line; screens replace it with a key."""


def defect_of(error: RecordingError) -> Defect:
    """The kind of any refusal."""
    return error.defect if isinstance(error, RefusedError) else Defect.UNREADABLE


def why(error: Exception) -> str:
    """An error's message without its errno and path, which the report already shows."""
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    # decoders use error numbers of their own
    said = getattr(error, "strerror", None)
    return (said or str(error) or type(error).__name__)[:200]
