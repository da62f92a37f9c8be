"""In what two sessions differ, bit by bit: every episode, label and weight; and what no simulated session may hold."""

from __future__ import annotations

import json
from typing import Any

import torch

from datasets.episode import Episode
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, EpisodeCutOff, FaultRaised
from datasets.store import EpisodeStore
from datasets.verify import verify
from station.session.engine.checkpoint import NEWEST, Checkpoints
from station.session.folder import SessionFolder

ARRAYS = (
    "proprioception",
    "observation_time",
    "action",
    "sent",
    "command_time",
    "chunk_start",
    "chunk_length",
)


def differences(one: SessionFolder, other: SessionFolder) -> list[str]:
    """Everything in which two sessions are not the same."""
    first, second = EpisodeStore(one.episodes), EpisodeStore(other.episodes)
    found = [f"episode {name} is in one only" for name in set(first.ids()) ^ set(second.ids())]
    for name in sorted(set(first.ids()) & set(second.ids())):
        found += [f"{name}: {part}" for part in _unequal(first.load(name), second.load(name))]
    return found + _unequal_labels(one, other) + _unequal_weights(one, other)


def wrong(folder: SessionFolder) -> list[str]:
    """Damage, episodes that the journal enters twice, a fault or a cut_off where nothing was wrong, a traceback."""
    stores = [EpisodeStore(root) for root in (folder.demos, folder.episodes)]
    report = verify(stores, folder.journal)
    lines = Journal(folder.journal).lines
    entered = [line.record.id for line in lines if isinstance(line.record, EpisodeCommitted)]
    found = [] if report.ok else [json.dumps(report.to_json())]
    found += [
        f"{name} entered twice" for name in sorted({each for each in entered if entered.count(each) > 1})
    ]
    found += [
        f"a line {line.op}: {line.record}"
        for line in lines
        if isinstance(line.record, FaultRaised | EpisodeCutOff)
    ]
    for log in (folder.log, folder.path.with_suffix(".log")):
        if log.exists() and "Traceback" in log.read_text(errors="replace"):
            found.append(f"a traceback in {log}")
    return found


def _unequal(one: Episode, other: Episode) -> list[str]:
    """Parts of an episode that differ in a bit; the wall clock's date may."""
    parts = ["header"] if _facts(one) != _facts(other) else []
    parts += [name for name in ARRAYS if not _same(getattr(one, name), getattr(other, name))]
    for name in ("images", "features", "decisions"):
        a, b = getattr(one, name), getattr(other, name)
        parts += [f"{name}.{key}" for key in a.keys() | b.keys() if not _same(a.get(key), b.get(key))]
    return parts


def _facts(episode: Episode) -> dict[str, Any]:
    return {name: value for name, value in episode.header.to_json().items() if name != "created"}


def _same(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one.tobytes() == other.tobytes()


def _unequal_labels(one: SessionFolder, other: SessionFolder) -> list[str]:
    first, second = _verdicts(one), _verdicts(other)
    return [
        f"verdict on {name}" for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    ]


def _verdicts(folder: SessionFolder) -> dict[str, tuple[Any, ...]]:
    episodes = Journal(folder.journal).ledger().episodes
    return {
        e.id: (e.kind, e.ordinal, e.steps, e.chunks, e.ending, e.policy_version, e.outcome, e.void)
        for e in episodes.values()
    }


def _unequal_weights(one: SessionFolder, other: SessionFolder) -> list[str]:
    (first, facts_one), (second, facts_two) = (Checkpoints(f.steering).load(NEWEST) for f in (one, other))
    found = [] if facts_one == facts_two else [f"checkpoint: {facts_one} against {facts_two}"]
    names = sorted(first.keys() | second.keys())
    return found + [f"weight {name}" for name in names if not _equal(first.get(name), second.get(name))]


def _equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)
