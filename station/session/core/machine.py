"""The session as a pure state machine: ``step(state, event) -> (state, effects)``.

No I/O, no clock (time arrives as Tick), no Textual, no torch. Stop is handled first in every phase.
`scheduler` decides what follows an activity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from datasets.episode import EpisodeKind
from datasets.journal.records import FaultRaised, Noted, Rearmed, SettingChanged, Stopped
from station.session.core import evaluating, pausing
from station.session.core.effects import (
    AbortMotion,
    BeginRollout,
    Brake,
    Effect,
    Quit,
    RearmLatch,
    RecoverDevices,
    RunPreflight,
    Say,
    SetLatch,
    ShowLayouts,
    Write,
)
from station.session.core.events import (
    Answer,
    Checkpointed,
    CutOff,
    DiskFull,
    EndEvaluation,
    EvaluateNow,
    Event,
    Faulted,
    Go,
    Homed,
    Label,
    Leave,
    MotionEnded,
    Note,
    OperatorEvent,
    Pause,
    PreflightDone,
    Rearm,
    Restore,
    Resume,
    SetAutopilot,
    SetSpeed,
    SpaceBack,
    Stop,
    Tick,
    UndoLabel,
    UpdateDone,
    Void,
    WithdrawEvaluation,
)
from station.session.core.judging import enter, judge, refuse
from station.session.core.scheduler import apply_speed, goal_reached, proceed
from station.session.core.state import Round, State
from station.session.core.verdicts import VerdictEvent
from station.session.snapshot import Phase

Result = tuple[State, tuple[Effect, ...]]


def begin(state: State) -> Result:
    """The first step of a fresh or a resumed session."""
    return replace(state, phase=Phase.PREFLIGHT, home=False), (RunPreflight(),)


def step(state: State, event: Event) -> Result:
    """The state after `event`, and the engine's orders, in sequence. Unknown events change nothing."""
    if isinstance(event, Answer) and event.answers != state.question and not state.leaving:
        return _answers_something_else(state)
    handler = (_WHILE_LEAVING if state.leaving else _HANDLERS).get(type(event))
    if handler is None:
        return _too_late(state, event) if state.leaving else (state, ())
    after, effects = handler(state, event)
    if _asked(after) != _asked(state):
        after = replace(after, question=state.question + 1)
    return after, effects


def starts(state: State, event: Event) -> bool:
    """Whether this event, if accepted now, may move an arm or clear something: then it must not be stale."""
    match event:
        case Answer() | SetAutopilot(on=True):
            return True
        case EvaluateNow():
            return state.phase is Phase.FINISHED
        case Label() | Void():
            # the last pending verdict sends a real arm home
            return state.phase is Phase.LABEL and not state.rules.simulated
        case _:
            return False


def _asked(state: State) -> tuple[object, ...]:
    """Everything that changes what a press would do, or what the operator must know first."""
    pause = (state.resume_phase, state.asked_to_pause, state.disk_full)
    return state.phase, state.stopped, state.recoverable, state.reason, *pause


def _answers_something_else(state: State) -> Result:
    return refuse(
        state,
        f"Not done: the session had changed before the key arrived, and is in {state.phase.value} now. "
        "Look at the screen, then press again.",
    )


# --- stop, fault, and the way back --------------------------------------------------------------------------------


def _stop(state: State, event: Stop) -> Result:
    if state.stopped:
        return state, ()
    state, effects = _into_fault(
        state, f"Stopped by the {event.source.value}.", then=" Re-arm, then continue."
    )
    return replace(state, stopped=True), (
        Brake(),
        SetLatch(),
        Write(record=Stopped(by=event.source.value)),
        *effects,
    )


def _faulted(state: State, event: Faulted) -> Result:
    if state.phase is Phase.FAULT:
        return _worse(state, event)
    state, effects = _into_fault(state, event.reason)
    return replace(state, recoverable=event.recoverable), (
        Brake(),
        Write(record=FaultRaised(reason=event.reason)),
        *effects,
    )


def _worse(state: State, event: Faulted) -> Result:
    """The first fault stays on screen, a newer one is added: a press that answers the first does not clear it."""
    known = event.reason in state.reason and event.recoverable
    if known or not state.recoverable:
        return state, ()
    reason = f"{state.reason} {event.reason}".strip()
    return replace(state, reason=reason, recoverable=event.recoverable, rearmed=False), (
        Write(record=FaultRaised(reason=event.reason)),
    )


def _into_fault(state: State, reason: str, then: str = "") -> Result:
    effects: tuple[Effect, ...] = (AbortMotion(reason=reason),) if state.running else ()
    # an episode that never began cannot be labelled; one on its way to the store is named again once committed
    last = state.last if state.last in state.verdicts else None
    state = replace(
        state, phase=Phase.FAULT, resume_phase=None, asked_to_pause=False, running=frozenset(), last=last
    )
    return replace(state, reason=reason + then, rearmed=False), effects


def _rearm(state: State, event: Rearm) -> Result:
    if not state.stopped:
        return refuse(state, "Nothing to re-arm: the stop is not latched.")
    state = replace(
        state,
        stopped=False,
        rearmed=state.recoverable,
        reason="Re-armed. Continue when the workplace is clear.",
    )
    return state, (RearmLatch(), Write(record=Rearmed(by=event.source.value)))


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
    state = replace(state, home=not state.rules.simulated)
    if state.learning or not state.open_slots:
        return proceed(state)
    return replace(state, phase=Phase.READY), (ShowLayouts(slots=state.next_slots),)


def _go(state: State, _: Go) -> Result:
    if state.phase is Phase.READY and state.round is not None:
        return _start_round(state, state.round)
    if state.phase is Phase.FAULT:
        return _leave_fault(state)
    if state.phase is Phase.FINISHED:
        return _past_the_end(state)
    return refuse(state, f"There is nothing to start in {state.phase.value}.")


def _past_the_end(state: State) -> Result:
    """Continue to a goal that a void has reopened; else beyond it, until the next start finds it reached."""
    beyond = goal_reached(state)
    words = "The goal is reached; continuing beyond it until the engine is restarted."
    state, effects = begin(replace(state, beyond_goal=beyond, reason=""))
    return state, (*((Say(text=words),) if beyond else ()), *effects)


def _start_round(state: State, current: Round) -> Result:
    slots = state.next_slots
    running = frozenset(slot.episode for slot in slots)
    state = replace(
        state,
        phase=Phase.EVALUATE if current.evaluation else Phase.ROLLOUT,
        home=False,
        reason="",
        running=running,
        keyed={name: keyed for name, keyed in state.keyed.items() if name not in running},
        last=slots[0].episode,
    )
    return state, (BeginRollout(slots=slots, batch=current.batch),)


def _leave_fault(state: State) -> Result:
    if state.stopped:
        return refuse(state, "The stop is latched: re-arm first.")
    if not state.recoverable:
        return refuse(state, "There is no recovery from this fault; end the engine and start it again.")
    state, effects = begin(replace(state, reason="", rearmed=False))
    return state, (RecoverDevices(), *effects)


def _motion_ended(state: State, event: MotionEnded) -> Result:
    if event.episode in state.verdicts:
        return state, ()
    state, effects = enter(state, event)
    state = replace(
        state,
        running=state.running - {event.episode},
        last=event.episode,
        fresh=state.fresh or event.kind is EpisodeKind.ONLINE,
    )
    if state.running or state.phase is Phase.FAULT:
        return state, effects
    if state.phase is Phase.PAUSED:
        resume_phase = state.resume_phase if state.disk_full else Phase.LABEL
        return replace(state, resume_phase=resume_phase), effects
    state, following = proceed(state)
    return state, (*effects, *following)


def _cut_off(state: State, event: CutOff) -> Result:
    cut_off = state.cut_off | {event.episode}
    # a key pressed now is meant for the cut-off episode, and must not label an earlier one
    last = None if state.last in cut_off else state.last
    state = replace(state, running=state.running - {event.episode}, cut_off=cut_off, last=last, newest=None)
    lost = f"; {event.lost} more could not be written" if event.lost else ""
    return state, (Say(text=f"{event.episode} cut off: {event.steps} steps in partial/{lost}."),)


def _judge(state: State, event: VerdictEvent) -> Result:
    state, effects = judge(state, event)
    state = replace(state, beyond_goal=state.beyond_goal and goal_reached(state))
    if state.phase is Phase.FINISHED and not goal_reached(state):
        return _reopened(state, effects)
    if state.phase is not Phase.LABEL:
        return state, effects
    state, following = proceed(state)
    return state, (*effects, *following)


def _reopened(state: State, effects: tuple[Effect, ...]) -> Result:
    """The count fell below the goal: simulated cells continue; a real arm waits for the operator."""
    if not state.rules.simulated:
        return replace(state, reason="Below the goal again: say 'start' to continue towards it."), effects
    state, following = begin(replace(state, reason=""))
    return state, (*effects, *following)


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


# --- clock, settings and remarks ----------------------------------------------------------------------------------


def _tick(state: State, event: Tick) -> Result:
    state = replace(state, now=event.now)
    if state.phase is not Phase.LABEL or state.pending:
        return state, ()
    return proceed(state)


def _evaluate_now(state: State, event: EvaluateNow) -> Result:
    finished = state.phase is Phase.FINISHED
    if finished and not _may_leave_finished(state, event):
        return refuse(
            state, "Not done: the session is finished, and only a key at its screen moves the arm again."
        )
    state, asked = evaluating.ask(state, event)
    if not finished:
        return state, asked
    state, effects = begin(replace(state, reason=""))
    return state, (*asked, *effects)


def _may_leave_finished(state: State, event: EvaluateNow) -> bool:
    """A command names no question: its sender has not looked at the arm that would move."""
    return event.answers == state.question or (event.answers is None and state.rules.simulated)


def _note(state: State, event: Note) -> Result:
    if event.episode is not None and event.episode not in state.verdicts:
        return state, (Write(record=Noted(text=f"{event.episode}: {event.text}")),)
    return state, (Write(record=Noted(text=event.text, episode=event.episode)),)


def _set_speed(state: State, event: SetSpeed) -> Result:
    if not state.rules.simulated:
        return refuse(state, "A real cell has no other clock than the real one.")
    state = replace(state, wanted_speed=event.speed)
    busy = state.running or Phase.HOMING in (state.phase, state.resume_phase)
    return (state, ()) if busy else apply_speed(state)


def _set_autopilot(state: State, event: SetAutopilot) -> Result:
    if event.on and not state.rules.simulated:
        return refuse(state, "The automatic operator labels from a simulator's truth; this cell has none.")
    grace_ends = None if event.on else state.grace_ends
    state = replace(state, autopilot=event.on, mistakes=event.mistakes, grace_ends=grace_ends)
    effects = (
        Write(record=SettingChanged(name="autopilot", value=event.on)),
        Write(record=SettingChanged(name="mistakes", value=event.mistakes)),
    )
    return state, effects


def _leave(state: State, _: Leave) -> Result:
    if state.disk_full:
        return refuse(state, "The disk is full and an episode waits in memory: free some space, then leave.")
    abort: tuple[Effect, ...] = ()
    if state.running and not state.rules.simulated:
        abort = (AbortMotion(reason="The engine was ended while the arm moved."),)
    return replace(state, leaving=True), (Brake(), *abort, Quit())


# --- leaving: ended episodes are journaled, and nothing begins --------------------------------------------------


def _too_late(state: State, event: Event) -> Result:
    if isinstance(event, OperatorEvent):
        return refuse(state, "The engine is ending: nothing was changed. Start it again for that.")
    return state, ()


def _clock_only(state: State, event: Tick) -> Result:
    return replace(state, now=event.now), ()


_HANDLERS: dict[type[Event], Callable[[State, Any], Result]] = {
    Stop: _stop,
    Rearm: _rearm,
    Faulted: _faulted,
    PreflightDone: _preflight_done,
    Homed: _homed,
    Go: _go,
    MotionEnded: _motion_ended,
    CutOff: _cut_off,
    Label: _judge,
    UndoLabel: _judge,
    Void: _judge,
    Restore: _judge,
    Pause: pausing.pause,
    Resume: pausing.resume,
    DiskFull: pausing.disk_full,
    SpaceBack: pausing.space_back,
    UpdateDone: _update_done,
    Checkpointed: _checkpointed,
    Tick: _tick,
    EvaluateNow: _evaluate_now,
    WithdrawEvaluation: evaluating.withdraw,
    EndEvaluation: evaluating.end_early,
    Note: _note,
    SetSpeed: _set_speed,
    SetAutopilot: _set_autopilot,
    Leave: _leave,
}

_WHILE_LEAVING: dict[type[Event], Callable[[State, Any], Result]] = {
    Stop: lambda state, _: (state, (Brake(),)),  # the latch holds it for the next engine
    MotionEnded: _motion_ended,
    CutOff: _cut_off,
    DiskFull: pausing.disk_full_while_leaving,
    Tick: _clock_only,
}
