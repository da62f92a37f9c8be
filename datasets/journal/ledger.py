"""The ledger: the status of every episode, folded from the journal up to a line.

Each episode is a row of numbers (about fifty bytes besides its id); an `EpisodeStatus` is built on request.
`datasets.journal.journal` reads and writes the journal itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.lines import Line, Lines, Places
from datasets.journal.records import (
    KINDS,
    EpisodeCommitted,
    Labelled,
    Pruned,
    Record,
    Restored,
    Voided,
)

FOLDED = (EpisodeCommitted, Labelled, Voided, Restored, Pruned)
"""The kinds of lines that a ledger follows."""
R = TypeVar("R", bound=Record)

_KINDS, _OUTCOMES, _ENDINGS = tuple(EpisodeKind), (None, *Outcome), tuple(Ending)
INDEXED: dict[str, tuple[str | None, ...]] = {"kind": _KINDS, "outcome": _OUTCOMES, "ending": _ENDINGS}
"""Field of a ROW -> what its numbers stand for."""
_NO_BLOCK = -1
ROW = np.dtype(
    [
        ("time", "<f8"),
        ("seq", "<i8"),
        ("ordinal", "<i8"),
        ("steps", "<i4"),
        ("chunks", "<i4"),
        ("policy_version", "<i4"),
        ("block", "<i4"),
        ("kind", "i1"),
        ("ending", "i1"),
        ("outcome", "i1"),
        ("void", "?"),
        ("by", "<i2"),
        ("pruned", "?"),
    ]
)
"""One episode as numbers; `kind`, `ending`, `outcome` and `by` are indices into tables of words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeStatus:
    """Status of one episode according to the journal."""

    id: str
    kind: EpisodeKind
    ordinal: int
    steps: int
    chunks: int
    ending: Ending
    policy_version: int
    outcome: Outcome | None = None
    """None while the label is pending."""
    void: bool = False
    by: str = ""
    """Who labelled, voided or restored it last."""
    seq: int
    """Number of the line that entered it."""
    time: float = 0.0
    """Time of that line, s since 1970."""
    block: int | None = None
    """Evaluation block it belongs to, if any."""
    pruned: bool = False
    """Its files were deleted permanently while it was void; it stays void."""


class Episodes(Mapping[str, EpisodeStatus]):
    """id -> status, in the order of their lines."""

    def __init__(
        self, names: Sequence[str] = (), rows: NDArray[Any] | None = None, words: Sequence[str] = ("",)
    ) -> None:
        """`rows` correspond to `names`; `words` is the table that their `by` indexes."""
        self._names = list(names)
        self._places = {name: place for place, name in enumerate(self._names)}
        self._words = list(words)
        self._rows = np.zeros(64, ROW) if rows is None else rows
        self._size = len(self._names)
        self._borrowed = False

    @property
    def rows(self) -> NDArray[Any]:
        """[n] of `ROW`, one per episode; read-only."""
        return self._rows[: self._size]

    @property
    def names(self) -> list[str]:
        """Their ids, in the same order."""
        return self._names[: self._size]

    @property
    def words(self) -> tuple[str, ...]:
        """Everyone who has labelled, voided or restored an episode, in index order."""
        return tuple(self._words)

    def of(self, kind: EpisodeKind) -> NDArray[np.bool_]:
        """[n] mask of the episodes of a kind."""
        return np.asarray(self.rows["kind"] == _KINDS.index(kind))

    def labelled(self, outcome: Outcome | None) -> NDArray[np.bool_]:
        """[n] mask of the episodes with this label; None selects the unlabelled ones."""
        return np.asarray(self.rows["outcome"] == _OUTCOMES.index(outcome))

    def where(self, mask: NDArray[np.bool_]) -> Iterator[EpisodeStatus]:
        """The episodes selected by a mask [n]."""
        return (self._at(place) for place in np.flatnonzero(mask).tolist())

    def outcomes(self, mask: NDArray[np.bool_]) -> dict[str, Outcome]:
        """id -> label of the labelled episodes selected by a mask [n]."""
        places = np.flatnonzero(mask & ~self.labelled(None))
        codes = self.rows["outcome"][places].tolist()
        return {
            self._names[place]: outcome
            for place, code in zip(places.tolist(), codes, strict=True)
            if (outcome := _OUTCOMES[code]) is not None
        }

    def copy(self) -> Episodes:
        """An independent copy; only the numbers are copied."""
        twin = Episodes.__new__(Episodes)
        twin._names, twin._places, twin._words = self._names, self._places, self._words
        twin._rows, twin._size, twin._borrowed = self.rows.copy(), self._size, True
        return twin

    def __getitem__(self, name: str) -> EpisodeStatus:
        """The episode's status. Raises KeyError."""
        return self._at(self._place(name))

    def __setitem__(self, name: str, status: EpisodeStatus) -> None:
        """Add or change an episode. Raises ValueError, OverflowError: it does not fit a row."""
        row = (
            status.time,
            status.seq,
            status.ordinal,
            status.steps,
            status.chunks,
            status.policy_version,
            _NO_BLOCK if status.block is None else status.block,
            _KINDS.index(status.kind),
            _ENDINGS.index(status.ending),
            _OUTCOMES.index(status.outcome),
            status.void,
            self._word(status.by),
            status.pruned,
        )
        fitting = np.array(row, ROW)
        place = self._places[name] if name in self else self._enter(name)
        self._rows[place] = fitting

    def __contains__(self, name: object) -> bool:
        """Whether the journal knows the episode."""
        return isinstance(name, str) and self._places.get(name, self._size) < self._size

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids."""
        return iter(self.names)

    def __len__(self) -> int:
        """Number of episodes."""
        return self._size

    def _place(self, name: str) -> int:
        place = self._places.get(name, self._size)
        if place >= self._size:
            raise KeyError(name)
        return place

    def _at(self, place: int) -> EpisodeStatus:
        row = self._rows[place].item()
        time, seq, ordinal, steps, chunks, version, block, kind, ending, outcome, void, by, pruned = row
        return EpisodeStatus(
            id=self._names[place],
            kind=_KINDS[kind],
            ordinal=ordinal,
            steps=steps,
            chunks=chunks,
            ending=_ENDINGS[ending],
            policy_version=version,
            outcome=_OUTCOMES[outcome],
            void=void,
            by=self._words[by],
            seq=seq,
            time=time,
            block=None if block == _NO_BLOCK else block,
            pruned=pruned,
        )

    def _enter(self, name: str) -> int:
        if self._borrowed:  # names and places are shared with the original, which keeps changing
            self._names = self._names[: self._size]
            self._places = {known: place for place, known in enumerate(self._names)}
            self._borrowed = False
        if self._size == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros(self._size or 64, ROW)])
        self._names.append(name)
        self._places[name] = self._size
        self._size += 1
        return self._size - 1

    def _word(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)


@dataclass(kw_only=True)
class Ledger:
    """The journal folded up to a line."""

    through: int = 0
    """seq of the last line applied."""
    episodes: Episodes = field(default_factory=Episodes)
    orphans: list[int] = field(default_factory=list)
    """seq of labels, voids and restores of episodes that no earlier line had entered."""
    places: Places | None = field(default=None, compare=False, repr=False)
    """Where its lines are; None for a ledger without a journal."""

    def lines_of(self, kind: type[R]) -> Sequence[Line[R]]:
        """The lines of a kind, in order, read lazily. Raises JournalError on reading them."""
        if self.places is None:
            return ()
        lines: Lines[R] = Lines(self.places, self.places.numbers(kind.OP, self.through))
        if kind is KINDS[kind.OP]:
            return lines
        return [line for line in lines if isinstance(line.record, kind)]

    def last_of(self, kind: type[R]) -> Line[R] | None:
        """The newest line of a kind. Raises JournalError."""
        return next(reversed(self.lines_of(kind)), None)

    def add(self, line: Line[Record]) -> None:
        """Apply the next line."""
        self.through = line.seq
        match line.record:
            case EpisodeCommitted() as record:
                if record.id not in self.episodes:
                    self.episodes[record.id] = _entered(line, record)
            case Labelled() | Voided() | Restored() as record:
                self._change(line.seq, record)
            case Pruned() as record:
                self._prune(record.episodes)

    def copy(self) -> Ledger:
        """An independent copy."""
        return replace(self, episodes=self.episodes.copy(), orphans=list(self.orphans))

    def _change(self, seq: int, record: Labelled | Voided | Restored) -> None:
        status = self.episodes.get(record.episode)
        if status is None:
            self.orphans.append(seq)
        elif isinstance(record, Labelled):
            self.episodes[status.id] = replace(status, outcome=record.outcome, by=record.by)
        else:
            void = isinstance(record, Voided) or status.pruned
            self.episodes[status.id] = replace(status, void=void, by=record.by)

    def _prune(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.episodes:
                self.episodes[name] = replace(self.episodes[name], void=True, pruned=True)


def _entered(line: Line[Record], record: EpisodeCommitted) -> EpisodeStatus:
    return EpisodeStatus(
        id=record.id,
        kind=record.kind,
        ordinal=record.ordinal,
        steps=record.steps,
        chunks=record.chunks,
        ending=record.ending,
        policy_version=record.policy_version,
        block=record.block,
        seq=line.seq,
        time=float(line.time),
    )
