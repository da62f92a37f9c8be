"""Labels, undo, void and restore: which episode is labelled, and what is refused. Pure; a part of `machine`."""

from __future__ import annotations

from dataclasses import replace

from datasets.episode import Ending, EpisodeKind, Outcome
from station.session.core.effects import (
    Effect,
    EndMotion,
    JournalLabel,
    JournalRestore,
    JournalVoid,
    Refuse,
)
from station.session.core.events import EventSource, Label, MotionEnded, Restore, UndoLabel, Void
from station.session.core.state import Keyed, State, Verdict
from station.session.snapshot import Phase, Undo

Result = tuple[State, tuple[Effect, ...]]
Judgement = Label | UndoLabel | Void | Restore


def judge(state: State, event: Judgement) -> Result:
    """One press about one episode: at most one line, none for an unknown episode."""
    if event.episode in state.running:
        return _judge_running(state, event)
    verdict = state.verdicts.get(event.episode)
    if event.episode in state.cut_off:
        return refuse(state, f"{event.episode} was cut off: it is not counted and cannot be labelled.")
    if verdict is None:
        return refuse(state, f"There is no episode {event.episode}; nothing was changed.")
    return _judge_known(state, event, verdict)


def enter(state: State, event: MotionEnded) -> Result:
    """Enter a committed episode, with its verdict if it needs no operator."""
    state = _with(state, event.episode, Verdict(kind=event.kind, chunks=event.chunks))
    return _first_verdict(state, event)


def shown_episode(state: State) -> str | None:
    """The episode that the screen names.

    The one moving; else one awaiting a label in this round, or anywhere once labels are asked for; else the last.
    """
    if state.running:
        return min(state.running)
    slots = state.round.slots if state.round else ()
    asking = Phase.LABEL in (state.phase, state.held) or any(slot.episode == state.asked for slot in slots)
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


def _first_verdict(state: State, event: MotionEnded) -> Result:
    keyed = state.keyed.get(event.episode)
    if keyed is not None:
        state = replace(state, keyed={k: v for k, v in state.keyed.items() if k != event.episode})
        if keyed.outcome is None:
            return _void(state, event.episode, keyed.source)
        return _label(state, event.episode, keyed.outcome, keyed.source)
    if event.ending is Ending.HORIZON and not state.autopilot:
        return _label(state, event.episode, Outcome.TIMEOUT, EventSource.SYSTEM)
    return state, ()


def _judge_running(state: State, event: Judgement) -> Result:
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


def _judge_known(state: State, event: Judgement, verdict: Verdict) -> Result:
    name = event.episode
    problem = _objection(event, verdict)
    if problem:
        return refuse(state, f"{name} {problem}")
    match event:
        case Label():
            return _label(state, name, event.outcome, event.source)
        case Void():
            return _void(state, name, event.source)
        case UndoLabel():
            state = _with(state, name, replace(verdict, outcome=None))
            return state, (JournalLabel(episode=name, outcome=None, by=event.source),)
        case Restore():
            state = _with(state, name, replace(verdict, void=False))
            return state, (JournalRestore(episode=name, by=event.source),)


def _objection(event: Judgement, verdict: Verdict) -> str:
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


def _label(state: State, name: str, outcome: Outcome, by: EventSource) -> Result:
    state = _with(state, name, replace(state.verdicts[name], outcome=outcome))
    grace = 0.0 if state.autopilot else state.rules.grace
    in_round = state.round is not None and any(slot.episode == name for slot in state.round.slots)
    if in_round and grace > 0.0:
        state = replace(state, settles=state.now + grace)
    return state, (JournalLabel(episode=name, outcome=outcome, by=by),)


def _void(state: State, name: str, by: EventSource) -> Result:
    state = _with(state, name, replace(state.verdicts[name], void=True))
    return state, (JournalVoid(episode=name, by=by),)


def _with(state: State, name: str, verdict: Verdict) -> State:
    newest = state.newest if verdict.kind is EpisodeKind.DEMO else name
    return replace(state, verdicts=state.verdicts.having(name, verdict), newest=newest)
