"""One HDF5 file, readable by robomimic's SequenceDataset.

Per episode ``data/demo_N``: actions [T, da], rewards [T] (1 on the last step of a success), dones [T] (1 on the last
step), obs/* and next_obs/* with ``<camera>_image`` uint8 [T, height, width, 3] and ``proprioception``
[T, proprioception_dim]; true times and sent actions under ``station/``, which readers ignore by default. Filter keys
``mask/train``, ``mask/valid`` (every tenth) and ``mask/success``. Actions are absolute poses in the task's units, not
scaled to -1..1, so enable robomimic's own action normalisation. Latents and features are not exported.
"""

from __future__ import annotations

import json
from typing import ClassVar

import h5py
import numpy as np

from datasets.episode import Episode
from datasets.exporters.interface import Exporter
from datasets.exporters.source import Entry, ExportSource
from datasets.exporters.staging import Workplace, whole
from datasets.hdf5_writing import writing

_GYM_TYPE = 2
"""robomimic's type number for environments outside its own simulators."""
_VALID_EVERY = 10
_FRAMES_PER_CHUNK = 16


class RobomimicExporter(Exporter):
    """robomimic HDF5."""

    name: ClassVar[str] = "robomimic"
    description: ClassVar[str] = "one HDF5 file with rewards and train/valid/success masks, for robomimic"
    single: ClassVar[bool] = True
    reading: ClassVar[str] = """```python
from robomimic.utils.dataset import SequenceDataset
SequenceDataset(
    hdf5_path="{name}", obs_keys=["proprioception", "<camera>_image"], dataset_keys=["actions", "rewards", "dones"],
    frame_stack=2, seq_length=16, filter_by_attribute="train",
)
```

Masks: `train`, `valid` (every tenth episode), `success`."""

    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        """Write one demo to its own file, because a file left open by a kill cannot be trusted."""
        entry = source.entries[index]
        with whole(work.part(index) / "demo.hdf5") as path, writing(path) as file:
            _write_demo(file.create_group("demo"), entry.load(), entry)

    def finish(self, work: Workplace, source: ExportSource) -> None:
        """Copy the demos into one file, without recompressing chunks."""
        with whole(work.payload) as path, writing(path) as file:
            data = file.create_group("data")
            for index in range(len(source.entries)):
                with h5py.File(work.part(index) / "demo.hdf5", "r") as part:
                    part.copy("demo", data, name=f"demo_{index}")
            data.attrs["total"] = source.steps
            data.attrs["env_args"] = json.dumps(_environment(source))
            data.attrs["station"] = json.dumps(source.to_json())
            _write_masks(file.create_group("mask"), source)


def _write_demo(group: h5py.Group, episode: Episode, entry: Entry) -> None:
    steps = episode.steps
    last = np.arange(steps) == steps - 1
    group.attrs["num_samples"] = steps
    for key, value in entry.to_json().items():
        group.attrs["episode" if key == "id" else key] = value
    group.create_dataset("actions", data=episode.action)
    group.create_dataset("rewards", data=(last & entry.success).astype(np.float64))
    group.create_dataset("dones", data=last.astype(np.int64))
    for name, first in (("obs", 0), ("next_obs", 1)):
        observations = group.create_group(name)
        window = slice(first, first + steps)
        observations.create_dataset("proprioception", data=episode.proprioception[window])
        for camera, frames in episode.images.items():
            chunk = (min(steps, _FRAMES_PER_CHUNK), *frames.shape[1:])
            observations.create_dataset(
                f"{camera}_image", data=frames[window], chunks=chunk, compression="gzip", compression_opts=1
            )
    own = group.create_group("station")
    for name in ("observation_time", "command_time", "sent"):
        own.create_dataset(name, data=getattr(episode, name))


def _environment(source: ExportSource) -> dict[str, object]:
    return {"env_name": "station", "type": _GYM_TYPE, "env_kwargs": {"spec": source.spec.to_json()}}


def _write_masks(group: h5py.Group, source: ExportSource) -> None:
    names = [f"demo_{index}" for index in range(len(source.entries))]
    valid = names[_VALID_EVERY - 1 :: _VALID_EVERY]
    train = [name for name in names if name not in set(valid)]
    success = [name for name, entry in zip(names, source.entries, strict=True) if entry.success]
    for key, members in (("train", train), ("valid", valid), ("success", success)):
        group.create_dataset(key, data=np.array(members, dtype="S"))
