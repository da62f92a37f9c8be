"""What an overlap costs: success of a session's base on the same start layouts, decided at and before a chunk's end.

``python -m tests.benchmarks.overlap SESSION --overlaps 0 1 2 4 --layouts 100``

The session has a simulated cell and a trained base. Its clock stands still while the policy decides, so only the age of
the observation and the seams are measured, not what a real arm gains by moving on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from hardware.simulation.cell import SimulatedCell
from policy.steering.unsteered import BasePath, Unsteered
from station.benchmark.learns import TEST, TEST_SEED
from station.session.engine.evaluation import EpisodeResult, evaluate
from station.session.engine.factory import load_base
from station.session.folder import SessionFolder
from station.session.status import wilson
from station.tasks.config import Task


def main() -> None:
    """Print one row per overlap."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", type=Path)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--layouts", type=int, default=100)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = SessionFolder.open(chosen.session)
    say("| overlap | success | 95 % interval | won, lost against the first | steps of a success |")
    say("|---|---|---|---|---|")
    first: list[EpisodeResult] = []
    for overlap in chosen.overlaps:
        task = Task.model_validate({**folder.task.model_dump(by_alias=True), "overlap": overlap})
        results = measured(folder, task, chosen.layouts)
        first = first or results
        say(row(overlap, results, first))


def measured(folder: SessionFolder, task: Task, n: int) -> list[EpisodeResult]:
    """One episode per layout, without exploration."""
    steering = Unsteered(load_base(folder), BasePath.LATENT, n_action_steps=task.decided_steps)
    single = task.policy.n_obs == 1
    cell = SimulatedCell(task.simulation, render="on_observe" if single else "every_step")
    results: list[EpisodeResult] = []
    told = time.monotonic()
    for result in evaluate(
        [cell],
        steering,
        TEST,
        TEST_SEED,
        n,
        n_obs=task.policy.n_obs,
        episode_steps=task.session.episode_steps,
        look_at_decisions=single,
        overlap=task.overlap,
    ):
        results.append(result)
        if time.monotonic() - told > 10.0:
            told = time.monotonic()
            sys.stderr.write(f"overlap {task.overlap}: {len(results)} of {n}\n")
    return results


def row(overlap: int, results: list[EpisodeResult], first: list[EpisodeResult]) -> str:
    """A row of the table."""
    rate = wilson(sum(result.success for result in results), len(results))
    pairs = list(zip(results, first, strict=True))
    won = sum(result.success and not other.success for result, other in pairs)
    lost = sum(other.success and not result.success for result, other in pairs)
    steps = [result.steps for result in results if result.success]
    return (
        f"| {overlap} | {rate.value:.2f} | {rate.low:.2f} to {rate.high:.2f} | {won}, {lost} | "
        f"{sum(steps) / max(1, len(steps)):.1f} |"
    )


def say(line: str) -> None:
    """To the terminal, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
