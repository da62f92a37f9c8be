"""Pauses, and a full disk, which pauses by itself: how a session is held and continues. Pure; a part of `machine`.

A fault or a stop is more than a pause: only `machine` leads back from one.
"""

from __future__ import annotations

from dataclasses import replace

from station.session.core.effects import BeginHoming, Brake, Effect, ResumeMotion, Say
from station.session.core.events import DiskFull, EventSource, Pause, Resume, SpaceBack
from station.session.core.judging import refuse
from station.session.core.scheduler import proceed
from station.session.core.state import State
from station.session.snapshot import Phase

Result = tuple[State, tuple[Effect, ...]]

MOVING = frozenset({Phase.ROLLOUT, Phase.EVALUATE})
"""Phases in which an episode runs."""
_PAUSABLE = MOVING | {Phase.HOMING, Phase.READY, Phase.LABEL, Phase.UPDATE, Phase.CHECKPOINT}


def pause(state: State, event: Pause) -> Result:
    """Brake and wait; a pause of the session's own becomes the operator's."""
    if state.phase is Phase.PAUSED and not state.asked_to_pause:
        return replace(state, asked_to_pause=True), (Say(text="The pause now lasts until you end it."),)
    if state.phase is Phase.PAUSED:
        return refuse(
            state,
            "Paused already: the arm holds, nothing was started. Check that it is safe, then press again to continue.",
        )
    if state.phase not in _PAUSABLE:
        return refuse(state, f"Nothing to pause: the session is in {state.phase.value}.")
    moves = state.phase in MOVING or state.phase is Phase.HOMING
    reason = "Paused because nobody was looking at a screen." if event.source is EventSource.SYSTEM else ""
    state = replace(state, phase=Phase.PAUSED, resume_phase=state.phase, reason=reason, asked_to_pause=True)
    return state, (Brake(),) if moves else ()


def resume(state: State, _: Resume) -> Result:
    """The operator ends the pause."""
    if state.phase is not Phase.PAUSED:
        return refuse(state, f"There is no pause to end: the session is in {state.phase.value}.")
    if state.disk_full:
        return refuse(state, "The disk is still full: free some space first.")
    return _go_on(state)


def _go_on(state: State) -> Result:
    phase = state.resume_phase or Phase.PREFLIGHT
    state = replace(state, phase=phase, resume_phase=None, reason="", asked_to_pause=False)
    if phase in MOVING and state.running:
        return state, (ResumeMotion(),)
    if phase is Phase.HOMING:
        return state, (BeginHoming(slots=state.homing_slots),)
    # READY waits; UPDATE and CHECKPOINT resume their activity
    if phase in (Phase.READY, Phase.UPDATE, Phase.CHECKPOINT):
        return state, ()
    return proceed(state)


def disk_full(state: State, event: DiskFull) -> Result:
    """The disk refused a write: brake, and wait for space."""
    state = replace(state, disk_full=True)
    if state.phase is Phase.FAULT:
        return state, ()
    if state.phase is Phase.PAUSED:
        return replace(state, reason=event.reason), ()
    brake: tuple[Effect, ...] = (Brake(),) if state.phase in MOVING or state.phase is Phase.HOMING else ()
    return replace(state, phase=Phase.PAUSED, resume_phase=state.phase, reason=event.reason), brake


def space_back(state: State, _: SpaceBack) -> Result:
    """What was refused is on disk now."""
    state = replace(state, disk_full=False)
    if state.phase is not Phase.PAUSED:
        return state, ()
    # whoever frees disk space may not be watching the arm; and only the operator ends a pause they asked for
    if state.asked_to_pause or not state.rules.simulated:
        return replace(state, reason="Space is back: end the pause to continue."), ()
    return _go_on(state)


def disk_full_while_leaving(state: State, event: DiskFull) -> Result:
    """What cannot be written would be lost with the engine: stay, and report why."""
    reason = f"{event.reason} The engine did not end: free some space, then leave."
    return disk_full(replace(state, leaving=False), DiskFull(reason=reason))
