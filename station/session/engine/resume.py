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
from datasets.journal.journal import (
    EPISODE,
    LABEL,
    RESTORE,
    VOID,
    EpisodeStatus,
    Journal,
    Ledger,
    Line,
    header_fields,
)
from datasets.journal.ledger import Episodes
from datasets.store import EpisodeStore, unjournaled
from station.session.core.state import (
    Block,
    Counted,
    Round,
    Rules,
    Slot,
    State,
    Verdict,
    Verdicts,
    episode_id,
)
from station.session.engine.autopilot import Truth
from station.session.engine.partial import discard, leftovers, read
from station.session.operations import CUT_OFF, EVALUATION, PHASE, SETTING, UPDATE

_KILLED = "The engine was killed while the arm moved."


def adopt(store: EpisodeStore, journal: Journal) -> list[str]:
    """Journal episodes committed before the last engine was killed; returns their ids. Raises DiskFullError."""
    adopted = []
    for name in unjournaled(store, journal.ledger()):
        header = store.header(name)
        steps, chunks = store.size(name)
        block = header.source.get("block")
        journal.append(EPISODE, **header_fields(header, steps=steps, chunks=chunks, block=block))
        adopted.append(name)
    return adopted


def enter_partials(root: Path, journal: Journal, store: EpisodeStore) -> list[str]:
    """Journal episodes that a killed engine left in ``partial/``; returns sentences for the log. Raises DiskFullError.

    An episode in the store but not in the journal was not cut off: `adopt` takes it.
    """
    said = []
    ledger = journal.ledger()
    known = {line.fields["episode"] for line in ledger.lines.get(CUT_OFF, [])}
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
        journal.append(CUT_OFF, episode=folder.name, steps=steps, lost=0, reason=_KILLED)
        said.append(
            f"{folder.name} was cut off when the last engine was killed: {steps} steps are in partial/."
        )
    return said


def opening_verdicts(store: EpisodeStore, journal: Journal, *, autopilot: bool) -> list[str]:
    """Journal automatic verdicts that a kill prevented; returns sentences for the log.

    A key that ended a motion is its label, and the horizon is a timeout unless the autopilot labels it. Episodes
    whose label was taken back are left alone.
    """
    said = []
    for status in unjudged(journal.ledger()):
        if status.ending is Ending.OPERATOR:
            key = store.header(status.id).source.get("key")
            if key is None:
                continue
            if key == "void":
                journal.append(VOID, episode=status.id, by="operator")
            else:
                journal.append(LABEL, episode=status.id, outcome=key, by="operator")
        elif status.ending is Ending.HORIZON and not autopilot:
            journal.append(LABEL, episode=status.id, outcome=Outcome.TIMEOUT.value, by="system")
        else:
            continue
        said.append(f"{status.id}: the verdict that the last engine could not write any more was written.")
    return said


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
    lines = ledger.lines
    current = _round(lines.get(PHASE, []))
    updates = lines.get(UPDATE, [])
    through = int(updates[-1].fields["through"]) if updates else 0
    settings = settings_in(ledger)
    newest, open_block = _blocks(lines.get(EVALUATION, []))
    dropped = current is not None and current.evaluation and open_block is None
    episodes = ledger.episodes
    cut_off = frozenset(line.fields["episode"] for line in lines.get(CUT_OFF, []))
    late = episodes.rows["seq"] > through
    return State(
        rules=rules,
        now=now,
        verdicts=_verdicts(episodes),
        cut_off=cut_off,
        round=None if dropped else current,
        last=_last(episodes, lines.get(CUT_OFF, [])),
        newest=_newest(ledger),
        next_online=_following(episodes, current, cut_off, EpisodeKind.ONLINE),
        next_evaluation=_following(episodes, current, cut_off, EpisodeKind.EVALUATION),
        fresh=bool((episodes.of(EpisodeKind.ONLINE) & late).any()),
        updates_begun=len(updates),
        updates_done=blocks_done,
        policy_version=policy_version,
        block=open_block,
        block_ends=open_block is not None and _ends(lines.get(EVALUATION, []), open_block),
        newest_block=newest,
        wanted_block=_asked(lines.get(EVALUATION, [])),
        autopilot=bool(settings.get("autopilot", False)),
        mistakes=float(settings.get("mistakes", 0.0)),
    )


def settings_in(ledger: Ledger) -> dict[str, Any]:
    """Settings the operator changed for the rest of the session: name -> newest value."""
    return {line.fields["name"]: line.fields["value"] for line in ledger.lines.get(SETTING, [])}


def round_fields(current: Round) -> dict[str, Any]:
    """A round as its journal line holds it."""
    first = current.slots[0]
    return {
        "kind": first.kind.value,
        "first": first.ordinal,
        "layout": first.layout,
        "size": len(current.slots),
        "batch": current.batch,
    }


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


def _last(episodes: Episodes, cut_off: Sequence[Line]) -> str | None:
    """The episode run last; None if it was cut off."""
    moved = np.flatnonzero(~episodes.of(EpisodeKind.DEMO)).tolist()
    if not moved or (cut_off and cut_off[-1].seq > int(episodes.rows["seq"][moved[-1]])):
        return None
    return str(episodes.names[moved[-1]])


def _newest(ledger: Ledger) -> str | None:
    """The episode named by the newest line about one; None for a demonstration or a cut-off episode."""
    episodes, lines = ledger.episodes, ledger.lines
    moved = np.flatnonzero(~episodes.of(EpisodeKind.DEMO)).tolist()
    if not moved:
        return None
    said = [(int(episodes.rows["seq"][moved[-1]]), str(episodes.names[moved[-1]]))]
    for op in (LABEL, VOID, RESTORE, CUT_OFF):
        about = (line for line in reversed(lines.get(op, [])) if _of_the_session(line, episodes))
        said += [(line.seq, str(line.fields["episode"])) for line in islice(about, 1)]
    name = max(said)[1]
    return name if name in episodes else None


def _of_the_session(line: Line, episodes: Episodes) -> bool:
    name = line.fields["episode"]
    return name not in episodes or episodes[name].kind is not EpisodeKind.DEMO


def _round(lines: Sequence[Line]) -> Round | None:
    fields = next((line.fields for line in reversed(lines) if "first" in line.fields), None)
    if fields is None:
        return None
    kind, first, layout = EpisodeKind(fields["kind"]), int(fields["first"]), int(fields["layout"])
    slots = tuple(
        Slot(
            episode=episode_id(kind, first + row),
            kind=kind,
            ordinal=first + row,
            layout=layout + row,
            row=row,
        )
        for row in range(int(fields["size"]))
    )
    return Round(slots=slots, batch=int(fields["batch"]))


def _following(episodes: Episodes, current: Round | None, cut_off: frozenset[str], kind: EpisodeKind) -> int:
    """The first ordinal of a kind not used by an episode, the open round or a cut-off episode."""
    opened = [slot.ordinal for slot in current.slots if slot.kind is kind] if current else []
    spent = (name.removeprefix(f"{kind.value}-") for name in cut_off)
    taken = [*opened, *(int(ordinal) for ordinal in spent if ordinal.isdecimal())]
    return 1 + int(max([*taken, episodes.rows["ordinal"][episodes.of(kind)].max(initial=-1)]))


def _asked(lines: Sequence[Line]) -> int | None:
    """Episodes of the last requested evaluation block, if none has begun since."""
    asked = ("asked", "withdrawn", "begin")
    newest = next((line.fields for line in reversed(lines) if line.fields["stage"] in asked), None)
    return int(newest["n"]) if newest is not None and newest["stage"] == "asked" else None


def _ends(lines: Sequence[Line], block: Block) -> bool:
    """Whether it was ended early."""
    ending = (line.fields for line in lines if line.fields["stage"] == "ending")
    return any(fields["ordinal"] == block.ordinal for fields in ending)


def _blocks(lines: Sequence[Line]) -> tuple[Block | None, Block | None]:
    """The newest evaluation block, and the same again if it is incomplete."""
    begun = [line.fields for line in lines if line.fields["stage"] == "begin"]
    ended = {line.fields["ordinal"] for line in lines if line.fields["stage"] == "end"}
    if not begun:
        return None, None
    fields = begun[-1]
    block = Block(ordinal=fields["ordinal"], first=fields["first"], n=fields["n"], at=fields["at"])
    return block, None if block.ordinal in ended else block
