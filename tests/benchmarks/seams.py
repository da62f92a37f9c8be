"""How an arm moves from chunk to chunk while a network computes: its commanded velocity, with and without an overlap.

``python -m tests.benchmarks.seams --overlaps 0 4 --seconds 0.2``

An arm without hardware (everything else as it is) is to move at one speed, chunk after chunk, at 10 Hz; a decision
computes convolutions for so many seconds of wall time, at least.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from datasets.observation import FloatArray
from policy.steering.interface import Decision, Window
from tests.station.session.test_overlap_on_an_arm import Cruising, arm, cruise


class Computing(Cruising):
    """Computes instead of sleeping."""

    def __init__(self, overlap: int, seconds: float) -> None:
        super().__init__(overlap, thinking=0.0)
        self.took: list[float] = []
        self._seconds = seconds
        self._network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 5), torch.nn.Conv2d(64, 64, 5))

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        began = time.monotonic()
        with torch.inference_mode():
            while time.monotonic() < began + self._seconds:
                self._network(torch.zeros(4, 3, 96, 96))
        self.took.append(time.monotonic() - began)
        return super().act(window, features, rngs, explore=explore)


def main() -> None:
    """Print one row per overlap."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[0, 4])
    parser.add_argument("--seconds", type=float, default=0.2)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(
        "| overlap | longest decision | late | slowest, fastest, of the planned speed |\n|---|---|---|---|\n"
    )
    with tempfile.TemporaryDirectory() as folder, arm(Path(folder)) as cell:
        for overlap in chosen.overlaps:
            steering = Computing(overlap, chosen.seconds)
            velocities, late = cruise(cell, steering, overlap)
            sys.stdout.write(
                f"| {overlap} | {1000 * max(steering.took):.0f} ms | {late} | {min(velocities):.2f}, "
                f"{max(velocities):.2f} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
