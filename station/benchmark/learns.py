"""Does it learn? One seed from an empty folder: demonstrations, a base of its own, a session, an evaluation.

Every seed is an ordinary session under the benchmark's folder, steered by the engine that an operator runs, with the
automatic operator. Base and final policy are then judged, paired, on layouts whose purpose (``test``) nothing else
ever draws from. What is done is never done again, so a killed benchmark continues when its command is repeated.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from datasets.errors import ExitCode, StationError
from datasets.plain_text import from_json
from station.benchmark import report
from station.benchmark.report import SeedResult
from station.jobs.demo import open_or_create, prepare
from station.jobs.evaluation import LayoutSchedule, evaluate_base, evaluate_policy
from station.jobs.headless import run as run_engine
from station.reporting import Reporter
from station.session.engine.options import EngineOptions

if TYPE_CHECKING:
    from policy.steering.interface import Steering
    from station.session.folder import SessionFolder

TEST = "test"
"""Purpose of the held-out layouts; no training, tuning or session draws from it."""
TEST_SEED = 20
"""All seeds of a benchmark meet the same test layouts. Tuned on them? Take another number."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is the same for every seed."""

    out: Path
    task: str
    chunks: int
    layouts: int = 150
    cells: int | None = None
    threads: int = 1
    device: str = "cpu"
    """cpu or cuda:N."""


def pin(protocol: Protocol) -> None:
    """Record what all seeds of this folder have in common, or check that it is unchanged.

    Raises:
        StationError: the folder holds another benchmark; seeds of two protocols must not be averaged.
        TaskError: there is no such task.
    """
    from station.tasks.config import load_task, task_to_toml

    task = task_to_toml(load_task(protocol.task))
    facts = {
        "task": protocol.task,
        "task_digest": hashlib.sha256(task.encode()).hexdigest()[:16],
        "chunks": protocol.chunks,
        "layouts": protocol.layouts,
        "cells": protocol.cells,
        "threads": protocol.threads,
    }
    if protocol.device != "cpu":  # as before there was a choice
        facts["device"] = protocol.device
    path = protocol.out / "protocol.json"
    if not path.exists():
        protocol.out.mkdir(parents=True, exist_ok=True)
        report.write(path, facts)
        return
    before = from_json(path.read_text())
    changed = [
        f"{name} {before.get(name)} is now {value}"
        for name, value in facts.items()
        if before.get(name) != value
    ]
    if changed:
        raise StationError(
            f"{protocol.out} holds a benchmark of another kind: {'; '.join(changed)}. Choose another --out.",
            exit_code=ExitCode.REFUSED,
        )


def result_path(out: Path, seed: int) -> Path:
    """Path of a finished seed's result."""
    return out / f"seed-{seed:03d}.json"


def run_seed(protocol: Protocol, seed: int, reporter: Reporter) -> SeedResult:
    """Run the whole protocol for one seed; resumes after an interruption.

    Raises:
        StationError: training or the engine failed, or the goal was not reached.
    """
    path = result_path(protocol.out, seed)
    if path.exists():
        return report.read(path)
    torch.set_num_threads(protocol.threads)
    place = protocol.out / f"seed-{seed:03d}"
    folder = open_or_create(place, task=protocol.task, seed=seed, own_recordings=True)
    began = time.monotonic()
    prepare(folder, reporter=reporter, device=protocol.device)
    prepared = time.monotonic()
    options = EngineOptions(
        headless=True,
        autopilot=True,
        cells=protocol.cells,
        chunks=protocol.chunks,
        device=protocol.device,
        threads=protocol.threads,
    )
    run_engine(folder, options, reporter=reporter)
    steered = time.monotonic()
    seconds = {"prepare": prepared - began, "session": steered - prepared}
    result = _judged(folder, protocol, seed, seconds, reporter)
    report.write(path, result.to_json())
    reporter.event("done", seed=seed, base=sum(result.base), final=sum(result.final), n=len(result.base))
    return result


def _judged(
    folder: SessionFolder, protocol: Protocol, seed: int, seconds: dict[str, float], reporter: Reporter
) -> SeedResult:
    """Both policies on the test layouts, with the same random streams."""
    from station.session.status import count

    began = time.monotonic()
    schedule = LayoutSchedule(layouts=TEST, seed=TEST_SEED, n=protocol.layouts)
    device = torch.device(protocol.device)
    base = evaluate_base(folder, "latent", schedule, reporter=reporter, device=device)
    final = evaluate_policy(
        folder, _final_policy(folder, device), schedule, stage="evaluate final", reporter=reporter
    )
    counts = count(folder)
    if counts.base_success is None:
        raise StationError(f"{folder.path} has no judgement of its base. Run 'station train' on it.")
    return SeedResult(
        seed=seed,
        base=tuple(base),
        final=tuple(final),
        base_success=(counts.base_success.successes, counts.base_success.n),
        chunks=counts.chunks,
        env_steps=counts.env_steps,
        updates=counts.updates,
        facts={
            **machine_facts(protocol.threads),
            "task": protocol.task,
            "episodes": counts.episodes,
            "demos": counts.demos,
            "seconds": {**seconds, "test": time.monotonic() - began},
            "success_curve": counts.success_curve,
        },
    )


def _final_policy(folder: SessionFolder, device: torch.device) -> Steering:
    """The learner as the session left it."""
    from station.session.engine.checkpoint import NEWEST, Checkpoints
    from station.session.engine.factory import load_base

    task = folder.task
    base = load_base(folder, device)
    steering = task.steering.build(base, folder.seed, n_action_steps=task.decided_steps)
    state, facts = Checkpoints(folder.steering).load(NEWEST)
    if facts.base_hash != base.hash:
        raise StationError(f"The checkpoint in {folder.steering} belongs to another base than {folder.base}.")
    steering.load_state(state)
    return steering


def machine_facts(threads: int) -> dict[str, Any]:
    """What speed and physics results depend on."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "mujoco-core", "numpy")}
    return {
        "threads": threads,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": versions,
    }
