"""Where the scripted demonstrations of some seeds leave the orange: the mean offset from the juicer's centre.

It decides how good a base becomes, and differs by seed. No image is rendered and nothing is written::

    python -m tests.benchmarks.demonstrated_offset [--seeds 0 5] [--task place-orange]
"""

from __future__ import annotations

import argparse

import numpy as np

from datasets.randomness import stream
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.demonstrator import RECORDER_HZ, run_episode
from hardware.simulation.styles import STYLES
from station.tasks.config import load_task


def main() -> None:
    """Print one line per seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--task", default="place-orange")
    options = parser.parse_args()
    task = load_task(options.task)
    settings = task.simulation.model_copy(update={"control_hz": RECORDER_HZ})
    cell = SimulatedCell(settings, render="on_observe")
    for seed in options.seeds:
        found = [
            off for style, n in task.demonstrations.count.items() for off in offsets(cell, style, n, seed)
        ]
        (x, y), (sx, sy) = np.mean(found, axis=0), np.std(found, axis=0)
        print(
            f"seed {seed}: {len(found)} demonstrations, mean ({x:.1f}, {y:.1f}) mm, {np.hypot(x, y):.1f} mm from the "
            f"centre, standard deviation ({sx:.1f}, {sy:.1f}) mm",
            flush=True,
        )


def offsets(cell: SimulatedCell, name: str, count: int, seed: int) -> list[tuple[float, float]]:
    """Offset x, y in mm of the first `count` successes of a style."""
    found: list[tuple[float, float]] = []
    attempt = 0
    while len(found) < count:
        layout = cell.sample_layout(seed, f"demonstration/{name}", attempt)
        rng = stream(seed, f"demonstrator/{name}", attempt)
        if run_episode(cell, STYLES[name], rng, layout, teleoperated=True, seconds=20.0).success:
            scene = cell.truth()
            x, y = 1000.0 * (scene.orange - scene.filter)[:2]
            found.append((float(x), float(y)))
        attempt += 1
    return found


if __name__ == "__main__":
    main()
