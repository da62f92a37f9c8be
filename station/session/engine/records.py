"""Carries out the machine's journal orders, in order, through `PendingWrites`.

A full disk delays lines and never drops them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datasets.episode import EpisodeKind
from datasets.journal.journal import LABEL, RESTORE, VOID, Journal
from hardware.latch import StopLatch
from station.session.core.effects import (
    AskEvaluation,
    CloseEvaluation,
    Effect,
    JournalEnding,
    JournalFault,
    JournalLabel,
    JournalNote,
    JournalRestore,
    JournalSetting,
    JournalStop,
    JournalVoid,
    JournalWithdrawal,
    OpenEvaluation,
    OpenRound,
    RearmLatch,
)
from station.session.core.state import Block
from station.session.engine.pending_writes import PendingWrites
from station.session.engine.resume import round_fields
from station.session.operations import CHECKPOINT, EVALUATION, FAULT, NOTE, PHASE, REARM, SETTING, STOP

Spent = Callable[[], dict[str, float]]


class Records:
    """The session's journal, as the engine writes it."""

    def __init__(self, journal: Journal, keeper: PendingWrites, latch: StopLatch, spent: Spent) -> None:
        """`spent` gives the seconds per kind of time since its last call."""
        self._journal = journal
        self._keeper = keeper
        self._latch = latch
        self._spent = spent
        self._orders: dict[type[Effect], Callable[[Any], None]] = {
            JournalLabel: self._label,
            JournalVoid: self._void,
            JournalRestore: self._restore,
            JournalNote: self._note,
            JournalSetting: self._setting,
            JournalStop: self._stop,
            JournalFault: self._fault,
            RearmLatch: self._rearm,
            OpenRound: self._round,
            AskEvaluation: self._ask_evaluation,
            OpenEvaluation: self._open_evaluation,
            CloseEvaluation: self._close_evaluation,
            JournalWithdrawal: lambda _: self.write(EVALUATION, stage="withdrawn"),
            JournalEnding: lambda effect: self.write(
                EVALUATION, stage="ending", ordinal=effect.block.ordinal
            ),
        }

    def carry_out(self, effect: Effect) -> bool:
        """Carry it out if it is a journal order; returns whether it was."""
        order = self._orders.get(type(effect))
        if order is not None:
            order(effect)
        return order is not None

    def write(self, op: str, **fields: Any) -> None:
        """Write one line, now or once there is room."""
        self._keeper.write(lambda: _append(self._journal, op, fields))

    def phase(self, phase: str) -> None:
        """Journal that a lasting phase was entered, with the time spent before it."""
        self.write(PHASE, phase=phase, spent=self._spent())

    def _label(self, effect: JournalLabel) -> None:
        outcome = effect.outcome.value if effect.outcome else None
        self.write(LABEL, episode=effect.episode, outcome=outcome, by=effect.by.value)

    def _void(self, effect: JournalVoid) -> None:
        self.write(VOID, episode=effect.episode, by=effect.by.value)

    def _restore(self, effect: JournalRestore) -> None:
        self.write(RESTORE, episode=effect.episode, by=effect.by.value)

    def _note(self, effect: JournalNote) -> None:
        about = {} if effect.episode is None else {"episode": effect.episode}
        self.write(NOTE, text=effect.text, **about)

    def _setting(self, effect: JournalSetting) -> None:
        self.write(SETTING, name=effect.name, value=effect.value)

    def _stop(self, effect: JournalStop) -> None:
        if not self._latch.latched:  # otherwise this reports an earlier press, not a newer one
            self._latch.stop()
        self.write(STOP, by=effect.by.value)

    def _fault(self, effect: JournalFault) -> None:
        self.write(FAULT, reason=effect.reason)

    def _rearm(self, effect: RearmLatch) -> None:
        self._latch.rearm()
        self.write(REARM, by=effect.by.value)

    def _round(self, effect: OpenRound) -> None:
        phase = "evaluate" if effect.round.evaluation else "rollout"
        self.write(PHASE, phase=phase, **round_fields(effect.round), spent=self._spent())

    def _ask_evaluation(self, effect: AskEvaluation) -> None:
        self.write(EVALUATION, stage="asked", n=effect.episodes)

    def _open_evaluation(self, effect: OpenEvaluation) -> None:
        self._evaluation("begin", effect.block)

    def _close_evaluation(self, effect: CloseEvaluation) -> None:
        early = {"early": True, "done": effect.done} if effect.done < effect.block.n else {}
        self._evaluation("end", effect.block, **early)

    def _evaluation(self, stage: str, block: Block, **early: int) -> None:
        facts = self._facts() | early
        self.write(
            "evaluation",
            stage=stage,
            ordinal=block.ordinal,
            first=block.first,
            n=block.n,
            at=block.at,
            **facts,
        )

    def _facts(self) -> dict[str, int]:
        """Experience and policy that an evaluation measures; both are constant while it runs."""
        ledger = self._journal.ledger()
        checkpoints = ledger.lines.get(CHECKPOINT, [])
        rows, online = ledger.episodes.rows, ledger.episodes.of(EpisodeKind.ONLINE)
        return {
            "env_steps": int(rows["steps"][online & ~rows["void"]].sum()),
            "policy_version": int(checkpoints[-1].fields["policy_version"]) if checkpoints else 0,
        }


def _append(journal: Journal, op: str, fields: dict[str, Any]) -> None:
    journal.append(op, **fields)
