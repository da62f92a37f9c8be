"""Runs whole episodes on simulated cells and judges them by ground truth; nothing is stored.

Evaluation blocks of a running session belong to the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.episode import Ending
from datasets.randomness import stream
from hardware.cell import Cell, CellError
from policy.steering.interface import Steering
from station.session.engine.rollout import Finished, Rollout, Start, workers


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """How one episode of an evaluation ended."""

    ordinal: int
    success: bool
    ending: Ending
    steps: int
    chunks: int


def evaluate(
    cells: Sequence[Cell],
    steering: Steering,
    layouts_purpose: str,
    seed: int,
    n: int,
    *,
    n_obs: int = 1,
    episode_steps: int,
    explore: bool = False,
    first: int = 0,
    look_at_decisions: bool = False,
    overlap: int = 0,
) -> Iterator[EpisodeResult]:
    """Run `n` episodes of a seeded schedule on simulated cells and judge them by simulator ground truth.

    Layout i and random stream i are those of (seed, layouts_purpose, i), so two policies meet the same starts and the
    same noise. Results come in order of ordinal, in groups of one episode per cell.

    Raises:
        CellError: a cell failed, or the policy gave actions that are not finite.
    """
    with workers(len(cells)) as pool:
        for group in range(first, first + n, len(cells)):
            starts = [
                _laid_out(cell, seed, layouts_purpose, ordinal, ordinal - group)
                for cell, ordinal in zip(cells, range(group, first + n), strict=False)
            ]
            rollout = Rollout(
                starts,
                steering,
                batch=len(cells),
                n_obs=n_obs,
                episode_steps=episode_steps,
                explore=explore,
                pool=pool,
                look_at_decisions=look_at_decisions,
                overlap=overlap,
            )
            yield from _run_out(rollout)


def _laid_out(cell: Cell, seed: int, purpose: str, ordinal: int, row: int) -> Start:
    layout = cell.sample_layout(seed, purpose, ordinal)
    cell.reset_scene(layout)
    rng = stream(seed, purpose, ordinal)
    return Start(episode=str(ordinal), cell=cell, row=row, rng=rng, layout=layout)


def _run_out(rollout: Rollout) -> list[EpisodeResult]:
    results = []
    while rollout.running:
        part = rollout.advance()
        if part.fault:
            raise CellError(part.fault)
        results += [_result(finished) for finished in part.finished]
    return sorted(results, key=lambda result: result.ordinal)


def _result(finished: Finished) -> EpisodeResult:
    return EpisodeResult(
        ordinal=int(finished.start.episode),
        success=finished.ending is Ending.SUCCESS,
        ending=finished.ending,
        steps=finished.recorder.steps,
        chunks=finished.recorder.chunks,
    )
