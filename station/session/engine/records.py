"""Writes the session's journal for the engine, in order, through `PendingWrites`.

A full disk delays lines and never drops them. The machine builds most records itself; added here is what only the
journal and the stopwatch know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datasets.episode import EpisodeKind
from datasets.journal.journal import Journal
from datasets.journal.records import CheckpointSaved, EvaluationBegun, EvaluationEnded, PhaseEntered, Record
from station.session.core.effects import CloseEvaluation, Effect, OpenEvaluation, OpenRound, Write
from station.session.core.state import Block
from station.session.engine.pending_writes import PendingWrites
from station.session.engine.resume import round_opened

Spent = Callable[[], dict[str, float]]


class Records:
    """The session's journal, as the engine writes it."""

    def __init__(self, journal: Journal, pending: PendingWrites, spent: Spent) -> None:
        """`spent` gives the seconds per kind of time since its last call."""
        self._journal = journal
        self._pending = pending
        self._spent = spent
        self._records: dict[type[Effect], Callable[[Any], Record]] = {
            Write: lambda effect: effect.record,
            OpenRound: lambda effect: round_opened(effect.round, self._spent()),
            OpenEvaluation: lambda effect: EvaluationBegun(**self._facts(effect.block)),
            CloseEvaluation: self._ended,
        }

    def carry_out(self, effect: Effect) -> bool:
        """Carry it out if it is a journal order; returns whether it was."""
        record = self._records.get(type(effect))
        if record is not None:
            self.write(record(effect))
        return record is not None

    def write(self, record: Record) -> None:
        """Write one line, now or once there is room."""
        self._pending.write(lambda: self._journal.append(record))

    def phase(self, phase: str) -> None:
        """Journal that a lasting phase was entered, with the time spent before it."""
        self.write(PhaseEntered(phase=phase, spent=self._spent()))

    def _ended(self, effect: CloseEvaluation) -> EvaluationEnded:
        early: dict[str, Any] = {"early": True, "done": effect.done} if effect.done < effect.block.n else {}
        return EvaluationEnded(**self._facts(effect.block), **early)

    def _facts(self, block: Block) -> dict[str, Any]:
        """A block, with the experience and policy that it measures; both are constant while it runs."""
        ledger = self._journal.ledger()
        checkpoint = ledger.last_of(CheckpointSaved)
        rows, online = ledger.episodes.rows, ledger.episodes.of(EpisodeKind.ONLINE)
        return {
            "ordinal": block.ordinal,
            "first": block.first,
            "n": block.n,
            "at": block.at,
            "env_steps": int(rows["steps"][online & ~rows["void"]].sum()),
            "policy_version": checkpoint.record.policy_version if checkpoint else 0,
        }
