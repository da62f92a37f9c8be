"""What can be wrong with a recording, and what was done about it: the words in which every import is told."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum

from datasets.vr_recording import RecordingError


class Defect(StrEnum):
    """One kind of finding; reports count by it."""

    UNREADABLE = "unreadable"
    """No file, another format, damaged or cut short."""
    NOT_DOWNLOADED = "not downloaded"
    """A pointer of Git LFS or git-annex."""
    MISSING_MEMBER = "missing member"
    UNANSWERED = "unanswered question"
    """Something that the source does not say and nobody has told yet."""
    CONTRADICTION = "numbers contradict an answer"
    NO_KINEMATICS = "no kinematics"
    """Joint angles without a pose, and no arm to compute it with."""
    UNFIT = "does not fit the task"
    INDEX = "index contradicts"
    """A list of what is in the data says what is not so."""
    UNEQUAL_LENGTHS = "unequal lengths"
    TIME_ORDER = "time order"
    GAP = "gap"
    FROZEN_PICTURES = "frozen pictures"
    PICTURE = "undecodable picture"
    PICTURE_FORMAT = "picture format"
    RESIZED = "picture size"
    RATE = "rate"
    """Two figures for how often something was sampled."""
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
    """It would have bytes read that lie outside what was named."""
    TOO_BIG = "too big"
    READER_DIED = "reader died"
    KNOWN = "imported before"


class Treatment(StrEnum):
    """What was done about a defect."""

    REPAIRED = "repaired"
    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Note:
    """One defect of one recording."""

    defect: Defect
    treatment: Treatment
    text: str
    """What, where and, if repaired, how."""

    def to_json(self) -> dict[str, str]:
        """Plain JSON types."""
        return {"defect": self.defect.value, "treatment": self.treatment.value, "text": self.text}


def repaired(defect: Defect, text: str) -> Note:
    """A note on something that was mended."""
    return Note(defect=defect, treatment=Treatment.REPAIRED, text=text)


def warning(defect: Defect, text: str) -> Note:
    """A note on something that was imported as it is."""
    return Note(defect=defect, treatment=Treatment.WARNING, text=text)


class RefusedError(RecordingError):
    """A recording that cannot become a demonstration; the message says why and where, without the file's name."""

    def __init__(self, defect: Defect, text: str) -> None:
        super().__init__(text)
        self.defect = defect


class QuestionError(RefusedError):
    """Something the source does not say; the message names the flag that answers it."""

    def __init__(self, questions: tuple[Question, ...]) -> None:
        super().__init__(Defect.UNANSWERED, "; ".join(question.sentence for question in questions))
        self.questions = questions


@dataclass(frozen=True, kw_only=True)
class Question:
    """One thing that only a person knows, asked once a session and source structure."""

    name: str
    """Name of the mapping's entry, as in ``--map NAME=VALUE``."""
    text: str
    """Why it must be asked, one sentence without a full stop."""
    choices: tuple[str, ...] = ()
    """Possible answers; empty when it is a number or a text."""
    example: str = ""
    """An answer that would be understood, where there are no choices."""
    optional: bool = False
    """Nothing is refused for want of an answer."""

    @property
    def flag(self) -> str:
        """What to add to the command."""
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
    """As a shell takes it for one word."""
    return f'"{choice}"' if " " in choice else choice


SHORTCUTS = {
    **{name: name for name in ("colour", "quaternion", "euler", "rate", "kinematics", "actions", "frame")},
    **{name: name for name in ("outcome", "instruction")},
    "range": "gripper",
}
"""Entries that have a flag of their own, and which."""


AGAIN = "say --again"
"""What a note tells people to add to the command; a screen has a key in its place."""


def defect_of(error: RecordingError) -> Defect:
    """The kind of any refusal."""
    return error.defect if isinstance(error, RefusedError) else Defect.UNREADABLE


def why(error: Exception) -> str:
    """What an error says for people: neither its number nor the path, which stands beside it anyway."""
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    # those of decoders have numbers of their own
    said = getattr(error, "strerror", None)
    return (said or str(error) or type(error).__name__)[:200]
