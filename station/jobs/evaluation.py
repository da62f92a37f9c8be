"""Evaluates a frozen policy on a seeded schedule of start layouts, without exploration and without storing anything.

Two policies evaluated on the same `LayoutSchedule` get the same layouts and random streams, so their
outcomes are paired. Evaluation blocks of a running session belong to the engine; they are stored and journaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.reporting import Reporter

if TYPE_CHECKING:
    import torch

    from policy.steering.interface import Steering
    from station.session.folder import SessionFolder


@dataclass(frozen=True, kw_only=True)
class LayoutSchedule:
    """Start layouts, and how many of them."""

    layouts: str
    """Purpose of their random stream."""
    seed: int
    n: int


def evaluate_policy(
    folder: SessionFolder, steering: Steering, schedule: LayoutSchedule, *, stage: str, reporter: Reporter
) -> list[bool]:
    """Success of `steering` on each layout of the schedule, in its order; on as many cells as the task says."""
    from hardware.simulation.cell import SimulatedCell
    from station.session.engine.evaluation import evaluate

    task = folder.task
    single = task.policy.n_obs == 1  # images between two decisions are not used
    cells = [
        SimulatedCell(task.simulation, render="on_observe" if single else "every_step")
        for _ in range(min(task.session.cells, schedule.n))
    ]
    outcomes: list[bool] = []
    reporter.progress(stage, 0, schedule.n)
    for result in evaluate(
        cells,
        steering,
        schedule.layouts,
        schedule.seed,
        schedule.n,
        n_obs=task.policy.n_obs,
        episode_steps=task.session.episode_steps,
        look_at_decisions=single,
        overlap=task.overlap,
    ):
        outcomes.append(result.success)
        reporter.progress(stage, len(outcomes), schedule.n, success=sum(outcomes) / len(outcomes))
    return outcomes


def evaluate_base(
    folder: SessionFolder,
    path: str,
    schedule: LayoutSchedule,
    *,
    reporter: Reporter,
    device: torch.device | None = None,
) -> list[bool]:
    """Success of the session's frozen base along one of its paths (``latent`` or ``raw``). Raises SessionError."""
    from policy.steering.unsteered import BasePath, Unsteered
    from station.session.engine.factory import load_base

    base = load_base(folder, device)
    steering = Unsteered(base, BasePath(path), n_action_steps=folder.task.decided_steps)
    return evaluate_policy(folder, steering, schedule, stage=f"evaluate {path}", reporter=reporter)
