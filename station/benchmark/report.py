"""Results of a learning benchmark: rates per seed, and the mean gain with confidence intervals.

Base and final policy are judged on the same start layouts with the same random streams, and every seed meets the
same layouts, so gains are paired and crossed: outcomes are ``[S seeds, L layouts]``. Two bootstrap intervals are
given. Resampling layouts only asks whether *these* policies are better; resampling seeds as well asks whether
another training would be. Nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.durable import Disk
from datasets.plain_text import from_json
from datasets.randomness import stream

if TYPE_CHECKING:
    from rich.table import Table

RESAMPLES = 20_000


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One training from an empty folder, judged on the test layouts."""

    seed: int
    base: tuple[bool, ...]
    """[L] success of the mean-latent path of the frozen base."""
    final: tuple[bool, ...]
    """[L] success of the steered policy after the last update, without exploration."""
    base_success: tuple[int, int]
    """(successes, n) of the same base on the evaluation layouts, as its session reports it."""
    chunks: int
    env_steps: int
    updates: int
    facts: dict[str, Any]
    """What the figures depend on: task hash, versions, threads, seconds per stage, curve over env_steps."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            KeyError, TypeError: the JSON is not a result.
        """
        lists = {name: tuple(data[name]) for name in ("base", "final", "base_success")}
        return cls(**{**data, **lists})


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Mean over seeds of final minus base success, with 95 % bootstrap intervals."""

    mean: float
    over_seeds_and_layouts: tuple[float, float]
    over_layouts: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class LearnsReport:
    """All seeds together."""

    results: tuple[SeedResult, ...]
    gain: Gain

    @property
    def layouts(self) -> int:
        """L."""
        return len(self.results[0].base)

    def mean(self, which: str) -> float:
        """Mean success over seeds of ``base`` or ``final`` on the test layouts."""
        return float(np.mean([np.mean(getattr(result, which)) for result in self.results]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, per-layout outcomes left to the files of the seeds."""
        return {
            "seeds": [_summary(result) for result in self.results],
            "layouts": self.layouts,
            "base": self.mean("base"),
            "final": self.mean("final"),
            "gain": asdict(self.gain),
        }


def build(results: Sequence[SeedResult]) -> LearnsReport:
    """Put the seeds together.

    Raises:
        ValueError: no results, or results on different numbers of layouts.
    """
    if not results:
        raise ValueError("There is no finished seed to report on.")
    sizes = {len(outcomes) for result in results for outcomes in (result.base, result.final)}
    if len(sizes) != 1:
        raise ValueError(f"The seeds were judged on different numbers of layouts ({sorted(sizes)}).")
    ordered = tuple(sorted(results, key=lambda result: result.seed))
    base = np.array([result.base for result in ordered], dtype=np.float64)
    final = np.array([result.final for result in ordered], dtype=np.float64)
    return LearnsReport(results=ordered, gain=paired_gain(base, final))


def paired_gain(base: NDArray[np.float64], final: NDArray[np.float64], *, resamples: int = RESAMPLES) -> Gain:
    """Bootstrap the mean of ``final - base``, both [S, L] of 0 and 1."""
    difference = final - base
    seeds, layouts = difference.shape
    rng = stream(0, "bootstrap")
    layout_weights = (
        rng.multinomial(layouts, np.full(layouts, 1 / layouts), size=resamples) / layouts
    )  # [R, L]
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds  # [R, S]
    per_seed = layout_weights @ difference.T  # [R, S]
    return Gain(
        mean=float(difference.mean()),
        over_seeds_and_layouts=_interval((per_seed * seed_weights).sum(axis=1)),
        over_layouts=_interval(per_seed.mean(axis=1)),
    )


def read(path: Path) -> SeedResult:
    """The result of one seed as `write` left it."""
    return SeedResult.from_json(from_json(path.read_text()))


def write(path: Path, data: dict[str, Any]) -> None:
    """Replace `path` in one step, so that a killed benchmark leaves either the old file or the new one."""
    Disk().replace(path, (json.dumps(data, indent=1) + "\n").encode())


def table(report: LearnsReport) -> Table:
    """For the terminal."""
    from rich.table import Table

    shown = Table(title=f"Steered against base, {report.layouts} paired test layouts")
    for name in ("seed", "base success", "base on test", "final on test", "gain", "chunks", "env steps"):
        shown.add_column(name, justify="right")
    for result in report.results:
        k, n = result.base_success
        base, final = float(np.mean(result.base)), float(np.mean(result.final))
        shown.add_row(
            str(result.seed),
            f"{k / n:.3f} ({k}/{n})" if n else "-",
            f"{base:.3f}",
            f"{final:.3f}",
            f"{final - base:+.3f}",
            str(result.chunks),
            str(result.env_steps),
        )
    shown.caption = caption(report)
    return shown


def caption(report: LearnsReport) -> str:
    """The finding in one sentence."""
    gain = report.gain
    return (
        f"Mean gain {gain.mean:+.3f} over {len(report.results)} seeds; 95 % interval "
        f"{_range(gain.over_seeds_and_layouts)} over seeds and layouts, {_range(gain.over_layouts)} over layouts."
    )


def _range(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _summary(result: SeedResult) -> dict[str, Any]:
    n = len(result.base)
    return {
        "seed": result.seed,
        "base_success": {"successes": result.base_success[0], "n": result.base_success[1]},
        "base": {"successes": sum(result.base), "n": n},
        "final": {"successes": sum(result.final), "n": n},
        "gain": (sum(result.final) - sum(result.base)) / n,
        "chunks": result.chunks,
        "env_steps": result.env_steps,
        "updates": result.updates,
    }
