"""What the operator should know and do now, in one sentence per state, with the keys they really have."""

from __future__ import annotations

from collections.abc import Callable

from station.session.snapshot import Phase, Snapshot
from station.tui.keymap import Keymap
from station.tui.wording import about

SHORT: dict[Phase, str] = {
    Phase.PREFLIGHT: "CHECKING",
    Phase.HOMING: "HOMING",
    Phase.READY: "READY",
    Phase.ROLLOUT: "MOVING",
    Phase.PAUSED: "PAUSED",
    Phase.LABEL: "LABEL",
    Phase.UPDATE: "LEARNING",
    Phase.EVALUATE: "EVALUATING",
    Phase.CHECKPOINT: "SAVING",
    Phase.FAULT: "FAULT",
    Phase.FINISHED: "FINISHED",
}
"""One word per state for the badge."""


def badge(snapshot: Snapshot) -> str:
    """The state in one word; a latched stop comes before everything."""
    if snapshot.stopped:
        return "STOPPED"
    return "RE-ARMED" if snapshot.rearmed else SHORT[snapshot.phase]


def sentence(snapshot: Snapshot, keys: Keymap) -> str:
    """What happens and what to do now."""
    if snapshot.stopped:
        if snapshot.simulated or not snapshot.recoverable:
            return (
                f"The arm will not move. When all is safe: {keys.show('rearm')} re-arms the stop, "
                f"then {keys.show('go')} continues."
            )
        return (
            f"Halted. When all is safe: {keys.show('rearm')} re-arms the stop, "
            f"then press {keys.show('go')}: the arm moves home."
        )
    return _SENTENCES[snapshot.phase](snapshot, keys)


def _preflight(snapshot: Snapshot, keys: Keymap) -> str:
    if snapshot.reason:
        then = "" if snapshot.simulated else ": the arm moves home"
        return f"Not ready to start: fix this, then press {keys.show('go')}{then}."
    if snapshot.simulated:
        return "Checking arm, cameras and disk. Nothing to do."
    return "Checking arm, cameras and disk; then the arm moves home by itself. Keep clear."


def _homing(snapshot: Snapshot, keys: Keymap) -> str:
    return f"The arm moves home. Keep your hands out; {keys.show('stop')} stops it."


def _ready(snapshot: Snapshot, keys: Keymap) -> str:
    if snapshot.autopilot:
        return (
            f"The automatic operator starts the next episode; {keys.show('autopilot')} takes the keys back."
        )
    what = "evaluation episode" if snapshot.evaluating else "episode"
    if snapshot.simulated:
        return f"The next {what} is ready. Press {keys.show('go')}: the arm moves."
    return f"Lay the scene out as the blended image shows, step back, press {keys.show('go')}: it moves."


def _rollout(snapshot: Snapshot, keys: Keymap) -> str:
    if snapshot.autopilot:
        return f"The automatic operator labels; {keys.show('autopilot')} takes the keys back."
    return (
        f"Watch the arm: {keys.show('success')} when it has succeeded, {keys.show('failure')} when it has failed; "
        f"{keys.show('pause')} pauses."
    )


def _paused(snapshot: Snapshot, keys: Keymap) -> str:
    if snapshot.disk_full:
        if snapshot.simulated and not snapshot.asked_to_pause:
            return "The disk is full: free some space; it then continues by itself. Nothing is lost."
        return f"The disk is full: free some space, then {keys.show('pause')} continues. Nothing is lost."
    goes_on = f"Paused, the arm holds. {keys.show('pause')} continues"
    if snapshot.resume_phase in (Phase.ROLLOUT, Phase.EVALUATE):
        return f"{goes_on} with the episode; {keys.show('void')} drops it."
    if snapshot.resume_phase is Phase.READY:
        return f"{goes_on} to READY; nothing moves before {keys.show('go')}."
    if snapshot.resume_phase is Phase.HOMING and not snapshot.simulated:
        return f"{goes_on}: the arm moves home. Keep clear."
    return f"{goes_on}." if snapshot.simulated else f"{goes_on}; the arm may then move home. Keep clear."


def _label(snapshot: Snapshot, keys: Keymap) -> str:
    s, f, v = keys.show("success"), keys.show("failure"), keys.show("void")
    if snapshot.void:
        return f"{snapshot.episode or 'It'} is void and not counted. {v} or {keys.show('undo')} restores it."
    if snapshot.label is None:
        return f"Did {snapshot.episode or 'it'} succeed? {s} success, {f} failure, {v} to leave it out."
    left = "" if snapshot.grace_left is None else f" {snapshot.grace_left:.1f} s left to change it:"
    return f"Labelled {snapshot.label}.{left} {s}, {f}, {v} void, {keys.show('undo')} undo."


def _update(snapshot: Snapshot, keys: Keymap) -> str:
    live = snapshot.steering
    if live.reading:
        return f"Loading past episodes before the policy learns, {live.reading} to go. Nothing to do."
    left = (live.planned - live.done) / live.rate if live.rate > 0 and live.planned else None
    if snapshot.simulated:
        return f"The policy learns from this, {about(left)}. The arm is parked."
    return f"Set up the next scene, {about(left)}; the arm waits at home."


def _evaluate(snapshot: Snapshot, keys: Keymap) -> str:
    done = f"Evaluation, {snapshot.block_done} of {snapshot.block_size} done."
    if snapshot.autopilot:
        return f"{done} The automatic operator labels."
    return f"{done} {keys.show('success')} when it has succeeded, {keys.show('failure')} when it failed."


def _checkpoint(snapshot: Snapshot, keys: Keymap) -> str:
    return "Writing the learner to disk. Nothing to do."


def _fault(snapshot: Snapshot, keys: Keymap) -> str:
    if not snapshot.recoverable:
        return f"No recovery from this: {keys.show('leave')} ends the engine; fix it and start again."
    if snapshot.rearmed:
        then = "it continues" if snapshot.simulated else "the arm moves home"
        return f"Nothing moves yet. Check that it is safe, then press {keys.show('go')}: {then}."
    if snapshot.simulated:
        return f"Motion is halted. Fix the problem below, then press {keys.show('go')}."
    return f"Fix the problem below, then press {keys.show('go')}: it recovers the arm and moves it home."


def _finished(snapshot: Snapshot, keys: Keymap) -> str:
    go = keys.show("go")
    if snapshot.goal_open:
        moves = "" if snapshot.simulated else ": the arm moves home first"
        return f"Below the goal again. {go} continues towards it{moves}."
    return (
        f"The goal is reached. {keys.show('points')} shows the gain, "
        f"{go} continues beyond it, {keys.show('leave')} leaves."
    )


_SENTENCES: dict[Phase, Callable[[Snapshot, Keymap], str]] = {
    Phase.PREFLIGHT: _preflight,
    Phase.HOMING: _homing,
    Phase.READY: _ready,
    Phase.ROLLOUT: _rollout,
    Phase.PAUSED: _paused,
    Phase.LABEL: _label,
    Phase.UPDATE: _update,
    Phase.EVALUATE: _evaluate,
    Phase.CHECKPOINT: _checkpoint,
    Phase.FAULT: _fault,
    Phase.FINISHED: _finished,
}
