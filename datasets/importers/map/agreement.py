"""Check that a source's commands agree with its arm's motion: an arm follows targets, but not increments or the like.

Nothing in a file proves that its "action" holds poses, but the observed motion does: over an episode an arm follows its
targets with a short lag. If it does not, the numbers mean something else, and the question suggests what would fit.
Also here: answers about units and grippers that contradict the numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from datasets.importers.defects import Question
from datasets.importers.map.columns import METRES
from datasets.importers.mapping import ActionKind, for_every_arm
from datasets.importers.recording import Array

LONGEST_LAG = 1.5
"""Maximum lag of an arm behind its targets, s."""
MOST_LAGS = 30
MOVES = {"m": 0.01, "rad": 0.02}
"""Minimum observed motion, by unit; with less, a comparison is inconclusive."""
APART = {"m": 0.1, "rad": 0.5}
"""Maximum constant distance between target and arm, if the arm does not move."""
FAR_APART = {"m": 0.3, "rad": 1.5}
"""The same if it moves; there may be a tool offset between the two."""
FOLLOWS = 0.5
"""Maximum fraction of the observed motion left unexplained by targets that it follows."""
FITS = 0.5
"""Minimum correlation at which increments explain the steps of the observed motion."""
FOOT = 0.1
"""m from the base's origin; positions this close are inside the arm's own base, so they cannot be targets."""
LEAST = 8
"""Minimum ticks for a comparison."""
_MOST_TICKS = 10_000
"""Maximum ticks compared, spread evenly over the recording; more would be slow and add nothing."""
_QUANTILE = 70
"""Percentile used for distances, robust to a few jumps."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Matching numbers of one arm, commanded and observed, in the station's units."""

    commanded: Array
    """[T, n] m or rad"""
    observed: Array
    """[T, n]"""
    unit: str
    """m or rad"""
    names: tuple[str, str]
    """Names of their columns."""


def follows(pair: Pair, period: float) -> bool:
    """Whether the arm followed the commands, at the best-fitting lag; also true if inconclusive."""
    if min(len(pair.commanded), len(pair.observed)) < LEAST:
        return True
    lags = lags_of(len(pair.observed), period)
    apart = min(_apart(pair, lag) for lag in lags)
    if _spread(pair.observed) < MOVES[pair.unit]:
        return apart < APART[pair.unit]
    return apart < FAR_APART[pair.unit] and min(_remaining(pair, lag) for lag in lags) < FOLLOWS


def misread(pair: Pair, period: float, turns: Array | None) -> Question:
    """The question about commands that are not targets; `turns`: xyzw [T, 4] of the observed tool, if known."""
    apart = min(_apart(pair, lag) for lag in lags_of(len(pair.observed), period))
    text = (
        f"the arm does not follow '{pair.names[0]}': over the whole episode '{pair.names[1]}' is "
        f"{apart:.2g} {pair.unit} away"
    )
    fit = fitting(pair.commanded, pair.observed, turns, period)
    if fit is None:
        text += "; another column, unit or frame may be meant"
        return Question(name="actions", text=text, choices=choices(ActionKind.ACHIEVED))
    along = "" if turns is None else f", along the axes of the {fit.frame}"
    text += f"; its numbers fit increments (1 means about {fit.scale:.2g} {pair.unit}{along})"
    return Question(name="actions", text=text, choices=choices(ActionKind.INCREMENTS, ActionKind.ACHIEVED))


def in_the_foot(position: Array, name: str) -> Question | None:
    """The question about commanded positions [T, 3] m without observed ones to compare with."""
    sound = position[np.isfinite(position).all(axis=1)]
    if len(sound) < LEAST or float(np.percentile(np.linalg.norm(sound, axis=1), _QUANTILE)) > FOOT:
        return None
    text = (
        f"'{name}' stays within {FOOT:g} m of the origin of the arm's base, where no tool can be; it may hold "
        "increments, or poses of another frame (--frame)"
    )
    return Question(name="actions", text=text, choices=choices(ActionKind.INCREMENTS, ActionKind.ACHIEVED))


def choices(*first: ActionKind) -> tuple[str, ...]:
    """All meanings of a column of commands, the likely ones first."""
    return tuple(dict.fromkeys([*first, *ActionKind]))


def weight(
    told: Array, seen: Array, turns: Array | None, period: float, names: tuple[str, str], unit: str | None
) -> str:
    """Evidence of an observed motion [T, n] for or against commands [T, n] being increments; a sentence fragment.

    `unit`: unit of the observed numbers, None if not yet known.
    """
    best = max(readings(told, seen, turns, period), key=lambda fit: fit.correlation, default=None)
    if best is not None and best.correlation >= FITS and best.scale > 0:
        along = "" if turns is None else f", along the axes of the {best.frame}"
        means = "" if unit is None else f", 1 means about {best.scale:.2g} {'m' if unit in METRES else 'rad'}"
        return f"for increments: their numbers fit the steps of '{names[1]}' with {best.correlation:.2f}{means}{along}"
    pair = Pair(commanded=told, observed=seen, unit="m", names=names)
    if min(len(told), len(seen)) >= LEAST and _spread(seen) > 0:
        if min(_remaining(pair, lag) for lag in lags_of(len(seen), period)) < FOLLOWS:
            return f"against increments: '{names[1]}' goes where they say, as an arm follows targets"
        return f"against increments: their numbers do not fit the steps of '{names[1]}'"
    return f"'{names[1]}' does not move, so it proves nothing"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A reading of increments that explains an observed motion."""

    scale: float
    """m or rad per unit of increment."""
    frame: str
    """base or tool"""
    correlation: float


def fitting(increments: Array, observed: Array, turns: Array | None, period: float) -> Fit | None:
    """The reading of increments [T, n] that best explains the observed motion [T, n]; None if none does."""
    found = readings(increments, observed, turns, period)
    best = max(found, key=lambda fit: fit.correlation, default=None)
    return None if best is None or best.correlation < FITS or best.scale <= 0 else best


def readings(increments: Array, observed: Array, turns: Array | None, period: float) -> list[Fit]:
    """One reading per frame, at its best-fitting lag."""
    if min(len(increments), len(observed)) < LEAST or not np.ptp(increments, axis=0).any():
        return []
    steps = np.diff(observed, axis=0)
    along = {"base": steps}
    if turns is not None and len(turns) == len(observed) and are_turns(turns):
        along["tool"] = Rotation.from_quat(turns[:-1]).inv().apply(steps)
    return [best_of(name, increments, moved, lags_of(len(observed), period)) for name, moved in along.items()]


def are_turns(turns: Array) -> bool:
    """Whether all of xyzw [T, 4] are valid rotations."""
    return bool(np.isfinite(turns).all() and (np.linalg.norm(turns, axis=1) > _SMALLEST).all())


_SMALLEST = 1e-6


def best_of(frame: str, increments: Array, steps: Array, lags: range) -> Fit:
    """How well increments [T, n] explain steps [T-1, n], at the best-fitting of `lags`."""
    fits = []
    for lag in lags:
        later = steps[lag:]
        told = increments[: len(later)]
        later = later[: len(told)]
        sound = np.isfinite(told).all(axis=1) & np.isfinite(later).all(axis=1)
        told, later = told[sound], later[sound]
        size, product = float((told**2).sum()), float((told * later).sum())
        both = float(np.sqrt(size * (later**2).sum()))
        # a lagging arm spreads a step over several ticks, so the scale is the ratio of total distances
        passed = float(np.abs(later).sum()) / max(float(np.abs(told).sum()), _SMALLEST)
        fits.append(Fit(scale=passed, frame=frame, correlation=product / both if both > 0 else 0.0))
    return max(fits, key=lambda fit: fit.correlation)


def opposed(commanded: Array, observed: Array, period: float) -> bool:
    """Whether one gripper's opening [T] closes as the other opens, i.e. the range of one is swapped."""
    ticks = min(len(commanded), len(observed))
    if ticks < LEAST or min(np.ptp(commanded), np.ptp(observed)) < _SWING:
        return False
    found = []
    for lag in lags_of(ticks, period):
        told, later = commanded[: ticks - lag], observed[lag:ticks]
        if min(np.ptp(told), np.ptp(later)) >= _SWING:
            found.append(float(np.corrcoef(told, later)[0, 1]))
    return bool(found) and max(found) < FITS and min(found) < -FITS


_SWING = 0.2
"""Minimum change of the opening."""


def doubtful_unit(name: str, told: str, largest: float, saturated: bool) -> Question | None:
    """The question about an answered unit of positions or angles that the column's largest number contradicts."""
    match name, told:
        case "angle", "deg" if 0 < largest <= _HALF_TURNS:
            fits, why = "rad", f"no angle goes beyond {largest:.2g} degrees"
        case "angle", "deg" if saturated:
            fits, why = "percent", "its numbers end at exactly 100, as percent of a joint's range do"
        case "length", "m" if largest > _FAR:
            fits, why = "mm" if largest > _FAR**2 else "cm", f"positions go up to {largest:.3g} m"
        case "length", "mm" | "cm" if 0 < largest < _NEAR:
            fits, why = "m", f"positions stay within {largest:.2g} {told}"
        case _:
            return None
    return Question(
        name=name, text=f"{name}={told} was answered, and {why}; {name}={fits} would fit", choices=(fits,)
    )


_HALF_TURNS = 6.3
_FAR = 10.0
_NEAR = 2.0


def is_told(entry: str, told: Collection[str]) -> bool:
    """Whether a person gave this entry; a gripper's range is stored as its two ends."""
    if entry.rpartition(".")[2] != "range":
        return entry in told
    tracks = (name.removesuffix("range") for name in (entry, for_every_arm(entry)))
    return any({f"{track}closed", f"{track}open"} <= set(told) for track in tracks)


def lags_of(ticks: int, period: float) -> range:
    """Possible lags of an arm behind its commands, in ticks of `period` s."""
    most = min(ticks // 3, int(np.ceil(LONGEST_LAG / period)) if period > 0 else 1)
    return range(0, most + 1, max(1, most // MOST_LAGS))


def _behind(pair: Pair, lag: int) -> tuple[Array, Array]:
    """[T, n] difference between the commands and the observation `lag` ticks later, and the latter."""
    ticks = min(len(pair.commanded), len(pair.observed) - lag)
    every = slice(None, None, 1 + ticks // _MOST_TICKS)
    seen = pair.observed[lag : lag + ticks][every]
    between = pair.commanded[:ticks][every] - seen
    sound = np.isfinite(between).all(axis=1)
    return between[sound], seen[sound]


def _remaining(pair: Pair, lag: int) -> float:
    """Fraction of the observed motion that the commands leave unexplained at this lag."""
    between, seen = _behind(pair, lag)
    return _spread(between) / max(_spread(seen), _SMALLEST)


def _spread(values: Array) -> float:
    """Distance of numbers [T, n] from their centre."""
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return 0.0
    return float(np.percentile(np.linalg.norm(values - np.median(values, axis=0), axis=1), _QUANTILE))


def _apart(pair: Pair, lag: int) -> float:
    between, _ = _behind(pair, lag)
    return float(np.median(np.linalg.norm(between, axis=1))) if len(between) else 0.0
