"""Memory and speed of importing a large source: ALOHA episodes with full-size pictures, through the real reader.

    python -m tests.benchmarks.import_memory --gigabytes 5

Prints the source's size, the largest memory of the import (both processes together), and how fast it went. Nothing of
it depends on the number of episodes: each is read, committed and forgotten.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import psutil

from datasets.importers.intake import Intake
from datasets.importers.worker import isolated_reader
from datasets.journal import Journal
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore

STEPS, CAMERAS, SIZE = 400, 3, (480, 640, 3)
SPEC = DataSpec(
    cameras=tuple(CameraSpec(name=f"cam_{number}", height=128, width=128) for number in range(CAMERAS)),
    proprioception=(*(f"joint_{number}" for number in range(1, 7)), "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
ANSWERS = {"": {"colour": "rgb", "rate": "20", "kinematics": "xarm6"}}


def make(path: Path, ordinal: int) -> int:
    """One episode; its size in bytes."""
    rng = stream(1, "import benchmark", ordinal)
    noise = rng.integers(0, 255, (8, *SIZE), dtype=np.uint8)
    time_ = np.arange(STEPS)[:, None] / 20
    state = np.concatenate([0.1 * np.arange(6) + 0.1 * time_, 1 - time_ / 100], 1).astype(np.float32)
    with h5py.File(path, "w") as file:
        for camera in range(CAMERAS):
            shape = (STEPS, *SIZE)
            images = file.create_dataset(
                f"observations/images/cam_{camera}", shape, np.uint8, chunks=(1, *SIZE)
            )
            for step in range(STEPS):
                images[step] = noise[step % 8]
        file["observations/qpos"] = state
        file["action"] = state + rng.normal(0, 1e-3, state.shape).astype(np.float32) * (np.arange(7) < 6)
    return path.stat().st_size


class Watch:
    """The largest sum of resident memory of this process and its children, and of each alone."""

    def __init__(self) -> None:
        self.parent = self.child = self.both = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        me = psutil.Process(os.getpid())
        while not self._over.wait(0.05):
            mine = me.memory_info().rss
            try:
                others = max((child.memory_info().rss for child in me.children(recursive=True)), default=0)
            except psutil.NoSuchProcess:
                continue
            self.parent, self.child = max(self.parent, mine), max(self.child, others)
            self.both = max(self.both, mine + others)


def main() -> None:
    """Make a source, import it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    wanted = parser.parse_args().gigabytes * 2**30
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        size = episodes = 0
        while size < wanted:
            size += make(inbox / f"episode_{episodes}.hdf5", episodes)
            episodes += 1
        store = EpisodeStore(Path(folder) / "demos", writable=True)
        journal = Journal(Path(folder) / "journal.jsonl", writable=True)
        begun = time.monotonic()
        with Watch() as watch, isolated_reader() as reader:
            results = list(Intake(store, journal).run(reader.find([inbox]), SPEC, ANSWERS, reader))
        taken = time.monotonic() - begun
        again = time.monotonic()
        with isolated_reader() as reader:
            known = list(Intake(store, journal).run(reader.find([inbox]), SPEC, ANSWERS, reader))
        skipped = time.monotonic() - again
    print(
        f"source    {size / 2**30:.1f} GB in {episodes} episodes of {STEPS} steps, {CAMERAS} cameras {SIZE}"
    )
    print(f"imported  {sum(result.refused is None for result in results)} in {taken:.1f} s, "
          f"{size / 2**20 / taken:.0f} MB/s")  # fmt: skip
    print(f"again     {sum(result.duplicate for result in known)} known in {skipped:.1f} s")
    print(f"memory    {watch.parent / 2**20:.0f} MB importer, {watch.child / 2**20:.0f} MB reader, "
          f"{watch.both / 2**20:.0f} MB together")  # fmt: skip


if __name__ == "__main__":
    main()
