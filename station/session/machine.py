"""The session as a pure state machine: ``step(state, event) -> (state, effects)``.

No I/O, no clock of its own (time comes as Tick), no Textual, no torch. Stop is looked at first, whatever the phase.
What comes after an activity stands in `agenda`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from datasets.episode import Ending, EpisodeKind, Outcome
from station.session.agenda import apply_speed, proceed
from station.session.effects import (
    AbortMotion,
    BeginHoming,
    BeginRollout,
    Brake,
    Effect,
    EndMotion,
    JournalFault,
    JournalLabel,
    JournalNote,
    JournalRestore,
    JournalSetting,
    JournalStop,
    JournalVoid,
    Quit,
    RearmLatch,
    ResumeMotion,
    RunPreflight,
    Say,
    ShowLayouts,
)
from station.session.events import (
    Checkpointed,
    DiskFull,
    EvaluateNow,
    Event,
    Faulted,
    Go,
    Homed,
    Label,
    Leave,
    MotionEnded,
    Note,
    Pause,
    PreflightDone,
    Rearm,
    Restore,
    SetAutopilot,
    SetSpeed,
    Source,
    SpaceBack,
    Stop,
    Tick,
    UndoLabel,
    UpdateDone,
    Void,
)
from station.session.snapshot import Phase
from station.session.state import Keyed, Round, State, Verdict

Result = tuple[State, tuple[Effect, ...]]

MOVING = frozenset({Phase.ROLLOUT, Phase.EVALUATE})
_PAUSABLE = MOVING | {Phase.HOMING, Phase.READY, Phase.LABEL, Phase.UPDATE}


def begin(state: State) -> Result:
    """The first step of a fresh or a resumed session."""
    return replace(state, phase=Phase.PREFLIGHT), (RunPreflight(),)


def step(state: State, event: Event) -> Result:
    """The state after `event`, and what the engine has to do, in order. Unknown events change nothing."""
    handler = _HANDLERS.get(type(event))
    return handler(state, event) if handler else (state, ())


# --- stop, fault, and the way back --------------------------------------------------------------------------------


def _stop(state: State, event: Stop) -> Result:
    if state.stopped:
        return state, ()
    reason = f"Stopped by the {event.source.value}. Re-arm, then go on."
    state, effects = _into_fault(state, reason)
    return replace(state, stopped=True), (Brake(), JournalStop(by=event.source), *effects)


def _faulted(state: State, event: Faulted) -> Result:
    if state.phase is Phase.FAULT:
        return state, ()
    state, effects = _into_fault(state, event.reason)
    return replace(state, recoverable=event.recoverable), (
        Brake(),
        JournalFault(reason=event.reason),
        *effects,
    )


def _into_fault(state: State, reason: str) -> Result:
    effects: tuple[Effect, ...] = (AbortMotion(reason=reason),) if state.running else ()
    return replace(state, phase=Phase.FAULT, held=None, reason=reason, running=frozenset()), effects


def _rearm(state: State, event: Rearm) -> Result:
    if not state.stopped:
        return _refuse(state, "Nothing to re-arm: the stop is not latched.")
    state = replace(state, stopped=False, reason="Re-armed. Go on when the workplace is clear.")
    return state, (RearmLatch(by=event.source),)


def _preflight_done(state: State, event: PreflightDone) -> Result:
    if state.phase is not Phase.PREFLIGHT:
        return state, ()
    if event.problems:
        return _faulted(state, Faulted(reason=" ".join(event.problems)))
    return proceed(state)


# --- the round ----------------------------------------------------------------------------------------------------


def _homed(state: State, _: Homed) -> Result:
    if state.phase is not Phase.HOMING:
        return state, ()
    return replace(state, phase=Phase.READY), (ShowLayouts(slots=state.next_slots),)


def _go(state: State, _: Go) -> Result:
    if state.phase is Phase.READY and state.round is not None:
        return _start_round(state, state.round)
    if state.phase is Phase.FAULT:
        return _leave_fault(state)
    if state.phase is Phase.FINISHED:
        rules = replace(state.rules, episodes=0, chunks=0)
        return begin(replace(state, rules=rules, reason=""))
    return _refuse(state, f"Nothing waits for a reset in {state.phase.value}.")


def _start_round(state: State, current: Round) -> Result:
    slots = state.next_slots
    running = frozenset(slot.episode for slot in slots)
    state = replace(
        state,
        phase=Phase.EVALUATE if current.evaluation else Phase.ROLLOUT,
        reason="",
        running=running,
        keyed={name: keyed for name, keyed in state.keyed.items() if name not in running},
        last=slots[0].episode,
    )
    return state, (BeginRollout(slots=slots, batch=current.batch),)


def _leave_fault(state: State) -> Result:
    if state.stopped:
        return _refuse(state, "The stop is latched: re-arm first.")
    if not state.recoverable:
        return _refuse(state, "This fault cannot be left; end the engine and start it again.")
    return begin(replace(state, reason=""))


def _motion_ended(state: State, event: MotionEnded) -> Result:
    if event.episode in state.verdicts:
        return state, ()
    state = _with(state, event.episode, Verdict(kind=event.kind, chunks=event.chunks))
    state = replace(
        state,
        running=state.running - {event.episode},
        last=event.episode,
        fresh=state.fresh or event.kind is EpisodeKind.ONLINE,
    )
    state, effects = _first_verdict(state, event)
    if state.running or state.phase is Phase.FAULT:
        return state, effects
    if state.phase is Phase.PAUSED:
        held = state.held if state.disk_full else Phase.LABEL
        return replace(state, held=held), effects
    state, following = proceed(state)
    return state, (*effects, *following)


def _first_verdict(state: State, event: MotionEnded) -> Result:
    keyed = state.keyed.get(event.episode)
    if keyed is not None:
        state = replace(state, keyed={k: v for k, v in state.keyed.items() if k != event.episode})
        if keyed.outcome is None:
            return _void(state, event.episode, keyed.source, "")
        return _label(state, event.episode, keyed.outcome, keyed.source)
    if event.ending is Ending.STOPPED:
        return _void(state, event.episode, Source.SYSTEM, event.reason)
    if event.ending is Ending.HORIZON and not state.autopilot:
        return _label(state, event.episode, Outcome.TIMEOUT, Source.SYSTEM)
    return state, ()


def _update_done(state: State, event: UpdateDone) -> Result:
    if state.updates_done >= state.updates_begun:
        return state, ()
    state = replace(
        state, updates_done=state.updates_begun, unsaved=True, policy_version=event.policy_version
    )
    return proceed(state) if state.phase is Phase.UPDATE else (state, ())


def _checkpointed(state: State, _: Checkpointed) -> Result:
    state = replace(state, unsaved=False)
    return proceed(state) if state.phase is Phase.CHECKPOINT else (state, ())


# --- labels -------------------------------------------------------------------------------------------------------


def _judge(state: State, event: Label | UndoLabel | Void | Restore) -> Result:
    if event.episode in state.running:
        return _judge_running(state, event)
    verdict = state.verdicts.get(event.episode)
    if verdict is None:
        return _refuse(state, f"There is no episode {event.episode} to judge; nothing was changed.")
    state, effects = _judge_known(state, event, verdict)
    if state.phase is not Phase.LABEL:
        return state, effects
    state, following = proceed(state)
    return state, (*effects, *following)


def _judge_running(state: State, event: Label | UndoLabel | Void | Restore) -> Result:
    if isinstance(event, UndoLabel | Restore):
        return _refuse(state, f"{event.episode} is still moving and has no label yet.")
    outcome = event.outcome if isinstance(event, Label) else None
    first = event.episode not in state.keyed
    keyed = {**state.keyed, event.episode: Keyed(outcome=outcome, source=event.source)}
    state = replace(state, keyed=keyed)
    return state, (EndMotion(episode=event.episode, outcome=outcome),) if first else ()


def _judge_known(state: State, event: Label | UndoLabel | Void | Restore, verdict: Verdict) -> Result:
    name = event.episode
    problem = _objection(event, verdict)
    if problem:
        return _refuse(state, f"{name} {problem}")
    match event:
        case Label():
            return _label(state, name, event.outcome, event.source)
        case Void():
            return _void(state, name, event.source, "")
        case UndoLabel():
            state = _with(state, name, replace(verdict, outcome=None))
            return state, (JournalLabel(episode=name, outcome=None, by=event.source),)
        case Restore():
            state = _with(state, name, replace(verdict, void=False))
            return state, (JournalRestore(episode=name, by=event.source),)


def _objection(event: Label | UndoLabel | Void | Restore, verdict: Verdict) -> str:
    match event:
        case Label() if verdict.void:
            return "is void; restore it before you label it."
        case UndoLabel() if verdict.outcome is None:
            return "has no label to take back."
        case Void() if verdict.void:
            return "is void already."
        case Restore() if not verdict.void:
            return "is not void."
        case _:
            return ""


def _label(state: State, name: str, outcome: Outcome, by: Source) -> Result:
    state = _with(state, name, replace(state.verdicts[name], outcome=outcome))
    grace = 0.0 if state.autopilot else state.rules.grace
    in_round = state.round is not None and any(slot.episode == name for slot in state.round.slots)
    if in_round and grace > 0.0:
        state = replace(state, settles=state.now + grace)
    return state, (JournalLabel(episode=name, outcome=outcome, by=by),)


def _void(state: State, name: str, by: Source, reason: str) -> Result:
    state = _with(state, name, replace(state.verdicts[name], void=True))
    return state, (JournalVoid(episode=name, by=by, reason=reason),)


def _with(state: State, name: str, verdict: Verdict) -> State:
    verdicts: Mapping[str, Verdict] = {**state.verdicts, name: verdict}
    return replace(state, verdicts=verdicts)


# --- pause, disk, clock -------------------------------------------------------------------------------------------


def _pause(state: State, _: Pause) -> Result:
    if state.phase is Phase.PAUSED:
        if state.disk_full:
            return _refuse(state, "The disk is still full; the session goes on by itself when space is back.")
        return _go_on(state)
    if state.phase not in _PAUSABLE:
        return _refuse(state, f"Nothing to pause in {state.phase.value}.")
    moves = state.phase in MOVING or state.phase is Phase.HOMING
    return replace(state, phase=Phase.PAUSED, held=state.phase, reason=""), (Brake(),) if moves else ()


def _go_on(state: State) -> Result:
    held = state.held or Phase.PREFLIGHT
    state = replace(state, phase=held, held=None, reason="")
    if held in MOVING and state.running:
        return state, (ResumeMotion(),)
    if held is Phase.HOMING:
        return state, (BeginHoming(slots=state.next_slots),)
    # READY waits, UPDATE and CHECKPOINT have an activity that goes on where it was
    if held in (Phase.READY, Phase.UPDATE, Phase.CHECKPOINT):
        return state, ()
    return proceed(state)


def _disk_full(state: State, event: DiskFull) -> Result:
    state = replace(state, disk_full=True)
    if state.phase in (Phase.FAULT, Phase.PAUSED):
        return state, ()
    brake: tuple[Effect, ...] = (Brake(),) if state.phase in MOVING or state.phase is Phase.HOMING else ()
    return replace(state, phase=Phase.PAUSED, held=state.phase, reason=event.reason), brake


def _space_back(state: State, _: SpaceBack) -> Result:
    state = replace(state, disk_full=False)
    return _go_on(state) if state.phase is Phase.PAUSED else (state, ())


def _tick(state: State, event: Tick) -> Result:
    state = replace(state, now=event.now)
    if state.phase is not Phase.LABEL or state.pending:
        return state, ()
    return proceed(state)


# --- settings and remarks -----------------------------------------------------------------------------------------


def _evaluate_now(state: State, event: EvaluateNow) -> Result:
    if state.block is not None:
        return _refuse(state, "An evaluation is running already.")
    wanted = event.episodes or state.rules.evaluation_episodes
    state = replace(state, wanted_block=wanted)
    if state.phase is Phase.FINISHED:
        return begin(state)
    return state, (Say(text=f"An evaluation of {wanted} episodes comes next."),)


def _note(state: State, event: Note) -> Result:
    if event.episode is not None and event.episode not in state.verdicts:
        return state, (JournalNote(text=f"{event.episode}: {event.text}", episode=None),)
    return state, (JournalNote(text=event.text, episode=event.episode),)


def _set_speed(state: State, event: SetSpeed) -> Result:
    state = replace(state, wanted_speed=event.speed)
    busy = state.running or Phase.HOMING in (state.phase, state.held)
    return (state, ()) if busy else apply_speed(state)


def _set_autopilot(state: State, event: SetAutopilot) -> Result:
    if event.on and not state.rules.replayable:
        return _refuse(state, "The automatic operator labels from a simulator's truth; this cell has none.")
    settles = None if event.on else state.settles
    state = replace(state, autopilot=event.on, mistakes=event.mistakes, settles=settles)
    effects = (
        JournalSetting(name="autopilot", value=event.on),
        JournalSetting(name="mistakes", value=event.mistakes),
    )
    return state, effects


def _leave(state: State, _: Leave) -> Result:
    if state.disk_full:
        return _refuse(state, "The disk is full and an episode waits in memory: free some space, then leave.")
    abort: tuple[Effect, ...] = ()
    if state.running and not state.rules.replayable:
        abort = (AbortMotion(reason="The engine was ended while the arm moved."),)
    return replace(state, leaving=True), (Brake(), *abort, Quit())


def _refuse(state: State, sentence: str) -> Result:
    return state, (Say(text=sentence),)


_HANDLERS: dict[type[Event], Callable[[State, Any], Result]] = {
    Stop: _stop,
    Rearm: _rearm,
    Faulted: _faulted,
    PreflightDone: _preflight_done,
    Homed: _homed,
    Go: _go,
    MotionEnded: _motion_ended,
    Label: _judge,
    UndoLabel: _judge,
    Void: _judge,
    Restore: _judge,
    Pause: _pause,
    DiskFull: _disk_full,
    SpaceBack: _space_back,
    UpdateDone: _update_done,
    Checkpointed: _checkpointed,
    Tick: _tick,
    EvaluateNow: _evaluate_now,
    Note: _note,
    SetSpeed: _set_speed,
    SetAutopilot: _set_autopilot,
    Leave: _leave,
}
