"""Labels, undo, void and restore: which episode is labelled. Pure; a part of `machine`.

`verdicts` decides what is refused.
"""

from __future__ import annotations

from dataclasses import replace

from datasets.episode import EpisodeKind
from datasets.journal.records import Labelled, Restored, Voided
from station.session.core.effects import Effect, EndMotion, Refuse, Write
from station.session.core.events import Label, MotionEnded, Restore, UndoLabel
from station.session.core.state import Keyed, State, Verdict
from station.session.core.verdicts import VerdictEvent, first_verdict, objection, record_of
from station.session.snapshot import Phase, Undo

Result = tuple[State, tuple[Effect, ...]]


def judge(state: State, event: VerdictEvent) -> Result:
    """One press about one episode: at most one line, none for an unknown episode."""
    if event.episode in state.running:
        return _judge_running(state, event)
    name = event.episode
    gone = {"cut_off": name in state.cut_off, "pruned": name in state.pruned}
    if sentence := objection(event, state.verdicts.get(name), **gone):
        return refuse(state, sentence)
    return _written(state, record_of(event))


def enter(state: State, event: MotionEnded) -> Result:
    """Enter a committed episode, with its verdict if it needs no operator."""
    state = _with(state, event.episode, Verdict(kind=event.kind, chunks=event.chunks))
    key = state.keyed.get(event.episode)
    state = replace(state, keyed={name: each for name, each in state.keyed.items() if name != event.episode})
    record = first_verdict(event.episode, event.ending, key, autopilot=state.autopilot)
    return (state, ()) if record is None else _written(state, record)


def shown_episode(state: State) -> str | None:
    """The episode that the screen names.

    The one moving; else one awaiting a label in this round, or anywhere once labels are asked for; else the last.
    """
    if state.running:
        return min(state.running)
    slots = state.round.slots if state.round else ()
    asking = Phase.LABEL in (state.phase, state.resume_phase) or any(
        slot.episode == state.asked for slot in slots
    )
    return state.asked if asking and state.asked else state.last


def undoable(state: State) -> Undo | None:
    """What undo takes back: the void or label of the episode on the screen.

    If it has neither, undo applies to the episode of the newest journal line about one, never to an older one.
    """
    shown = shown_episode(state)
    if shown is not None and shown in state.keyed:
        return Undo(episode=shown)  # its label is still being written: refuse, rather than undo an older one
    names = (name for name in (shown, state.newest) if name is not None)
    return next((undo for name in names if (undo := _undo_of(state, name))), None)


def _undo_of(state: State, name: str) -> Undo | None:
    verdict = state.verdicts.get(name)
    if verdict is None or not (verdict.void or verdict.outcome):
        return None
    return Undo(episode=name, void=verdict.void)


def refuse(state: State, sentence: str) -> Result:
    """Change nothing, and tell the sender why."""
    return state, (Refuse(text=sentence),)


def _judge_running(state: State, event: VerdictEvent) -> Result:
    if isinstance(event, UndoLabel | Restore):
        where = (
            "on its way to the disk: undo it in a moment" if event.episode in state.keyed else "still moving"
        )
        return refuse(state, f"{event.episode} is {where}; nothing was changed.")
    outcome = event.outcome if isinstance(event, Label) else None
    first = event.episode not in state.keyed
    keyed = {**state.keyed, event.episode: Keyed(outcome=outcome, source=event.source)}
    state = replace(state, keyed=keyed)
    return state, (EndMotion(episode=event.episode, outcome=outcome),) if first else ()


def _written(state: State, record: Labelled | Voided | Restored) -> Result:
    """The state in which this line holds, and the order to write it."""
    name = record.episode
    if isinstance(record, Labelled):
        state = _with(state, name, replace(state.verdicts[name], outcome=record.outcome))
        grace = 0.0 if state.autopilot else state.rules.grace
        in_round = state.round is not None and any(slot.episode == name for slot in state.round.slots)
        if record.outcome is not None and in_round and grace > 0.0:
            state = replace(state, grace_ends=state.now + grace)
    else:
        state = _with(state, name, replace(state.verdicts[name], void=isinstance(record, Voided)))
    return state, (Write(record=record),)


def _with(state: State, name: str, verdict: Verdict) -> State:
    newest = state.newest if verdict.kind is EpisodeKind.DEMO else name
    return replace(state, verdicts=state.verdicts.having(name, verdict), newest=newest)
