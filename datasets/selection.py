"""Filter expressions for episodes, such as ``success and version>=3 and date>=2026-11-01 and online``.

The grammar is small and safe: flags, comparisons of one field with one value, ``and``, ``or``, ``not`` and parentheses;
nothing is evaluated as code. Days are calendar days in the user's time zone. The caller reads stores and journals; a
condition sees the `Facts` of one episode at a time.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from datasets.episode import Ending, EpisodeHeader, EpisodeKind, Outcome
from datasets.errors import ExitCode, StationError
from datasets.journal.journal import EpisodeStatus
from datasets.wording import did_you_mean

PENDING = "pending"
"""The word for an episode without a label."""


class SelectionError(StationError):
    """An invalid filter; the message says where, and what is valid."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The properties of an episode that a filter can test."""

    status: EpisodeStatus
    created: datetime | None = None
    """Creation time, with time zone; None if unknown."""
    method: str = ""

    @property
    def outcome(self) -> str:
        """The label's name, or `PENDING`."""
        return PENDING if self.status.outcome is None else self.status.outcome.value


def facts(status: EpisodeStatus, header: EpisodeHeader) -> Facts:
    """The facts of one episode, from journal and header."""
    return Facts(status=status, created=_instant(header.created), method=header.method)


Condition = Callable[[Facts], bool]
"""Whether an episode matches."""


@dataclass(frozen=True)
class Where:
    """A parsed filter; call it with the facts of an episode."""

    text: str
    condition: Condition

    def __call__(self, episode: Facts) -> bool:
        """Whether the episode matches."""
        return self.condition(episode)

    @classmethod
    def parse(cls, text: str, *, today: date | None = None, zone: tzinfo | None = None) -> Where:
        """Parse a filter; an empty one matches every episode.

        `zone`: time zone of calendar days (None: the machine's); `today`: the day "today" and "yesterday" refer to.

        Raises:
            SelectionError: the filter is invalid.
        """
        if not text.strip():
            return cls("", lambda _episode: True)
        return cls(text.strip(), _Parser(text, today or datetime.now(zone).date(), zone).whole())


def _is_labelled(outcome: Outcome) -> Condition:
    return lambda episode: episode.status.outcome is outcome


def _is_of(kind: EpisodeKind) -> Condition:
    return lambda episode: episode.status.kind is kind


FLAGS: Mapping[str, Condition] = MappingProxyType(
    {
        **{outcome.value: _is_labelled(outcome) for outcome in Outcome},
        **{kind.value: _is_of(kind) for kind in EpisodeKind},
        PENDING: lambda episode: episode.status.outcome is None,
        "labelled": lambda episode: episode.status.outcome is not None,
        "void": lambda episode: episode.status.void,
    }
)
"""Flags: names that are true or false of an episode."""

NUMBERS: Mapping[str, Callable[[Facts], int]] = MappingProxyType(
    {
        "version": lambda episode: episode.status.policy_version,
        "steps": lambda episode: episode.status.steps,
        "chunks": lambda episode: episode.status.chunks,
        "ordinal": lambda episode: episode.status.ordinal,
    }
)
"""Fields compared with a number."""

TEXTS: Mapping[str, Callable[[Facts], str]] = MappingProxyType(
    {
        "outcome": lambda episode: episode.outcome,
        "kind": lambda episode: episode.status.kind.value,
        "ending": lambda episode: episode.status.ending.value,
        "method": lambda episode: episode.method,
        "by": lambda episode: episode.status.by,
        "id": lambda episode: episode.status.id,
    }
)
"""Fields compared with a word."""

_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"outcome": (*Outcome, PENDING), "kind": tuple(EpisodeKind), "ending": tuple(Ending)}
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        ">=": operator.ge,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
        "=": operator.eq,
        "<": operator.lt,
        ">": operator.gt,
    }
)
_WORDS = ("and", "or", "not")
_DATE = "date"
_DEEPEST = 50


class _Kind(StrEnum):
    DATE = r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?)?(?![\w.-])"
    NUMBER = r"-?\d+(?:\.\d+)?(?![\w.-])"
    NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
    QUOTED = r"'[^']*'|\"[^\"]*\""
    COMPARISON = r">=|<=|==|!=|=|<|>"
    BRACKET = r"[()]"
    END = r"\Z"


_TOKEN = re.compile(r"\s*(?:" + "|".join(f"(?P<{kind.name}>{kind.value})" for kind in _Kind) + ")")


@dataclass(frozen=True, kw_only=True)
class _Token:
    kind: _Kind
    text: str
    at: int


class _Parser:
    """Recursive descent: either = both {or both}; both = term {and term}; term = [not] (either) | comparison | flag."""

    def __init__(self, text: str, today: date, zone: tzinfo | None) -> None:
        self._text = text
        self._today = today
        self._zone = zone
        self._tokens = list(self._split())
        self._next = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._either()
        if self._token.kind is not _Kind.END:
            raise self._error(
                f"'{self._token.text}' is not expected here; join conditions with 'and' or 'or'"
            )
        return condition

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        while True:
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise SelectionError(f"--where: '{self._text[at:].strip()}' cannot be read. {_example()}")
            kind = _Kind[match.lastgroup]
            tokens.append(_Token(kind=kind, text=match[kind.name], at=match.start(kind.name)))
            if kind is _Kind.END:
                return tokens
            at = match.end()

    def _take(self, text: str) -> bool:
        if self._token.text != text or self._token.kind is _Kind.QUOTED:
            return False
        self._next += 1
        return True

    def _either(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("it is nested too deeply")
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        self._depth -= 1
        return lambda episode: any(part(episode) for part in parts)

    def _both(self) -> Condition:
        parts = [self._term()]
        while self._take("and"):
            parts.append(self._term())
        return lambda episode: all(part(episode) for part in parts)

    def _term(self) -> Condition:
        negations = 0
        while self._take("not"):
            negations += 1
        condition = self._group() if self._take("(") else self._named()
        if negations % 2 == 0:
            return condition
        return lambda episode: not condition(episode)

    def _group(self) -> Condition:
        condition = self._either()
        if not self._take(")"):
            raise self._error("a ')' is missing")
        return condition

    def _named(self) -> Condition:
        token = self._token
        if token.kind is not _Kind.NAME or token.text in _WORDS:
            raise self._error("a condition is missing")
        self._next += 1
        if token.text in FLAGS:
            return FLAGS[token.text]
        if token.text in NUMBERS:
            return self._number(NUMBERS[token.text], token.text)
        if token.text in TEXTS:
            return self._word(TEXTS[token.text], token.text)
        if token.text == _DATE:
            return self._date()
        raise self._error(f"'{token.text}' is unknown. {_nearest(token.text, _names())}", token)

    def _number(self, read: Callable[[Facts], int], name: str) -> Condition:
        compare = self._comparison(name)
        token = self._value(_Kind.NUMBER, f"'{name}' is compared with a number, as in {name}>=3")
        value = float(token.text)
        return lambda episode: compare(read(episode), value)

    def _word(self, read: Callable[[Facts], str], name: str) -> Condition:
        if self._token.text not in ("==", "=", "!="):
            raise self._error(f"'{name}' is compared with = or !=")
        compare = self._comparison(name)
        token = self._value((_Kind.NAME, _Kind.QUOTED), f"'{name}' is compared with a word")
        value = token.text[1:-1] if token.kind is _Kind.QUOTED else token.text
        choices = _CHOICES.get(name)
        if choices is not None and value not in choices:
            raise self._error(f"'{value}' is no {name}. {_nearest(value, choices)}", token)
        return lambda episode: compare(read(episode), value)

    def _date(self) -> Condition:
        compare = self._comparison(_DATE)
        token = self._value((_Kind.DATE, _Kind.NAME), "a date looks like 2026-11-01, today or yesterday")
        value = self._day_or_instant(token)
        zone = self._zone

        def holds(episode: Facts) -> bool:
            if episode.created is None:
                return False
            local = episode.created.astimezone(zone).replace(tzinfo=None)
            return compare(local if isinstance(value, datetime) else local.date(), value)

        return holds

    def _day_or_instant(self, token: _Token) -> date:
        named = {"today": self._today, "yesterday": self._today - timedelta(days=1)}
        if token.text in named:
            return named[token.text]
        try:
            return datetime.fromisoformat(token.text) if "T" in token.text else date.fromisoformat(token.text)
        except ValueError as error:
            raise self._error(
                f"'{token.text}' is not a date; write 2026-11-01, today or yesterday", token
            ) from error

    def _comparison(self, name: str) -> Callable[[Any, Any], bool]:
        if self._token.kind is not _Kind.COMPARISON:
            raise self._error(f"'{name}' must be compared with something, as in {name}=...")
        self._next += 1
        return _COMPARISONS[self._tokens[self._next - 1].text]

    def _value(self, kinds: _Kind | tuple[_Kind, ...], remedy: str) -> _Token:
        token = self._token
        if token.kind not in (kinds if isinstance(kinds, tuple) else (kinds,)):
            raise self._error(remedy)
        self._next += 1
        return token

    def _error(self, what: str, token: _Token | None = None) -> SelectionError:
        at = (token or self._token).at
        where = f" (at '{self._text[at:].strip()}')" if self._text[at:].strip() else " (at its end)"
        return SelectionError(f'--where "{self._text.strip()}": {what}{where}.')


def _names() -> tuple[str, ...]:
    return (*FLAGS, *NUMBERS, *TEXTS, _DATE)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    return did_you_mean(word, known, f"Known: {', '.join(known)}")


def _example() -> str:
    return 'An example: "success and version>=3 and date>=2026-11-01 and online".'


def _instant(text: str) -> datetime | None:
    """A header's wall-clock time; UTC if it has no time zone, as headers are written."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
