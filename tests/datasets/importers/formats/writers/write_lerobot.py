"""Runs in LeRobot's environment, of either version: the given episodes through its own dataset writer."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from typing import Any

import numpy as np

ROWS = ("observation.state", "action", "next.success")


def lerobot_dataset() -> types.ModuleType:
    # torchvision's wheel does not fit every build of torch; LeRobot needs none of the operators that are missing then
    stub = "torchvision._meta_registrations"
    sys.modules[stub] = types.ModuleType(stub)
    return importlib.import_module("lerobot.datasets.lerobot_dataset")


def main(given: str, root: str, images: str) -> None:
    with np.load(given) as saved:
        told = dict(saved)
    cameras = [name for name in told if name.startswith("observation.images.")]
    axes = ["height", "width", "channels"]
    numbers: dict[str, Any] = {"dtype": "float32", "shape": (8,), "names": told["names"].tolist()}
    features = {
        "observation.state": numbers,
        "action": numbers,
        "next.success": {"dtype": "bool", "shape": (1,), "names": None},
        **{name: {"dtype": images, "shape": told[name].shape[1:], "names": axes} for name in cameras},
    }
    kind = lerobot_dataset().LeRobotDataset
    dataset = kind.create(
        "local/written", int(told["fps"]), features, root=root, use_videos=images == "video"
    )
    split = hasattr(dataset.meta, "update_chunk_settings")
    if split:  # as if it were so large that it needs several files and folders
        dataset.meta.update_chunk_settings(
            chunks_size=2, data_files_size_in_mb=0.01, video_files_size_in_mb=0.01
        )
    task = "lift the cube"
    apart = "task" in inspect.signature(dataset.add_frame).parameters
    for number in range(int(told["episode"].max()) + 1):
        for row in np.flatnonzero(told["episode"] == number):
            frame = {name: told[name][row] for name in (*ROWS, *cameras)}
            dataset.add_frame(frame, task) if apart else dataset.add_frame({**frame, "task": task})
        dataset.save_episode()
    if hasattr(dataset, "finalize"):
        dataset.finalize()


if __name__ == "__main__":
    main(*sys.argv[1:])
