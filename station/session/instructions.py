"""What the operator should do now, in one sentence per situation. Pure; knows default keys only by their letters."""

from __future__ import annotations

from collections.abc import Callable

from station.session.snapshot import Phase
from station.session.state import State


def instruction(state: State) -> str:
    """One sentence, naming the keys."""
    if state.stopped:
        return "STOPPED. Clear the workplace, re-arm the stop, then press r to go on."
    if state.disk_full:
        return "The disk is full: free some space; the session goes on by itself and nothing is lost."
    return _BY_PHASE[state.phase](state)


def _ready(state: State) -> str:
    if state.autopilot:
        return "The automatic operator resets the scene."
    what = "evaluation episode" if state.evaluating else "episode"
    return f"Lay the scene out as shown, then press r to start the next {what}."


def _moving(state: State) -> str:
    if state.autopilot:
        return "Watch. The automatic operator labels; space pauses, x stops."
    return "Watch. Press s on success, f on failure, space to pause, x to stop."


def _label(state: State) -> str:
    if state.pending:
        others = f" ({len(state.pending)} episodes wait)" if len(state.pending) > 1 else ""
        return f"How did {state.pending[0]} end? Press s for success, f for failure, v to void it{others}."
    return "Labelled. Press s or f to change it, u to take it back, v to void it; otherwise wait."


def _paused(state: State) -> str:
    if state.running:
        return "Paused, the arm holds. Press space to go on, s or f to end and label the episode, x to stop."
    return "Paused. Press space to go on."


def _fault(state: State) -> str:
    if not state.recoverable:
        return "Fault. End the engine with q, put right what is said below, and start it again."
    return "Fault. Put right what is said below, then press r to go on."


_BY_PHASE: dict[Phase, Callable[[State], str]] = {
    Phase.PREFLIGHT: lambda _: "Checking cell, cameras and disk; wait.",
    Phase.HOMING: lambda _: "The arm moves home; keep clear. Space pauses, x stops.",
    Phase.READY: _ready,
    Phase.ROLLOUT: _moving,
    Phase.EVALUATE: _moving,
    Phase.PAUSED: _paused,
    Phase.LABEL: _label,
    Phase.UPDATE: lambda _: "Learning from the last episodes; wait, or press u to take a label back.",
    Phase.CHECKPOINT: lambda _: "Saving the learner; wait.",
    Phase.FAULT: _fault,
    Phase.FINISHED: lambda _: "Finished. Press e to evaluate, r to go on without a goal, q to leave.",
}
