"""One HDF5 file as robomimic's SequenceDataset reads it.

Per episode ``data/demo_N``: actions [T, da], rewards [T] (1 on the last step of a success), dones [T] (1 on the last
step), obs/* and next_obs/* with ``<camera>_image`` uint8 [T, height, width, 3] and ``proprioception`` [T, dq]; filter
keys ``mask/train``, ``mask/valid`` (every tenth) and ``mask/success``. Actions are absolute poses in the task's units,
not scaled to -1..1, as robomimic's own normalisation expects to be told. Latents and features are not exported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from datasets.episode import Episode, Outcome
from datasets.exporters.interface import (
    Exporter,
    ExportError,
    ExportReport,
    Labelled,
    Progress,
    finished_file,
)
from datasets.journal import EpisodeStatus
from datasets.spec import DataSpec

_GYM_TYPE = 2
"""robomimic's number for environments that are not its own simulators'."""
_VALID_EVERY = 10
_FRAMES_PER_CHUNK = 16


class RobomimicExporter(Exporter):
    """robomimic HDF5."""

    name: ClassVar[str] = "robomimic"
    description: ClassVar[str] = "one HDF5 file with rewards and train/valid/success masks, for robomimic"
    suffix: ClassVar[str] = ".hdf5"

    def export(
        self,
        episodes: Iterable[Labelled],
        out: Path,
        *,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        with finished_file(out, force=force) as partial:
            with h5py.File(partial, "w") as file:
                written, skipped = _write(file, episodes, progress)
            return ExportReport(path=out, episodes=len(written), steps=sum(written.values()), skipped=skipped)


def _write(
    file: h5py.File, episodes: Iterable[Labelled], progress: Progress | None
) -> tuple[dict[str, int], int]:
    """Steps of each demo written, and how many void episodes were left out."""
    data = file.create_group("data")
    written: dict[str, int] = {}
    successes: list[str] = []
    skipped = 0
    spec: DataSpec | None = None
    for episode, status in episodes:
        if status.void:
            skipped += 1
            continue
        spec = _same(spec, episode)
        name = f"demo_{len(written)}"
        _write_demo(data.create_group(name), episode, status)
        written[name] = episode.steps
        if status.outcome is Outcome.SUCCESS:
            successes.append(name)
        if progress is not None:
            progress(len(written))
    if spec is None:
        raise ExportError(f"There is nothing to export: no episodes, or all {skipped} are void.")
    data.attrs["total"] = sum(written.values())
    data.attrs["env_args"] = json.dumps(_environment(spec))
    _write_masks(file.create_group("mask"), list(written), successes)
    return written, skipped


def _same(spec: DataSpec | None, episode: Episode) -> DataSpec:
    if spec is not None and spec != episode.header.spec:
        raise ExportError(
            f"Episode {episode.header.id} has other cameras, proprioception, actions or rate than those before it; "
            "export the stores one by one."
        )
    return episode.header.spec


def _write_demo(group: h5py.Group, episode: Episode, status: EpisodeStatus) -> None:
    steps = episode.steps
    last = np.arange(steps) == steps - 1
    group.attrs["num_samples"] = steps
    group.attrs["episode"] = episode.header.id
    group.attrs["kind"] = episode.header.kind.value
    group.attrs["outcome"] = status.outcome.value if status.outcome else "pending"
    group.attrs["policy_version"] = episode.header.policy_version
    group.create_dataset("actions", data=episode.action)
    group.create_dataset("rewards", data=(last & (status.outcome is Outcome.SUCCESS)).astype(np.float64))
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


def _environment(spec: DataSpec) -> dict[str, object]:
    return {"env_name": "station", "type": _GYM_TYPE, "env_kwargs": {"spec": spec.to_json()}}


def _write_masks(group: h5py.Group, names: list[str], successes: list[str]) -> None:
    valid = names[_VALID_EVERY - 1 :: _VALID_EVERY]
    train = [name for name in names if name not in valid]
    for key, members in (("train", train), ("valid", valid), ("success", successes)):
        group.create_dataset(key, data=np.array(members, dtype="S"))
