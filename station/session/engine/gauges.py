"""Live telemetry of the running engine: disk, memory, rates, the learner. Never stored, never counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

from datasets.spec import DataSpec
from hardware.cell import CellHealth, Check
from station.session.engine.dependencies import EngineDependencies
from station.session.engine.learner import Learner
from station.session.folder import SessionFolder
from station.session.snapshot import LiveHealth, LiveSteering

_EVERY = 1.0
"""s between two readings of disk and memory."""
_LEAST_HOURS = 1.0
"""Hours of recording that must fit before a real session starts."""
_COMPRESSED = 0.6
"""Approximate compressed size of images relative to raw."""


class Gauges:
    """Reads telemetry; expensive readings at most once a second."""

    def __init__(
        self, folder: SessionFolder, parts: EngineDependencies, learner: Learner, clock: Callable[[], float]
    ) -> None:
        """Read-only."""
        self._folder = folder
        self._parts = parts
        self._learner = learner
        self._clock = clock
        self._process = psutil.Process()
        self._read = float("-inf")
        self._disk_hours = self._memory = 0.0

    def health(self, decision: float | None = None) -> LiveHealth:
        """The worst over all cells, and how long the newest decision took, s."""
        if self._clock() - self._read >= _EVERY:
            self._read = self._clock()
            self._memory = self._process.memory_info().rss / 1e6
            self._disk_hours = hours_left(self._folder.path, self._parts)
        cells = [cell.health() for cell in self._parts.cells]
        return LiveHealth(
            achieved_hz=min(cell.achieved_hz for cell in cells),
            wanted_hz=self._parts.spec.control_hz,
            frame_age=_oldest(cells),
            oldest_frame=min(cell.oldest_frame for cell in cells),
            arms_wrong={name: why for cell in cells for name, why in cell.arms_wrong.items()},
            decision=decision,
            overlap=self._parts.overlap,
            motion={name: motion for cell in cells for name, motion in cell.motion.items()},
            disk_hours=self._disk_hours,
            memory_mb=self._memory,
            interventions=sum(cell.interventions for cell in cells),
        )

    def steering(self) -> LiveSteering:
        """The learner's panel."""
        progress = self._learner.progress
        ahead = max(0, self._parts.steering.warmup_chunks - len(self._learner.replay))
        return LiveSteering(
            method=self._parts.steering.name,
            # warm-up is over once a learner has updated, even while past episodes are still loading
            warmup_left=0 if self._learner.steps else ahead,
            done=progress.done,
            planned=progress.planned,
            rate=progress.rate,
            metrics=dict(progress.metrics or {}),
            reading=progress.reading,
        )


def hours_left(path: Path, parts: EngineDependencies) -> float:
    """Approximate hours of recording that still fit on the disk of `path`."""
    return shutil.disk_usage(path).free / (len(parts.cells) * bytes_per_hour(parts.spec))


def disk_checks(path: Path, parts: EngineDependencies) -> list[Check]:
    """Whether there is room to begin; for real cells only, whose episodes cannot be rerun."""
    if parts.simulated:
        return []
    hours = hours_left(path, parts)
    return [
        Check(
            name="disk",
            ok=hours >= _LEAST_HOURS,
            detail=f"room for {hours:.1f} h of recording",
            remedy=f"Free some space at {path}; at least {_LEAST_HOURS:g} h must fit.",
        )
    ]


def bytes_per_hour(spec: DataSpec) -> float:
    """Approximate bytes per hour of recording."""
    images = sum(camera.height * camera.width * 3 for camera in spec.cameras)
    numbers = 4 * (spec.proprioception_dim + 2 * spec.da) + 16
    return 3600.0 * spec.control_hz * (_COMPRESSED * images + numbers)


def _oldest(cells: list[CellHealth]) -> dict[str, float]:
    ages: dict[str, float] = {}
    for cell in cells:
        for name, age in cell.frame_age.items():
            ages[name] = max(age, ages.get(name, 0.0))
    return ages
