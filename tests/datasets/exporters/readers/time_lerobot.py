"""Runs in LeRobot's environment: training windows per second of its dataset under torch's DataLoader, as JSON.

One number of workers per process: its open videos do not survive a fork.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import types


def lerobot_dataset() -> types.ModuleType:
    # torchvision's wheel does not fit every build of torch; LeRobot needs none of the operators that are missing then
    stub = "torchvision._meta_registrations"
    sys.modules[stub] = types.ModuleType(stub)
    return importlib.import_module("lerobot.datasets.lerobot_dataset")


def main(root: str, seconds: float, workers: int, n_obs: int, horizon: int, size: int) -> None:
    module = lerobot_dataset()
    torch = importlib.import_module("torch")
    plain = module.LeRobotDataset("local/export", root=root)
    past = [(index - n_obs + 1) / plain.fps for index in range(n_obs)]
    deltas = dict.fromkeys((*plain.meta.camera_keys, "observation.state"), past)
    deltas["action"] = [index / plain.fps for index in range(horizon)]
    dataset = module.LeRobotDataset("local/export", root=root, delta_timestamps=deltas)
    batches = iter(
        torch.utils.data.DataLoader(
            dataset, batch_size=size, shuffle=True, num_workers=workers, drop_last=True
        )
    )
    next(batches)
    begun, count = time.perf_counter(), 0
    for _batch in batches:
        count += size
        if time.perf_counter() - begun > seconds:
            break
    print(json.dumps(count / (time.perf_counter() - begun)))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *(int(number) for number in sys.argv[3:7]))
