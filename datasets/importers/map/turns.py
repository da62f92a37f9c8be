"""Meaning of a source's three-number rotation increments: rotation vector, Euler angles, or Euler-angle differences.

Differences of a pose's Euler angles are not a rotation: near a roll of half a turn, a yaw difference turns the tool
about another axis than the same number in a rotation vector. Over an episode, the observed poses distinguish them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from datasets.importers.map.agreement import LEAST, Fit, are_turns, best_of, lags_of
from datasets.importers.mapping import EulerOrder
from datasets.importers.recording import Array

VECTOR, EULER, DIFFERENCE = "vector", "euler", "difference"
WORDS = {
    DIFFERENCE: "differences of the pose's euler angles",
    EULER: "euler angles of the turn",
    VECTOR: "a rotation vector",
}


@dataclass(frozen=True, kw_only=True)
class TurnReading:
    """How well one meaning of the numbers explains the observed turns."""

    kind: str
    """vector, euler or difference"""
    order: EulerOrder | None
    """Order of Euler angles; None for a vector."""
    fit: Fit

    @property
    def sentence(self) -> str:
        """The meaning, its convention and its fit, in words."""
        along = "" if self.kind == DIFFERENCE else f"along the axes of the {self.fit.frame}"
        how = ", ".join(part for part in (self.order or "", along) if part)
        return f"{WORDS[self.kind]} ({how}) fit with {self.fit.correlation:.2f}"


def turn_readings(
    increments: Array, turns: Array, orders: Sequence[EulerOrder], period: float
) -> list[TurnReading]:
    """The best reading of each kind at its best-fitting lag, best first; empty if nothing can be compared.

    `increments` [T, 3]; `turns`: xyzw [T, 4] of the observed tool; `orders`: candidate orders of Euler angles.
    """
    told, seen = len(increments), len(turns)
    if min(told, seen) < LEAST or not are_turns(turns) or not np.ptp(increments, axis=0).any():
        return []
    found: dict[str, TurnReading] = {}
    for kind, order, frame, steps in _steps(Rotation.from_quat(turns), orders):
        reading = TurnReading(
            kind=kind, order=order, fit=best_of(frame, increments, steps, lags_of(seen, period))
        )
        if kind not in found or reading.fit.correlation > found[kind].fit.correlation + _SAME:
            found[kind] = reading
    return sorted(found.values(), key=lambda one: (-round(one.fit.correlation, 2), _KINDS.index(one.kind)))


def told_apart(better: TurnReading, *others: TurnReading) -> bool:
    """Whether the observed poses clearly favour one reading, which leaves half as much unexplained as any other."""
    best = better.fit.correlation
    return all(
        best - other.fit.correlation > _ALIKE and 1 - best**2 < (1 - max(other.fit.correlation, 0) ** 2) / 2
        for other in others
    )


_KINDS = (VECTOR, EULER, DIFFERENCE)
_SAME = 1e-3
"""Correlation difference within which orders and frames fit equally well; the first is reported."""
_ALIKE = 0.02
"""Correlation difference within which two meanings are indistinguishable."""


def _steps(
    poses: Rotation, orders: Sequence[EulerOrder]
) -> Iterator[tuple[str, EulerOrder | None, str, Array]]:
    """(kind, order, frame, steps [T-1, 3] from each pose to the next) of every reading."""
    along = {"base": poses[1:] * poses[:-1].inv(), "tool": poses[:-1].inv() * poses[1:]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gimbal lock, where a difference is meaningless anyway
        for order in orders:
            passed = np.diff(poses.as_euler(order), axis=0)
            yield DIFFERENCE, order, "base", (passed + np.pi) % (2 * np.pi) - np.pi
        for frame, turn in along.items():
            yield VECTOR, None, frame, turn.as_rotvec()
            for order in orders:
                yield EULER, order, frame, turn.as_euler(order)


def turned(poses: Array, increments: Array, kind: str, order: EulerOrder, *, along_tool: bool) -> Array:
    """xyzw [T, 4] of poses [T, 7] after increments rad [T, 3]; invalid rotations are returned as NaN."""
    sound = np.isfinite(poses).all(1) & np.isfinite(increments).all(1)
    sound &= np.linalg.norm(poses[:, 3:], axis=1) > _SMALLEST
    result = np.full((len(poses), 4), np.nan)
    if not sound.any():
        return result
    here, rows = Rotation.from_quat(poses[sound, 3:]), increments[sound]
    if kind == DIFFERENCE:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result[sound] = Rotation.from_euler(order, here.as_euler(order) + rows).as_quat()
        return result
    turn = Rotation.from_euler(order, rows) if kind == EULER else Rotation.from_rotvec(rows)
    result[sound] = (here * turn if along_tool else turn * here).as_quat()
    return result


_SMALLEST = 1e-6
