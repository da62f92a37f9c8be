"""Evaluation blocks on request: requested, withdrawn, ended early. Pure; a part of `machine`.

`scheduler` continues a block from round to round and decides when one is due by itself.
"""

from __future__ import annotations

from dataclasses import replace

from datasets.journal.records import EvaluationAsked, EvaluationEnding, EvaluationWithdrawn
from datasets.wording import counted
from station.session.core.effects import Effect, Say, Write
from station.session.core.events import EndEvaluation, EvaluateNow, WithdrawEvaluation
from station.session.core.judging import refuse
from station.session.core.scheduler import proceed
from station.session.core.state import State
from station.session.snapshot import Phase

Result = tuple[State, tuple[Effect, ...]]


def ask(state: State, event: EvaluateNow) -> Result:
    """A block comes next."""
    if state.block is not None:
        return refuse(state, "An evaluation is running already.")
    wanted = event.episodes or state.rules.evaluation_episodes
    asked = Write(record=EvaluationAsked(n=wanted))
    said = Say(text=f"An evaluation of {counted(wanted, 'episode')} comes next.")
    return replace(state, wanted_block=wanted), (asked, said)


def withdraw(state: State, _: WithdrawEvaluation) -> Result:
    """Withdraw the requested block."""
    if state.wanted_block is None:
        words = "is running: end it early instead" if state.block else "was not asked for"
        return refuse(state, f"Nothing to withdraw: an evaluation {words}.")
    said = Say(text="The evaluation is withdrawn.")
    return replace(state, wanted_block=None), (Write(record=EvaluationWithdrawn()), said)


def end_early(state: State, _: EndEvaluation) -> Result:
    """End the block with the episodes that are finished or moving; no more begin."""
    block = state.block
    if block is None:
        return refuse(state, "No evaluation is running.")
    if state.block_ends:
        return refuse(state, "The evaluation ends already, after the episode that is under way.")
    state = replace(state, block_ends=True)
    asked: tuple[Effect, ...] = (Write(record=EvaluationEnding(ordinal=block.ordinal)),)
    if state.phase is Phase.READY:
        state, following = proceed(state)
        return state, (*asked, *following)
    if state.resume_phase is Phase.READY:
        state = replace(state, resume_phase=Phase.PREFLIGHT)
    return state, asked
