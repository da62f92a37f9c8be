"""Runs in LeRobot's environment: windows per second that its dataset gives under torch's DataLoader, as JSON.

The second figure is per second of the processor. One number of workers per process: open videos survive no fork.
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


def main(root: str, seconds: float, workers: int, n_obs: int, prediction_horizon: int, size: int) -> None:
    module = lerobot_dataset()
    torch = importlib.import_module("torch")
    plain = module.LeRobotDataset("local/export", root=root)
    past = [(index - n_obs + 1) / plain.fps for index in range(n_obs)]
    deltas = dict.fromkeys((*plain.meta.camera_keys, "observation.state"), past)
    deltas["action"] = [index / plain.fps for index in range(prediction_horizon)]
    dataset = module.LeRobotDataset("local/export", root=root, delta_timestamps=deltas)
    batches = iter(
        torch.utils.data.DataLoader(
            dataset, batch_size=size, shuffle=True, num_workers=workers, drop_last=True
        )
    )
    next(batches)
    begun, worked, count = time.perf_counter(), time.process_time(), 0
    for _batch in batches:
        count += size
        if time.perf_counter() - begun > seconds:
            break
    spent = (time.perf_counter() - begun, time.process_time() - worked)
    print(json.dumps([count / seconds for seconds in spent]))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *(int(number) for number in sys.argv[3:7]))
