"""Runs in LeRobot's environment: everything that LeRobotDataset gives, frame by frame, and one window with edges."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch


def lerobot_dataset() -> types.ModuleType:
    # torchvision's wheel does not fit every build of torch; LeRobot needs none of the operators that are missing then
    stub = "torchvision._meta_registrations"
    sys.modules[stub] = types.ModuleType(stub)
    return importlib.import_module("lerobot.datasets.lerobot_dataset")


def decode_with_pyav(path: Path, times: list[float], tolerance: float, _backend: str | None) -> torch.Tensor:
    """In place of LeRobot's decoder where its system libraries are missing; same images, same tolerance."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    found = []
    for time in times:
        shown, pixels = min(frames, key=lambda frame: abs(frame[0] - time))
        assert abs(shown - time) < tolerance, f"no frame at {time} s"
        found.append(torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    return torch.stack(found)


def pixels(image: torch.Tensor) -> Any:
    return (image * 255).round().to(torch.uint8).movedim(-3, -1).numpy()


def main(root: str, out: str, decoder: str) -> None:
    module, backend = lerobot_dataset(), None
    if decoder == "pyav":
        vars(module)["decode_video_frames"] = decode_with_pyav
        backend = "pyav"
    dataset = module.LeRobotDataset("local/export", root=root, video_backend=backend)
    items = [dataset[index] for index in range(len(dataset))]
    cameras = dataset.meta.camera_keys
    found: dict[str, Any] = {
        key: np.stack([np.asarray(item[key]) for item in items])
        for key in dataset.features
        if key not in cameras
    }
    found |= {key: np.stack([pixels(item[key]) for item in items]) for key in cameras}
    found["task"] = np.array([item["task"] for item in items])
    found["episodes"] = np.array(dataset.num_episodes)
    found["stats"] = np.array(sorted(dataset.meta.stats))
    step = 1 / dataset.fps
    deltas = {"action": [0.0, step, 2 * step], **{camera: [-step, 0.0] for camera in cameras}}
    windows = module.LeRobotDataset("local/export", root=root, delta_timestamps=deltas, video_backend=backend)
    batch = next(iter(torch.utils.data.DataLoader(windows, batch_size=len(windows))))
    found |= {f"window/{key}": batch[key].numpy() for key in ("action", "action_is_pad")}
    found |= {f"window/{camera}": pixels(batch[camera]) for camera in cameras}
    np.savez(out, **found)


if __name__ == "__main__":
    if sys.argv[1] == "--own-decoder":
        importlib.import_module("torchcodec.decoders")
    else:
        main(*sys.argv[1:])
