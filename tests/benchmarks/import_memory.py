"""Memory and speed of importing a large source, through the real reader: many ALOHA files, or one robomimic file.

    python -m tests.benchmarks.import_memory --gigabytes 5
    python -m tests.benchmarks.import_memory --gigabytes 100 --packed
    python -m tests.benchmarks.import_memory --gigabytes 100 --packed --one-file

A gigabyte counts images as they are in memory, and every one of them is decoded: no start is trimmed, no rate is
changed. Packed, they are smooth and deflated, so that a source of any size fits on the disk; otherwise they are noise.
Prints the largest memory of the import (both processes together) after 1, 10, 30 and 100 GB and how fast it went.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import psutil
from numpy.typing import NDArray

from datasets.importers.enter.intake import Intake
from datasets.importers.findings import Answers
from datasets.importers.read.worker import isolated_reader
from datasets.journal.journal import Journal
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from tests.datasets.importers.sources import OSC_POSE

STEPS, CAMERAS, SIZE, HZ = 400, 3, (480, 640, 3), 20.0
DISTINCT = 32
"""Different images of a source; they come in turn."""
EPISODE = STEPS * CAMERAS * int(np.prod(SIZE))
"""Bytes of an episode's images."""
MARKS = (1, 10, 30, 100)
"""GB after which memory is told."""
ANSWERS: Answers = {
    "": {
        "colour": "rgb",
        "rate": str(HZ),
        "kinematics": "xarm6",
        "state": "joints",
        "angle": "rad",
        **{
            f"{side}{end}": number
            for side in ("", "action.")
            for end, number in (("closed", "0"), ("open", "1"))
        },
    }
}


def spec(joints: int) -> DataSpec:
    """A task with as many joints as the source's arm, at the source's own rate."""
    return DataSpec(
        cameras=tuple(CameraSpec(name=f"cam_{number}", height=128, width=128) for number in range(CAMERAS)),
        proprioception=(*(f"joint_{number}" for number in range(1, joints + 1)), "gripper"),
        action=ActionSpec(),
        control_hz=HZ,
    )


class Maker:
    """Writes episodes whose images cost no time to make."""

    def __init__(self, *, packed: bool) -> None:
        """`packed`: smooth images, deflated; otherwise noise as it is."""
        rng = stream(1, "import benchmark", 0)
        self._packed = packed
        shown = [
            _smooth(turn) if packed else rng.integers(0, 255, SIZE, np.uint8) for turn in range(DISTINCT)
        ]
        self._chunks = [zlib.compress(p.tobytes(), 1) if packed else p.tobytes() for p in shown]

    def aloha(self, folder: Path, episodes: int) -> None:
        """A file per episode."""
        for ordinal in range(episodes):
            with h5py.File(folder / f"episode_{ordinal}.hdf5", "w") as file:
                for camera in range(CAMERAS):
                    self._images(file, f"observations/images/cam_{camera}")
                file["observations/qpos"] = file["action"] = _state(ordinal, joints=6).astype(np.float32)

    def robomimic(self, folder: Path, episodes: int) -> None:
        """All episodes in one file."""
        controller = {**OSC_POSE, "control_delta": False}
        kwargs = {"robots": ["Panda"], "control_freq": HZ, "controller_configs": controller}
        with h5py.File(folder / "all.hdf5", "w") as file:
            data = file.create_group("data")
            data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": kwargs})
            for ordinal in range(episodes):
                demo, state = data.create_group(f"demo_{ordinal}"), _state(ordinal, joints=7)
                demo.attrs["num_samples"] = STEPS
                for camera in range(CAMERAS):
                    self._images(demo, f"obs/cam_{camera}_image")
                place = state[:, :3] + (0.3, 0, 0.2)
                down = np.tile([np.pi, 0, 0, -1], (STEPS, 1))
                demo["actions"] = np.concatenate([place, down], 1)
                demo["obs/robot0_eef_pos"] = place
                demo["obs/robot0_eef_quat"] = np.tile([1.0, 0, 0, 0], (STEPS, 1))
                demo["obs/robot0_joint_pos"] = state[:, :7]
                demo["obs/robot0_gripper_qpos"] = np.stack([0.04 * state[:, 7], -0.04 * state[:, 7]], 1)

    def _images(self, group: h5py.Group, name: str) -> None:
        packing = {"compression": "gzip"} if self._packed else {}
        images = group.create_dataset(name, (STEPS, *SIZE), np.uint8, chunks=(1, *SIZE), **packing)
        for step in range(STEPS):
            images.id.write_direct_chunk((step, 0, 0, 0), self._chunks[step % DISTINCT])


def _smooth(turn: int) -> NDArray[np.uint8]:
    image = np.full(SIZE, 40, np.uint8)
    image[..., 1] = np.linspace(0, 250, SIZE[1]).astype(np.uint8)
    image[100:200, 10 * turn : 10 * turn + 100] = 200
    return image


def _state(ordinal: int, *, joints: int) -> NDArray[np.float64]:
    """[T, joints + 1]; moves from the first step on, and differs between episodes."""
    time_ = np.arange(STEPS)[:, None] / HZ
    moving = 0.1 * np.arange(joints) + 0.1 * time_ + 1e-4 * ordinal
    return np.concatenate([moving, 1 - time_ / 100], 1)


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

    def __str__(self) -> str:
        parts = (self.parent / 2**20, self.child / 2**20, self.both / 2**20)
        return "{:.0f} MB importer, {:.0f} MB reader, {:.0f} MB together".format(*parts)

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


def measure(root: Path, inbox: Path, wanted: DataSpec) -> None:
    """Import everything, then once more; print the figures."""
    store = EpisodeStore(root / "demos", writable=True)
    journal = Journal(root / "journal.jsonl", writable=True)
    begun, decoded, marks = time.monotonic(), 0, list(MARKS)
    with Watch() as watch, isolated_reader() as reader:
        for result in Intake(store, journal).run(reader.find([inbox]), wanted, ANSWERS, reader):
            assert result.refused is None and not result.finding.dropped, result.finding
            decoded += (result.finding.steps + 1) * CAMERAS * int(np.prod(SIZE))
            while marks and decoded >= marks[0] * 2**30:
                seconds = time.monotonic() - begun
                print(
                    f"after {marks.pop(0):4d} GB  {watch}, {decoded / 2**20 / seconds:.0f} MB/s", flush=True
                )
    seconds = time.monotonic() - begun
    print(
        f"decoded {decoded / 2**30:.1f} GB in {seconds:.1f} s, {decoded / 2**20 / seconds:.0f} MB/s; {watch}"
    )
    again = time.monotonic()
    with isolated_reader() as reader:
        known = list(Intake(store, journal).run(reader.find([inbox]), wanted, ANSWERS, reader))
    assert all(result.duplicate for result in known)
    print(f"again   {len(known)} known in {time.monotonic() - again:.1f} s")


def main() -> None:
    """Make a source, import it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--one-file", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        episodes = int(np.ceil(wanted.gigabytes * 2**30 / EPISODE))
        maker = Maker(packed=wanted.packed)
        (maker.robomimic if wanted.one_file else maker.aloha)(inbox, episodes)
        size = sum(path.stat().st_size for path in inbox.iterdir())
        print(
            f"source  {episodes} episodes of {STEPS} steps, {CAMERAS} cameras {SIZE}: "
            f"{episodes * EPISODE / 2**30:.1f} GB of images, {size / 2**30:.2f} GB on disk"
        )
        measure(Path(folder), inbox, spec(7 if wanted.one_file else 6))


if __name__ == "__main__":
    main()
