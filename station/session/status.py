"""Everything countable about a session, from its folder alone; the engine and ``station status`` count with this.

Reads the journal only: committed episodes that are not yet journaled do not exist for it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.episode import EpisodeKind, Outcome
from datasets.journal.journal import Journal, Ledger
from datasets.journal.ledger import Episodes
from datasets.journal.records import (
    BaseEvaluated,
    BaseTrained,
    CheckpointSaved,
    EpisodeCutOff,
    EvaluationEnded,
    PhaseEntered,
)
from station.session.folder import SessionError, SessionFolder
from station.session.snapshot import Counts, EpisodeMark, EvaluationPoint, Phase, Rate
from station.sessions import HEADER_FILE

_POINTS = 300
"""Approximate number of points in a curve."""
_STRIP = 60
"""Episodes in the strip of outcomes."""
_LONGEST = 2**31
"""Maximum episodes in a rolling window."""
_Z95 = 1.959963984540054

Mask = NDArray[np.bool_]
"""[n] which of the ledger's episodes."""


def wilson(successes: int, n: int) -> Rate:
    """k of n with Wilson's 95 % interval; [0, 1] for no episodes."""
    if n == 0:
        return Rate(successes=0, n=0, low=0.0, high=1.0)
    p, z2 = successes / n, _Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = max(0.0, centre - half) if successes else 0.0
    high = min(1.0, centre + half) if successes < n else 1.0
    return Rate(successes=successes, n=n, low=low, high=high)


def count(folder: SessionFolder) -> Counts:
    """The counts of a session. Raises JournalError."""
    return count_in(folder, Journal(folder.journal).ledger())


def count_in(folder: SessionFolder, ledger: Ledger) -> Counts:
    """The same for a journal already read. Raises SessionError."""
    table = folder.tables.get("session", {})
    window = table.get("rolling_window", 50) if isinstance(table, dict) else None
    if not isinstance(window, int) or not 0 < window < _LONGEST:
        raise SessionError(
            f"{folder.path / HEADER_FILE}: [session] rolling_window is no number of episodes. Restore it."
        )
    return tally(ledger, rolling_window=window)


def tally(ledger: Ledger, *, rolling_window: int) -> Counts:
    """The counts of a journal."""
    episodes = ledger.episodes
    rows, online = episodes.rows, episodes.of(EpisodeKind.ONLINE)
    counted = online & ~rows["void"]
    newest = ledger.last_of(CheckpointSaved)
    counts = Counts(
        demos=_number(episodes.of(EpisodeKind.DEMO) & ~rows["void"]),
        episodes=_number(counted),
        success=_number(counted & episodes.labelled(Outcome.SUCCESS)),
        failure=_number(counted & episodes.labelled(Outcome.FAILURE)),
        timeout=_number(counted & episodes.labelled(Outcome.TIMEOUT)),
        void=_number(online & rows["void"]),
        cut_off=len(ledger.lines_of(EpisodeCutOff)),
        pending=_number(counted & episodes.labelled(None)),
        chunks=int(rows["chunks"][counted].sum()),
        env_steps=int(rows["steps"][counted].sum()),
        updates=newest.record.steps if newest else 0,
        policy_version=newest.record.policy_version if newest else 0,
        base_success=_base_success(ledger),
        evaluations=_evaluations(ledger),
        last=_strip(episodes),
    )
    return _with_curves(counts, episodes, counted & ~episodes.labelled(None), rolling_window)


def resting_state(ledger: Ledger) -> str:
    """The stage of a session without a running engine: empty, demonstrations, trained, online or finished."""
    newest = ledger.last_of(PhaseEntered)
    if newest is not None:
        return "finished" if newest.record.phase == Phase.FINISHED else "online"
    if ledger.lines_of(BaseTrained):
        return "trained"
    return "demonstrations" if ledger.episodes else "empty"


def to_json(counts: Counts, state: str) -> dict[str, Any]:
    """What ``station status --json`` prints; `state` is the session's phase."""
    base = counts.base_success
    return {
        "demos": counts.demos,
        "episodes": counts.episodes,
        "success": counts.success,
        "failure": counts.failure,
        "timeout": counts.timeout,
        "void": counts.void,
        "cut_off": counts.cut_off,
        "pending": counts.pending,
        "chunks": counts.chunks,
        "env_steps": counts.env_steps,
        "updates": counts.updates,
        "policy_version": counts.policy_version,
        "state": state,
        "base_success": base.value if base else None,
        "base": _rate_json(base) if base else None,
        "rolling": _rate_json(counts.rolling) if counts.rolling else None,
        "eval": [
            {
                **_rate_json(point.rate),
                "env_steps": point.env_steps,
                "policy_version": point.policy_version,
                "wanted": point.wanted,
                "ended_early": point.early,
            }
            for point in counts.evaluations
        ],
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {"n": rate.n, "successes": rate.successes, "interval": [rate.low, rate.high]}


def _number(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _base_success(ledger: Ledger) -> Rate | None:
    lines = reversed(ledger.lines_of(BaseEvaluated))
    outcomes = next((line.record.outcomes for line in lines if line.record.path == "latent"), None)
    return None if outcomes is None else wilson(sum(map(bool, outcomes)), len(outcomes))


def _evaluations(ledger: Ledger) -> tuple[EvaluationPoint, ...]:
    """Finished blocks; an episode voided later drops out of its block's rate."""
    episodes = ledger.episodes
    blocks = episodes.rows["block"]
    judged = ~episodes.rows["void"] & ~episodes.labelled(None)
    ended = [line.record for line in ledger.lines_of(EvaluationEnded)]
    last = max((block.ordinal for block in ended), default=0)
    n, won = (
        np.bincount(blocks[mask & (blocks >= 0)], minlength=1 + last)
        for mask in (judged, judged & episodes.labelled(Outcome.SUCCESS))
    )
    return tuple(
        EvaluationPoint(
            env_steps=block.env_steps,
            policy_version=block.policy_version,
            rate=wilson(int(won[block.ordinal]), int(n[block.ordinal])),
            wanted=block.n,
            early=bool(block.early),
        )
        for block in ended
    )


def _strip(episodes: Episodes) -> tuple[EpisodeMark, ...]:
    recent = ~episodes.of(EpisodeKind.DEMO)
    recent[np.flatnonzero(recent)[:-_STRIP]] = False
    return tuple(
        EpisodeMark(
            id=status.id,
            outcome="void" if status.void else (status.outcome or "pending"),
            steps=status.steps,
            evaluation=status.kind is EpisodeKind.EVALUATION,
        )
        for status in episodes.where(recent)
    )


def _with_curves(counts: Counts, episodes: Episodes, counted: Mask, window: int) -> Counts:
    """Rates over the last `window` counted episodes, in order of ordinal."""
    places = np.flatnonzero(counted)
    if not len(places):
        return counts
    places = places[np.argsort(episodes.rows["ordinal"][places], kind="stable")]
    length = episodes.rows["steps"][places].astype(np.int64)
    moved, won = (
        np.concatenate([[0], np.cumsum(values)])
        for values in (length, episodes.labelled(Outcome.SUCCESS)[places])
    )
    every = max(1, math.ceil(len(places) / _POINTS))
    ends = np.unique([*range(1, len(places) + 1, every), len(places)])
    begins = np.maximum(ends - window, 0)
    success, steps = ((sums[ends] - sums[begins]) / (ends - begins) for sums in (won, moved))
    at = moved[ends].tolist()
    return replace(
        counts,
        rolling=wilson(int(won[-1] - won[begins[-1]]), int(ends[-1] - begins[-1])),
        success_curve=tuple(zip(at, success.tolist(), strict=True)),
        length_curve=tuple(zip(at, steps.tolist(), strict=True)),
    )
