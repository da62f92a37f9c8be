"""Everything countable about a session, from its folder alone; the engine and ``station status`` count with this.

Reads the journal and nothing else: episodes that were committed but not yet journaled do not exist for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from datasets.episode import EpisodeKind, Outcome
from datasets.journal import EpisodeStatus, Journal, Ledger, Line
from station.session.folder import SessionFolder
from station.session.partial import CUT_OFF
from station.session.snapshot import Counts, EpisodeMark, EvaluationPoint, Phase, Rate

_POINTS = 300
"""Points of a curve, about."""
_STRIP = 60
"""Episodes in the strip of outcomes."""
_Z95 = 1.959963984540054


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
    """The same for a journal that has been read already."""
    window = folder.tables.get("session", {}).get("rolling_window", 50)
    return tally(ledger, rolling_window=int(window))


def tally(ledger: Ledger, *, rolling_window: int) -> Counts:
    """The counts that a journal gives."""
    statuses = list(ledger.episodes.values())
    online = sorted(
        (status for status in statuses if status.kind is EpisodeKind.ONLINE),
        key=lambda status: status.ordinal,
    )
    counted = [status for status in online if not status.void]
    checkpoints = ledger.lines.get("checkpoint", [])
    newest = checkpoints[-1].fields if checkpoints else {}
    counts = Counts(
        demos=sum(status.kind is EpisodeKind.DEMO and not status.void for status in statuses),
        episodes=len(counted),
        success=_having(counted, Outcome.SUCCESS),
        failure=_having(counted, Outcome.FAILURE),
        timeout=_having(counted, Outcome.TIMEOUT),
        void=len(online) - len(counted),
        cut_off=len(ledger.lines.get(CUT_OFF, [])),
        pending=_having(counted, None),
        chunks=sum(status.chunks for status in counted),
        env_steps=sum(status.steps for status in counted),
        updates=int(newest.get("steps", 0)),
        policy_version=int(newest.get("policy_version", 0)),
        base_success=_base_success(ledger.lines.get("base_evaluation", [])),
        evaluations=_evaluations(ledger),
        last=_strip(statuses),
    )
    labelled = [status for status in counted if status.outcome is not None]
    return _with_curves(counts, labelled, rolling_window)


def resting_state(ledger: Ledger) -> str:
    """How far a session has come that no engine runs: empty, demonstrations, trained, online or finished."""
    phases = ledger.lines.get("phase", [])
    if phases:
        return "finished" if phases[-1].fields["phase"] == Phase.FINISHED else "online"
    if ledger.lines.get("training"):
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
            }
            for point in counts.evaluations
        ],
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {"n": rate.n, "successes": rate.successes, "interval": [rate.low, rate.high]}


def _having(statuses: Iterable[EpisodeStatus], outcome: Outcome | None) -> int:
    return sum(status.outcome is outcome for status in statuses)


def _base_success(lines: Sequence[Line]) -> Rate | None:
    latent = [line for line in lines if line.fields.get("path") == "latent"]
    if not latent:
        return None
    outcomes = latent[-1].fields["outcomes"]
    return wilson(sum(map(bool, outcomes)), len(outcomes))


def _evaluations(ledger: Ledger) -> tuple[EvaluationPoint, ...]:
    """Finished blocks; an episode that was voided later leaves its block's rate."""
    blocks: dict[int, list[EpisodeStatus]] = {}
    for status in ledger.episodes.values():
        if status.block is not None and not status.void and status.outcome is not None:
            blocks.setdefault(status.block, []).append(status)
    ended = [line.fields for line in ledger.lines.get("evaluation", []) if line.fields.get("stage") == "end"]
    return tuple(
        EvaluationPoint(
            env_steps=int(fields["env_steps"]),
            policy_version=int(fields["policy_version"]),
            rate=wilson(
                _having(blocks.get(fields["ordinal"], []), Outcome.SUCCESS),
                len(blocks.get(fields["ordinal"], [])),
            ),
        )
        for fields in ended
    )


def _strip(statuses: Sequence[EpisodeStatus]) -> tuple[EpisodeMark, ...]:
    recent = [status for status in statuses if status.kind is not EpisodeKind.DEMO][-_STRIP:]
    return tuple(
        EpisodeMark(
            id=status.id,
            outcome="void" if status.void else (status.outcome or "pending"),
            steps=status.steps,
            evaluation=status.kind is EpisodeKind.EVALUATION,
        )
        for status in recent
    )


def _with_curves(counts: Counts, counted: Sequence[EpisodeStatus], window: int) -> Counts:
    recent: deque[tuple[bool, int]] = deque(maxlen=window)
    success, length, steps = [], [], 0
    every = max(1, math.ceil(len(counted) / _POINTS))
    won = moved = 0
    for index, status in enumerate(counted):
        if len(recent) == window:
            won, moved = won - recent[0][0], moved - recent[0][1]
        good = status.outcome is Outcome.SUCCESS
        recent.append((good, status.steps))
        won, moved, steps = won + good, moved + status.steps, steps + status.steps
        if index % every == 0 or index == len(counted) - 1:
            success.append((steps, won / len(recent)))
            length.append((steps, moved / len(recent)))
    rolling = wilson(won, len(recent)) if recent else None
    return replace(counts, rolling=rolling, success_curve=tuple(success), length_curve=tuple(length))
