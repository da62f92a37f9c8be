"""A session's store, journal and learner, opened and brought up to date.

Anything that a kill left unfinished is completed here, before the first step of the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from datasets.journal.journal import Journal
from datasets.journal.records import SessionOpened
from datasets.manifest import describe
from datasets.store import EpisodeStore
from datasets.verify import renounce
from hardware.cell import ClockSpeed
from station.session.core.state import State
from station.session.engine.autopilot import Autopilot
from station.session.engine.checkpoint import Checkpoints
from station.session.engine.dependencies import EngineDependencies, rules
from station.session.engine.learner import Learner
from station.session.engine.options import EngineOptions
from station.session.engine.resume import (
    adopt,
    enter_partials,
    opening_verdicts,
    settings_in,
    state_of,
    truths,
)
from station.session.folder import SCHEMA, SessionFolder


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """Opened for writing; one engine's."""

    journal: Journal
    store: EpisodeStore
    checkpoints: Checkpoints
    learner: Learner
    autopilot: Autopilot
    state: State
    """Initial state of the machine."""
    said: tuple[str, ...]
    """What was found and done, for the log."""


def open_folder(
    folder: SessionFolder, parts: EngineDependencies, options: EngineOptions, clock: Callable[[], float]
) -> OpenSession:
    """Open the folder; the caller holds its writer lock.

    Raises:
        JournalError, StoreError, LearnerError: the session cannot be resumed. DiskFullError.
    """
    journal = Journal(folder.journal, writable=True)
    store = EpisodeStore(folder.episodes, writable=True)
    said = _put_out_of_the_way(journal, store)
    journal.append(
        SessionOpened(
            schema=SCHEMA,
            task=folder.task_name,
            seed=folder.seed,
            threads=torch.get_num_threads(),
            decision_threads=parts.decision_threads,
            torch=torch.__version__,
        )
    )
    said += [f"{name} was adopted: it had been committed without a line." for name in adopt(store, journal)]
    said += enter_partials(folder.partial, journal, store)
    checkpoints = Checkpoints(folder.steering)
    learner = Learner(
        parts.steering,
        parts.replay(store),
        journal=journal,
        store=store,
        checkpoints=checkpoints,
        base_hash=parts.base_hash,
        seed=folder.seed,
        device=parts.device,
    )
    said += learner.restore()
    learner.journal_checkpoint()
    autopilot_on = _autopilot_on(journal, options)
    said += opening_verdicts(store, journal, autopilot=autopilot_on)
    autopilot = Autopilot(folder.seed)
    for truth in truths(store, journal.ledger()):
        autopilot.saw(truth)
    return OpenSession(
        journal=journal,
        store=store,
        checkpoints=checkpoints,
        learner=learner,
        autopilot=autopilot,
        state=_state(journal, learner, parts, options, clock()),
        said=tuple(said),
    )


def _put_out_of_the_way(journal: Journal, store: EpisodeStore) -> list[str]:
    """Quarantine what a crash has damaged; returns sentences for the log."""
    said = []
    if journal.torn is not None:
        said.append(f"The journal's torn last line was saved as {journal.torn.name} and cut off.")
    swept = store.sweep(journal.ledger())
    renounce(journal, {fault.episode: describe([fault]) for fault in swept})
    return said + [f"Quarantined: {fault}" for fault in swept]


def _autopilot_on(journal: Journal, options: EngineOptions) -> bool:
    if options.autopilot is not None:
        return options.autopilot
    return bool(settings_in(journal.ledger()).get("autopilot", False))


def _state(
    journal: Journal, learner: Learner, parts: EngineDependencies, options: EngineOptions, now: float
) -> State:
    state = state_of(
        journal.ledger(),
        rules(parts, options),
        blocks_done=learner.blocks,
        policy_version=learner.policy_version,
        now=now,
    )
    usual: dict[str, Any] = {"speed": ClockSpeed.REAL, "mistakes": parts.settings.mistakes}
    settings = usual | settings_in(journal.ledger())
    speed = options.speed or (ClockSpeed.VIRTUAL if options.headless else ClockSpeed(settings["speed"]))
    state = replace(
        state,
        speed=speed if parts.simulated else ClockSpeed.REAL,
        mistakes=float(settings["mistakes"]),
    )
    return state if options.evaluate is None else _evaluating(state, options.evaluate)


def _evaluating(state: State, episodes: int) -> State:
    """Prepare for one evaluation block; a round with nothing run yet is reopened later."""
    state = replace(state, wanted_block=episodes, only_evaluate=True)
    untouched = state.round is not None and state.open_slots == state.round.slots
    if not untouched or state.round is None or state.round.evaluation:
        return state
    return replace(state, round=None, next_online=state.round.slots[0].ordinal)
