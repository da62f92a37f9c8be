"""The facts of a session from its folder: what a new engine needs to resume where the last one was killed.

Adopts episodes that were committed but not yet journaled, and reads the machine's state from the journal. It does not
load the learner and starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Ending, EpisodeKind, Outcome
from datasets.journal.journal import EpisodeStatus, Journal, Ledger, Line
from datasets.journal.ledger import Episodes
from datasets.journal.records import (
    AboutEpisode,
    EpisodeCommitted,
    EpisodeCutOff,
    Evaluation,
    EvaluationAsked,
    EvaluationBegun,
    EvaluationEnded,
    EvaluationEnding,
    EvaluationWithdrawn,
    Labelled,
    PhaseEntered,
    Restored,
    RoundOpened,
    SettingChanged,
    UpdateBegun,
    Voided,
)
from datasets.store import EpisodeStore, unjournaled
from station.session.core.events import EventSource
from station.session.core.state import (
    Block,
    Counted,
    Keyed,
    Round,
    Rules,
    Slot,
    State,
    Verdict,
    Verdicts,
    episode_id,
)
from station.session.core.verdicts import first_verdict
from station.session.engine.autopilot import Truth
from station.session.engine.partial import discard, leftovers, read

_KILLED = "The engine was killed while the arm moved."


def adopt(store: EpisodeStore, journal: Journal) -> list[str]:
    """Journal episodes committed before the last engine was killed; returns their ids. Raises DiskFullError."""
    adopted = []
    for name in unjournaled(store, journal.ledger()):
        header = store.header(name)
        steps, chunks = store.size(name)
        block = header.source.get("block")
        journal.append(EpisodeCommitted.of_header(header, steps=steps, chunks=chunks, block=block))
        adopted.append(name)
    return adopted


def enter_partials(root: Path, journal: Journal, store: EpisodeStore) -> list[str]:
    """Journal episodes that a killed engine left in ``partial/``; returns sentences for the log. Raises DiskFullError.

    An episode in the store but not in the journal was not cut off: `adopt` takes it.
    """
    said = []
    ledger = journal.ledger()
    known = {line.record.episode for line in ledger.lines_of(EpisodeCutOff)}
    for folder in leftovers(root):
        if folder.name in known:
            continue
        pieces, holes = read(folder)
        if folder.name in ledger.episodes or not (pieces or holes):
            # killed after the commit, or before the first piece was complete
            discard(folder)
            continue
        if folder.name in store:
            continue
        steps = sum(len(piece["action"]) for piece in pieces)
        journal.append(EpisodeCutOff(episode=folder.name, steps=steps, lost=0, reason=_KILLED))
        said.append(
            f"{folder.name} was cut off when the last engine was killed: {steps} steps are in partial/."
        )
    return said


def opening_verdicts(store: EpisodeStore, journal: Journal, *, autopilot: bool) -> list[str]:
    """Journal automatic verdicts that a kill prevented; returns sentences for the log.

    Episodes whose label was taken back are left alone.
    """
    said = []
    for status in unjudged(journal.ledger()):
        key = _key_of(store, status.id) if status.ending is Ending.OPERATOR else None
        record = first_verdict(status.id, status.ending, key, autopilot=autopilot)
        if record is not None:
            journal.append(record)
            said.append(
                f"{status.id}: the verdict that the last engine could not write any more was written."
            )
    return said


def _key_of(store: EpisodeStore, episode: str) -> Keyed | None:
    """The key that ended its motion, as the recording holds it."""
    key = str(store.header(episode).source.get("key"))
    known = {"void": None, **{outcome.value: outcome for outcome in Outcome}}
    return Keyed(outcome=known[key], source=EventSource.OPERATOR) if key in known else None


def unjudged(ledger: Ledger) -> list[EpisodeStatus]:
    """Episodes of the session that were never labelled."""
    return [status for status in ledger.episodes.where(_pending(ledger.episodes)) if not status.by]


def truths(store: EpisodeStore, ledger: Ledger) -> list[Truth]:
    """Simulator ground truth of the unlabelled episodes."""
    found = []
    for status in unjudged(ledger):
        truth = store.header(status.id).source.get("truth")
        if truth is not None:
            found.append(
                Truth(episode=status.id, kind=status.kind, ordinal=status.ordinal, outcome=Outcome(truth))
            )
    return found


def state_of(ledger: Ledger, rules: Rules, *, blocks_done: int, policy_version: int, now: float) -> State:
    """The machine's initial state; `blocks_done` update blocks are in the restored learner."""
    current = _round(ledger)
    updates = ledger.lines_of(UpdateBegun)
    through = updates[-1].record.through if updates else 0
    settings = settings_in(ledger)
    newest, open_block = _blocks(ledger)
    dropped = current is not None and current.evaluation and open_block is None
    episodes = ledger.episodes
    cut_off = ledger.lines_of(EpisodeCutOff)
    gone = frozenset(line.record.episode for line in cut_off)
    late = episodes.rows["seq"] > through
    return State(
        rules=rules,
        now=now,
        verdicts=_verdicts(episodes),
        cut_off=gone,
        pruned=frozenset(status.id for status in episodes.where(episodes.rows["pruned"])),
        round=None if dropped else current,
        last=_last(episodes, cut_off),
        newest=_newest(ledger),
        next_online=_following(episodes, current, gone, EpisodeKind.ONLINE),
        next_evaluation=_following(episodes, current, gone, EpisodeKind.EVALUATION),
        fresh=bool((episodes.of(EpisodeKind.ONLINE) & late).any()),
        updates_begun=len(updates),
        updates_done=blocks_done,
        policy_version=policy_version,
        block=open_block,
        block_ends=open_block is not None and _ends(ledger, open_block),
        newest_block=newest,
        wanted_block=_asked(ledger),
        autopilot=bool(settings.get("autopilot", False)),
    )


def settings_in(ledger: Ledger) -> dict[str, Any]:
    """Settings the operator changed for the rest of the session: name -> newest value."""
    return {line.record.name: line.record.value for line in ledger.lines_of(SettingChanged)}


def round_opened(current: Round, spent: dict[str, float]) -> RoundOpened:
    """The line that opens a round; `spent` is the time before it, s."""
    first = current.slots[0]
    return RoundOpened(
        phase="evaluate" if current.evaluation else "rollout",
        kind=first.kind,
        first=first.ordinal,
        layout=first.layout,
        size=len(current.slots),
        batch=current.batch,
        spent=spent,
    )


class _Past(Mapping[str, Verdict]):
    """The journal's verdicts, without pruned episodes: their recordings are gone."""

    def __init__(self, episodes: Episodes) -> None:
        self._episodes = episodes

    def __getitem__(self, name: str) -> Verdict:
        status = self._episodes[name]
        if status.pruned:
            raise KeyError(name)
        return Verdict(kind=status.kind, chunks=status.chunks, outcome=status.outcome, void=status.void)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._episodes if name in self)

    def __len__(self) -> int:
        return int(np.count_nonzero(~self._episodes.rows["pruned"]))


def _verdicts(episodes: Episodes) -> Verdicts:
    counted = episodes.of(EpisodeKind.ONLINE) & ~episodes.rows["void"]
    return Verdicts(
        _Past(episodes),
        pending=tuple(episodes.names[place] for place in np.flatnonzero(_pending(episodes))),
        counted=Counted(
            episodes=int(np.count_nonzero(counted)), chunks=int(episodes.rows["chunks"][counted].sum())
        ),
    )


def _pending(episodes: Episodes) -> NDArray[np.bool_]:
    return np.asarray(
        episodes.labelled(None) & ~episodes.of(EpisodeKind.DEMO) & ~episodes.rows["void"], np.bool_
    )


def _last(episodes: Episodes, cut_off: Sequence[Line[EpisodeCutOff]]) -> str | None:
    """The episode run last; None if it was cut off."""
    moved = np.flatnonzero(~episodes.of(EpisodeKind.DEMO)).tolist()
    if not moved or (cut_off and cut_off[-1].seq > int(episodes.rows["seq"][moved[-1]])):
        return None
    return str(episodes.names[moved[-1]])


def _newest(ledger: Ledger) -> str | None:
    """The episode named by the newest line about one; None for a demonstration or a cut-off episode."""
    episodes = ledger.episodes
    moved = np.flatnonzero(~episodes.of(EpisodeKind.DEMO)).tolist()
    if not moved:
        return None
    said = [(int(episodes.rows["seq"][moved[-1]]), str(episodes.names[moved[-1]]))]
    kinds: tuple[type[AboutEpisode], ...] = (Labelled, Voided, Restored, EpisodeCutOff)
    for kind in kinds:
        about = ((line.seq, line.record.episode) for line in reversed(ledger.lines_of(kind)))
        said += islice((each for each in about if _of_the_session(each[1], episodes)), 1)
    name = max(said)[1]
    return name if name in episodes else None


def _of_the_session(name: str, episodes: Episodes) -> bool:
    return name not in episodes or episodes[name].kind is not EpisodeKind.DEMO


def _round(ledger: Ledger) -> Round | None:
    lines = reversed(ledger.lines_of(PhaseEntered))
    opened = next((line.record for line in lines if isinstance(line.record, RoundOpened)), None)
    if opened is None:
        return None
    slots = tuple(
        Slot(
            episode=episode_id(opened.kind, opened.first + row),
            kind=opened.kind,
            ordinal=opened.first + row,
            layout=opened.layout + row,
            row=row,
        )
        for row in range(opened.size)
    )
    return Round(slots=slots, batch=opened.batch)


def _following(episodes: Episodes, current: Round | None, cut_off: frozenset[str], kind: EpisodeKind) -> int:
    """The first ordinal of a kind not used by an episode, the open round or a cut-off episode."""
    opened = [slot.ordinal for slot in current.slots if slot.kind is kind] if current else []
    spent = (name.removeprefix(f"{kind.value}-") for name in cut_off)
    taken = [*opened, *(int(ordinal) for ordinal in spent if ordinal.isdecimal())]
    return 1 + int(max([*taken, episodes.rows["ordinal"][episodes.of(kind)].max(initial=-1)]))


def _asked(ledger: Ledger) -> int | None:
    """Episodes of the last requested evaluation block, if none has begun since."""
    answered = (EvaluationAsked, EvaluationWithdrawn, EvaluationBegun)
    lines = reversed(ledger.lines_of(Evaluation))
    newest = next((line.record for line in lines if isinstance(line.record, answered)), None)
    return newest.n if isinstance(newest, EvaluationAsked) else None


def _ends(ledger: Ledger, block: Block) -> bool:
    """Whether it was ended early."""
    return any(line.record.ordinal == block.ordinal for line in ledger.lines_of(EvaluationEnding))


def _blocks(ledger: Ledger) -> tuple[Block | None, Block | None]:
    """The newest evaluation block, and the same again if it is incomplete."""
    begun = ledger.lines_of(EvaluationBegun)
    if not begun:
        return None, None
    newest = begun[-1].record
    block = Block(ordinal=newest.ordinal, first=newest.first, n=newest.n, at=newest.at)
    ended = any(line.record.ordinal == block.ordinal for line in ledger.lines_of(EvaluationEnded))
    return block, None if ended else block
