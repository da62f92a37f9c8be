"""A request for an import, as given on a command line: checked before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.episode import Outcome
from datasets.errors import UsageError
from datasets.importers.mapping import MappingError, parse_answers
from datasets.importers.read.choice import Choice
from datasets.importers.read.registry import UnknownFormatError, format_named

UNKNOWN = "unknown"
OUTCOMES = (Outcome.SUCCESS.value, Outcome.FAILURE.value, UNKNOWN)
"""Outcomes for demonstrations whose source has none; unknown ones stay unlabelled."""


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What to import, and how to read it."""

    paths: Sequence[Path]
    form: str | None = None
    """A format by name; None: detected from the structure."""
    answers: dict[str, str] | None = None
    """Mapping entries given with this command."""
    again: bool = False
    """Include earlier imports; those now read differently are replaced."""
    follow_links: bool = False
    """Follow links out of `paths`."""
    choice: Choice = field(default_factory=Choice)
    """Which episodes in `paths`."""
    outcome: str | None = None
    """Outcome of sources without a verdict, one of `OUTCOMES`; None: not given."""

    @property
    def declared(self) -> Outcome | None:
        """The label they get; None for no label."""
        return None if self.outcome in (None, UNKNOWN) else Outcome(self.outcome)


def read_request(
    paths: Sequence[Path],
    form: str | None,
    entries: Sequence[str],
    flags: dict[str, str | None],
    *,
    again: bool = False,
    follow_links: bool = False,
    episodes: str | None = None,
) -> ImportRequest:
    """A command's words, checked before anything is opened.

    Raises:
        UsageError: an unknown format, a meaningless entry, or an invalid value.
    """
    texts = [*entries, *(f"{name}={value}" for name, value in flags.items() if value is not None)]
    try:
        if form is not None:
            format_named(form)
        told, answers = _apart(texts)
        return ImportRequest(
            paths=paths,
            form=form,
            answers=answers,
            again=again,
            follow_links=follow_links,
            choice=Choice(instructions=tuple(told.get("instruction", ())), episodes=episodes or ""),
            outcome=next(reversed(told.get("outcome", ())), None),
        )
    except (MappingError, UnknownFormatError) as error:
        name, colon, why = str(error).partition(":")
        said = f"--{name}:{why}" if colon and name in flags else f"{str(error)[:1].upper()}{str(error)[1:]}"
        raise UsageError(said if said.endswith((".", "?")) else f"{said}.") from error


def require_answer(name: str, value: str) -> None:
    """Refuse an invalid answer. Raises MappingError."""
    _apart([f"{name}={value}"])


def _apart(texts: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Split into answers about this import's episodes and mapping entries. Raises MappingError."""
    told: dict[str, list[str]] = {}
    entries = []
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if name == "outcome":
            told.setdefault(name, []).append(_one_of(OUTCOMES, name, value))
        elif name == "instruction" and value:
            told.setdefault(name, []).append(value)
        else:
            entries.append(text)
    return told, parse_answers(entries)


def _one_of(known: tuple[str, ...], name: str, value: str) -> str:
    if value not in known:
        raise MappingError(f"{name}: it should be {', '.join(known[:-1])} or {known[-1]}, not '{value}'")
    return value
