"""Which of the episodes that were found are meant: by the task they were told to do, by number, name or success.

One session learns one task. Where sources name several instructions, whoever imports must say which is meant; nothing
here guesses that two ways of writing are one task, but for capitals, spaces and a full stop.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from datasets.errors import ExitCode, StationError
from datasets.importers.defects import Question
from datasets.importers.findings import Finding, Outline
from datasets.importers.interface import Source
from datasets.wording import counted

ALL = "all"
"""The answer that takes every instruction."""
PREFIX = "tasks-"
"""Of the name under which an answer about instructions is kept."""
SEVERAL = " | "
"""Between several instructions of one answer."""
_VERDICTS = {"success": True, "failure": False, "unlabelled": None}
_RANGE = re.compile(r"(\d+)-(\d+)")
_MOST_CHOICES = 12

Found = Source | Finding
Verdict = Callable[[Source], bool | None]
"""A source's own word on its success."""


class ChoiceError(StationError, ValueError):
    """A choice that means none of the episodes; says which there are."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What somebody asked for."""

    instructions: tuple[str, ...] = ()
    """Those that are meant; empty: nobody said."""
    episodes: str = ""
    """Numbers, ranges and names, and success, failure or unlabelled; empty: every one."""


def by_episodes(found: Sequence[Found], text: str, verdict: Verdict) -> list[Found]:
    """Those that `text` means; what could not be read stays, so that it is said.

    Raises:
        ChoiceError: a part of it means none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    named = [word for word in words if word not in _VERDICTS]
    wanted = {_VERDICTS[word] for word in words if word in _VERDICTS}
    sources = [source for source in found if isinstance(source, Source)]
    for word in named:
        if not any(_is_meant(source, word) for source in sources):
            raise ChoiceError(f"No episode '{word}' among those found: {_some(sources)}.")
    chosen = {
        id(source)
        for source in sources
        if (not named or any(_is_meant(source, word) for word in named))
        and (not wanted or verdict(source) in wanted)
    }
    if sources and not chosen:
        raise ChoiceError(f"None of {counted(len(sources), 'episode')} is '{text}'.")
    return [each for each in found if isinstance(each, Finding) or id(each) in chosen]


def by_instruction(found: Sequence[Found], instructions: Iterable[str]) -> list[Found]:
    """Those that were told so; `ALL` takes every one, a ``*`` stands for anything.

    Raises:
        ChoiceError: nobody was told that.
    """
    wanted = [_plain(words) for words in instructions]
    if ALL in wanted:
        return list(found)
    told = {_plain(source.instruction): source.instruction for source in found if isinstance(source, Source)}
    meant: set[str] = set()
    for words in wanted:
        matching = {plain for plain in told if plain == words} or set(fnmatch.filter(told, words))
        if not matching or not words:
            known = (
                ", ".join(f"'{name}'" for name in told.values() if name) or "none, the sources name no task"
            )
            raise ChoiceError(f"No episode was told '{words}'. Instructions found: {known}.")
        meant |= matching
    return [each for each in found if isinstance(each, Finding) or _plain(each.instruction) in meant]


def mixed(found: Sequence[Found]) -> tuple[str, Question] | None:
    """The question that several instructions raise, and the name under which its answer is kept; None for one task."""
    told = [source.instruction for source in found if isinstance(source, Source) and source.instruction]
    counts = Counter(_plain(words) for words in told)
    if len(counts) < 2:
        return None
    written = {_plain(words): words for words in reversed(told)}
    listed = ", ".join(
        f"'{written[plain]}' ({counted(number, 'episode')})"
        for plain, number in counts.most_common(_MOST_CHOICES)
    )
    more = f" and {len(counts) - _MOST_CHOICES} more" if len(counts) > _MOST_CHOICES else ""
    question = Question(
        name="instruction",
        text=f"these are {len(counts)} tasks, and a session learns one: {listed}{more}",
        choices=(*(written[plain] for plain, _ in counts.most_common(_MOST_CHOICES)), ALL),
    )
    digest = hashlib.sha256("\n".join(sorted(counts)).encode()).hexdigest()[:8]
    return f"{PREFIX}{digest}", question


def outline_of(name: str, question: Question, answer: str | None) -> Outline:
    """The question as imports tell it, open or with its answer."""
    return Outline(
        structure=name,
        format="instructions",
        entries={},
        answered=(),
        open=() if answer else (question,),
        settled={question: answer} if answer else {},
        columns={},
        cameras={},
    )


def _is_meant(source: Source, word: str) -> bool:
    span = _RANGE.fullmatch(word)
    number = _number(source)
    if span is not None:
        return number is not None and int(span[1]) <= number <= int(span[2])
    if word.isdigit():
        return number == int(word)
    return any(fnmatch.fnmatchcase(name, word) for name in (source.key, source.path.name, source.path.stem))


def _number(source: Source) -> int | None:
    """The last number of its name: 12 of demo_12, and of episode_12.hdf5."""
    digits = re.findall(r"\d+", source.key or source.path.stem)
    return int(digits[-1]) if digits else None


def _some(sources: Sequence[Source]) -> str:
    names = [source.key or source.path.name for source in sources]
    return ", ".join(names) if len(names) <= _MOST_CHOICES else f"{names[0]} to {names[-1]} ({len(names)})"


def _plain(words: str) -> str:
    return " ".join(words.casefold().split()).rstrip(".")
