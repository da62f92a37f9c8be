"""What somebody wants imported, in a command's words: checked before anything is opened."""

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
"""What may be said of demonstrations whose source says nothing; unknown ones stay without a label."""


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What somebody wants imported, and how it is to be understood."""

    paths: Sequence[Path]
    form: str | None = None
    """A format by name, None: whatever the structure says."""
    answers: dict[str, str] | None = None
    """Entries of the mapping given with this command."""
    again: bool = False
    """Also what was imported before, which is replaced where it is now understood otherwise."""
    follow_links: bool = False
    """Also through links that lead out of `paths`."""
    choice: Choice = field(default_factory=Choice)
    """Which of the episodes in `paths`."""
    outcome: str | None = None
    """What sources without a verdict are: one of `OUTCOMES`; None: nobody said."""

    @property
    def declared(self) -> Outcome | None:
        """The label that they get; None without one."""
        return None if self.outcome in (None, UNKNOWN) else Outcome(self.outcome)


def wish(
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
        UsageError: an unknown format, an entry of no meaning, or an impossible value.
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
    """Refuse what cannot be an answer to a question. Raises MappingError."""
    _apart([f"{name}={value}"])


def _apart(texts: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Answers about the episodes of this import, and entries of the mapping. Raises MappingError."""
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
