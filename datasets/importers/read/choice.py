"""Selection of the episodes to import: by instruction, number, name or success.

A session learns one task. If sources have several instructions, the user must choose; two spellings count as the same
task only if they differ in case, spaces or a full stop.
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
"""Prefix of the name under which an answer about instructions is stored."""
SEVERAL = " | "
"""Separator between several instructions in one answer."""
_VERDICTS = {"success": True, "failure": False, "unlabelled": None}
_RANGE = re.compile(r"(\d+)-(\d+)")
_MOST_CHOICES = 12

Found = Source | Finding
Verdict = Callable[[Source], bool | None]
"""Returns a source's own success flag."""


class ChoiceError(StationError, ValueError):
    """A choice that matches no episode; lists the valid ones."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The user's selection."""

    instructions: tuple[str, ...] = ()
    """Selected instructions; empty if not specified."""
    episodes: str = ""
    """Numbers, ranges, names, success, failure or unlabelled; empty: all episodes."""


def by_episodes(found: Sequence[Found], text: str, verdict: Verdict) -> list[Found]:
    """The episodes that `text` selects; unreadable ones are kept, so they are reported.

    Raises:
        ChoiceError: a part of it matches none.
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
    """The episodes with these instructions; `ALL` selects every one, ``*`` is a wildcard.

    Raises:
        ChoiceError: no episode has that instruction.
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
            raise ChoiceError(f"No episode has the instruction '{words}'. Instructions found: {known}.")
        meant |= matching
    return [each for each in found if isinstance(each, Finding) or _plain(each.instruction) in meant]


def mixed(found: Sequence[Found]) -> tuple[str, Question] | None:
    """The question raised by several instructions, and the name under which its answer is stored; None for one task."""
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
    """The question as imports report it, open or with its answer."""
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
    """The last number in its name: 12 for demo_12 and for episode_12.hdf5."""
    digits = re.findall(r"\d+", source.key or source.path.stem)
    return int(digits[-1]) if digits else None


def _some(sources: Sequence[Source]) -> str:
    names = [source.key or source.path.name for source in sources]
    return ", ".join(names) if len(names) <= _MOST_CHOICES else f"{names[0]} to {names[-1]} ({len(names)})"


def _plain(words: str) -> str:
    return " ".join(words.casefold().split()).rstrip(".")
