"""Judges a frozen policy on a seeded schedule of start layouts, without exploration and without storing anything.

Two policies judged with the same `Judgement` get the same layouts and random streams, so
their outcomes are paired. Evaluation blocks of a running session belong to the engine; they are stored and journaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.reporting import Reporter

if TYPE_CHECKING:
    from policy.steering.interface import Steering
    from station.session.folder import SessionFolder


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Which layouts, and how many."""

    layouts: str
    """Purpose of the layout schedule."""
    seed: int
    n: int


def judge(
    folder: SessionFolder, steering: Steering, judgement: Judgement, *, stage: str, reporter: Reporter
) -> list[bool]:
    """Success of `steering` on each layout of the schedule, in its order; on as many cells as the task says."""
    from hardware.simulation.cell import SimulatedCell
    from station.session.engine.rollout import evaluate

    task = folder.task
    single = task.policy.n_obs == 1  # images between two decisions are not used
    cells = [
        SimulatedCell(task.simulation, render="on_observe" if single else "every_step")
        for _ in range(min(task.session.cells, judgement.n))
    ]
    outcomes: list[bool] = []
    reporter.progress(stage, 0, judgement.n)
    for result in evaluate(
        cells,
        steering,
        judgement.layouts,
        judgement.seed,
        judgement.n,
        n_obs=task.policy.n_obs,
        episode_steps=task.session.episode_steps,
        look_at_decisions=single,
    ):
        outcomes.append(result.success)
        reporter.progress(stage, len(outcomes), judgement.n, success=sum(outcomes) / len(outcomes))
    return outcomes


def judge_base(folder: SessionFolder, path: str, judgement: Judgement, *, reporter: Reporter) -> list[bool]:
    """Success of the session's frozen base along one of its paths (``latent`` or ``raw``). Raises SessionError."""
    from policy.steering.unsteered import Path, Unsteered
    from station.session.engine.factory import load_base

    steering = Unsteered(load_base(folder), Path(path), execute=folder.task.execute)
    return judge(folder, steering, judgement, stage=f"evaluate {path}", reporter=reporter)
