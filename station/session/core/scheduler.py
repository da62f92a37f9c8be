"""What comes next, computed from the facts of a state. Pure; the same for a fresh and a resumed session."""

from __future__ import annotations

from dataclasses import replace

from datasets.episode import EpisodeKind
from datasets.journal.records import SettingChanged
from station.session.core.effects import (
    ApplySpeed,
    BeginHoming,
    BeginUpdate,
    CloseEvaluation,
    Effect,
    OpenEvaluation,
    OpenRound,
    Quit,
    SaveCheckpoint,
    ShowLayouts,
    Write,
)
from station.session.core.state import Block, Round, Slot, State, episode_id
from station.session.snapshot import Phase

Result = tuple[State, tuple[Effect, ...]]


def proceed(state: State) -> Result:
    """Enter the next phase. Call when an activity is over, never during motion."""
    if state.stopped or state.leaving:
        return state, ()
    if state.disk_full:
        return replace(state, phase=Phase.PAUSED, resume_phase=Phase.PREFLIGHT), ()
    if state.learning:
        home_first = _would_go_home_later(state)
        return _home(state) if home_first else _update(state, state.updates_begun - 1)
    if state.unsaved:
        return replace(state, phase=Phase.CHECKPOINT, reason=""), (SaveCheckpoint(),)
    if state.open_slots:
        return _home(state)
    return _after_round(state)


def _after_round(state: State) -> Result:
    """Every motion of the round is over: labels, learning, then the next round."""
    if _judging(state):
        return replace(state, phase=Phase.LABEL, reason=""), ()
    state = replace(state, grace_ends=None)
    if state.fresh:
        if _would_go_home_later(state):
            return _home(state)
        begun = replace(state, fresh=False, updates_begun=state.updates_begun + 1)
        return _update(begun, state.updates_begun)
    return _next_round(state)


def _would_go_home_later(state: State) -> bool:
    """A real arm waits at home while the policy learns, so it never starts while someone sets up the scene."""
    return not state.rules.simulated and not state.home and state.round is not None


def _judging(state: State) -> bool:
    """Whether an update block or an evaluation count has to wait for labels."""
    if not state.fresh and state.block is None:
        return False
    return bool(state.pending) or (state.grace_ends is not None and state.now < state.grace_ends)


def goal_reached(state: State) -> bool:
    """Whether enough online episodes count."""
    rules = state.rules
    if not rules.episodes and not rules.chunks:
        return False
    counted = state.verdicts.counted
    enough_chunks = bool(rules.chunks) and counted.chunks >= rules.chunks
    return enough_chunks or (bool(rules.episodes) and counted.episodes >= rules.episodes)


def _update(state: State, ordinal: int) -> Result:
    return replace(state, phase=Phase.UPDATE, reason=""), (BeginUpdate(ordinal=ordinal),)


def _next_round(state: State) -> Result:
    closing: tuple[Effect, ...] = ()
    if state.block is not None and (
        state.block_ends or state.next_evaluation >= state.block.first + state.block.n
    ):
        closing = (CloseEvaluation(block=state.block, done=_run_of(state, state.block)),)
        state = replace(state, block=None, block_ends=False)
    if state.only_evaluate and state.block is None and (closing or state.wanted_block is None):
        return replace(state, phase=Phase.FINISHED, leaving=True), (*closing, Quit())
    if state.block is not None:
        return _open_round(state, _evaluation_round(state, state.block))
    wanted = _wanted_block(state)
    if wanted:
        block = Block(ordinal=state.blocks_begun, first=state.next_evaluation, n=wanted, at=state.next_online)
        state = replace(state, block=block, newest_block=block, wanted_block=None)
        state, effects = _open_round(state, _evaluation_round(state, block))
        return state, (*closing, OpenEvaluation(block=block), *effects)
    if goal_reached(state) and not state.beyond_goal:
        return replace(state, phase=Phase.FINISHED, round=None, reason="The goal is reached."), closing
    state, effects = _open_round(state, _online_round(state))
    return state, (*closing, *effects)


def _run_of(state: State, block: Block) -> int:
    """Finished episodes of a block; cut-off ones included."""
    ordinals = range(block.first, min(state.next_evaluation, block.first + block.n))
    names = (episode_id(EpisodeKind.EVALUATION, ordinal) for ordinal in ordinals)
    return sum(name in state.verdicts or name in state.cut_off for name in names)


def _wanted_block(state: State) -> int:
    """Episodes of the evaluation block now due; 0 for none."""
    rules = state.rules
    if state.wanted_block is not None:
        return state.wanted_block
    if goal_reached(state) and not state.beyond_goal:
        newest, wanted = state.newest_block, rules.final_evaluation_episodes
        known = newest is not None and newest.at == state.next_online and newest.n >= wanted
        return 0 if known else wanted
    every, at = rules.evaluation_every, state.newest_block.at if state.newest_block else 0
    return rules.evaluation_episodes if every and state.next_online // every > at // every else 0


def _online_round(state: State) -> Round:
    size, rules = state.rules.cells, state.rules
    if rules.episodes and not state.beyond_goal:
        size = min(size, rules.episodes - state.verdicts.counted.episodes)
    slots = tuple(
        Slot(
            episode=episode_id(EpisodeKind.ONLINE, ordinal),
            kind=EpisodeKind.ONLINE,
            ordinal=ordinal,
            layout=ordinal,
            row=row,
        )
        for row, ordinal in enumerate(range(state.next_online, state.next_online + size))
    )
    return Round(slots=slots, batch=state.rules.cells)


def _evaluation_round(state: State, block: Block) -> Round:
    first = state.next_evaluation
    size = min(state.rules.cells, block.first + block.n - first)
    slots = tuple(
        Slot(
            episode=episode_id(EpisodeKind.EVALUATION, ordinal),
            kind=EpisodeKind.EVALUATION,
            ordinal=ordinal,
            layout=ordinal - block.first,
            row=row,
        )
        for row, ordinal in enumerate(range(first, first + size))
    )
    return Round(slots=slots, batch=state.rules.cells)


def _open_round(state: State, opened: Round) -> Result:
    size = len(opened.slots)
    state = replace(
        state,
        round=opened,
        next_online=state.next_online + (0 if opened.evaluation else size),
        next_evaluation=state.next_evaluation + (size if opened.evaluation else 0),
    )
    state, effects = _home(state)
    return state, (OpenRound(round=opened), *effects)


def _home(state: State) -> Result:
    state, speed = apply_speed(state)
    if state.home:
        return replace(state, phase=Phase.READY, reason=""), (*speed, ShowLayouts(slots=state.next_slots))
    return replace(state, phase=Phase.HOMING, reason=""), (*speed, BeginHoming(slots=state.homing_slots))


def apply_speed(state: State) -> Result:
    """Apply a requested clock speed; between episodes only."""
    wanted = state.wanted_speed
    if wanted is None or wanted is state.speed:
        return replace(state, wanted_speed=None), ()
    effects = (ApplySpeed(speed=wanted), Write(record=SettingChanged(name="speed", value=wanted.value)))
    return replace(state, speed=wanted, wanted_speed=None), effects
