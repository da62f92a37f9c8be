"""What the operator should do now, in one sentence per situation, naming actions and never keys.

The operator chooses the keys and only a front end knows them; a pedal or a script has none. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from station.session.core.judging import shown_episode
from station.session.core.state import State
from station.session.snapshot import Phase


def instruction(state: State) -> str:
    """One sentence, naming actions as the table of keys does."""
    if state.stopped:
        return "STOPPED. Clear the workplace, re-arm the stop, then say 'start' to continue."
    if state.disk_full:
        goes_on = state.rules.simulated and not state.asked_to_pause
        then = "the session then continues by itself" if goes_on else "then end the pause"
        return f"The disk is full: free some space; {then}. Nothing is lost."
    return _BY_PHASE[state.phase](state)


def _ready(state: State) -> str:
    if state.autopilot:
        return "The automatic operator resets the scene."
    what = "evaluation episode" if state.evaluating else "episode"
    return f"Lay the scene out as shown, then say 'start' for the next {what}."


def _moving(state: State) -> str:
    if state.autopilot:
        return "Watch. The automatic operator labels; pause and stop work."
    return "Watch, and say success or failure when you see it; pause and stop work."


def _label(state: State) -> str:
    if state.pending:
        others = f" ({len(state.pending)} episodes wait)" if len(state.pending) > 1 else ""
        return f"How did {state.asked} end: success, failure, or void to leave it out{others}?"
    shown = state.verdicts.get(shown_episode(state) or "")
    if shown is not None and shown.void:
        return "The episode is void and not counted. Undo restores it; otherwise wait."
    return "Labelled. Success or failure changes it, undo takes it back, void leaves it out; otherwise wait."


def _paused(state: State) -> str:
    if state.running:
        return "Paused, the arm holds. End the pause to continue, or label the episode success or failure to end it."
    return "Paused. End the pause to continue."


def _fault(state: State) -> str:
    if not state.recoverable:
        return "Fault. Leave and end the engine, fix the problem below, and start it again."
    if state.rearmed:
        then = "" if state.rules.simulated else ": the arm moves home"
        return f"Re-armed. Check that it is safe, then say 'start' to continue{then}."
    if state.rules.simulated:
        return "Fault. Fix the problem below, then say 'start' to continue."
    return "Fault. Fix the problem below, then say 'start': it recovers the arm and moves it home."


def _update(state: State) -> str:
    where = "" if state.rules.simulated else " The arm waits at home until you say 'start'."
    return f"Learning from the last episodes; wait, or undo to take a label back.{where}"


_BY_PHASE: dict[Phase, Callable[[State], str]] = {
    Phase.PREFLIGHT: lambda _: "Checking cell, cameras and disk; wait.",
    Phase.HOMING: lambda _: "The arm moves home; keep clear. Pause and stop work.",
    Phase.READY: _ready,
    Phase.ROLLOUT: _moving,
    Phase.EVALUATE: _moving,
    Phase.PAUSED: _paused,
    Phase.LABEL: _label,
    Phase.UPDATE: _update,
    Phase.CHECKPOINT: lambda _: "Saving the learner; wait.",
    Phase.FAULT: _fault,
    Phase.FINISHED: lambda _: "Finished. Evaluate, say 'start' to continue beyond the goal, or leave.",
}
