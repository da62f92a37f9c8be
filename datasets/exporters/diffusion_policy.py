"""One zarr v2 folder in Diffusion Policy's replay-buffer layout: all episodes end to end, ``meta/episode_ends``.

``data/*`` have N rows, one per step of all episodes: action, sent, proprioception, observation_time, command_time and
``<camera>_image`` uint8 [N, height, width, 3]. ``meta/*`` have one row per episode; ``meta/final_*`` hold the
observation after the last action, for which the layout has no row. Compressed with Blosc, which zarr 2 reads. Latents
and features are not exported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numcodecs
import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.storage import LocalStore

from datasets.episode import Episode
from datasets.exporters.interface import Exporter
from datasets.exporters.source import ExportSource
from datasets.exporters.staging import Workplace
from datasets.spec import DataSpec

_CHUNK_BYTES = 2**20
"""Bytes of an uncompressed chunk: large enough for few files, small enough to read one window quickly."""
_SUCCESS = {True: 1, False: 0, None: -1}


class DiffusionPolicyExporter(Exporter):
    """Diffusion Policy's zarr v2."""

    name: ClassVar[str] = "diffusion-policy"
    description: ClassVar[str] = (
        "one zarr v2 folder with all episodes end to end, for Diffusion Policy and UMI"
    )
    single: ClassVar[bool] = False
    reading: ClassVar[str] = """```python
from diffusion_policy.common.replay_buffer import ReplayBuffer
ReplayBuffer.copy_from_path("{name}", keys=["action", "proprioception", "<camera>_image"])
```

`meta/episode_ends` says where episodes end; `meta/success` is 1, 0, or -1 if unlabelled."""

    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        """Write one episode's rows; a retry overwrites the same rows."""
        root = _group(work) if index else _create(work, source)
        start = source.starts[index]
        episode = source.entries[index].load()
        for name, values in _rows(episode):
            _array(root, f"data/{name}")[start : start + episode.steps] = values[: episode.steps]
            if len(values) > episode.steps:
                _array(root, f"meta/final_{name}")[index] = values[-1]

    def finish(self, work: Workplace, source: ExportSource) -> None:
        """Write the metadata of each episode."""
        ends = np.cumsum([entry.steps for entry in source.entries])
        judged = [None if entry.status.outcome is None else entry.success for entry in source.entries]
        root = _group(work)
        _array(root, "meta/episode_ends")[:] = ends
        _array(root, "meta/success")[:] = np.array([_SUCCESS[success] for success in judged])
        episodes = [entry.to_json() for entry in source.entries]
        root.attrs["station"] = {**source.to_json(), "episodes": episodes}


def _rows(episode: Episode) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every per-step array; those of observations have one extra row."""
    for name in ("action", "sent", "command_time", "proprioception", "observation_time"):
        yield name, getattr(episode, name)
    for camera, frames in episode.images.items():
        yield f"{camera}_image", frames


def _create(work: Workplace, source: ExportSource) -> zarr.Group:
    """Create all arrays at their final size, so an interrupted attempt never leaves unequal lengths."""
    spec, steps, episodes = source.spec, source.steps, len(source.entries)
    root = zarr.open_group(LocalStore(work.payload), mode="w", zarr_format=2)
    for name, (shape, dtype, observed) in _layout(spec).items():
        _new(root, f"data/{name}", (steps, *shape), dtype)
        if observed:
            _new(root, f"meta/final_{name}", (episodes, *shape), dtype)
    _new(root, "meta/episode_ends", (episodes,), np.int64)
    _new(root, "meta/success", (episodes,), np.int8)
    return root


def _layout(spec: DataSpec) -> dict[str, tuple[tuple[int, ...], DTypeLike, bool]]:
    """name -> (shape of a row, type, whether it is part of an observation)."""
    cameras = {
        f"{camera.name}_image": ((camera.height, camera.width, 3), np.uint8, True) for camera in spec.cameras
    }
    return {
        "action": ((spec.da,), np.float32, False),
        "sent": ((spec.da,), np.float32, False),
        "command_time": ((), np.float64, False),
        "proprioception": ((spec.proprioception_dim,), np.float32, True),
        "observation_time": ((), np.float64, True),
        **cameras,
    }


def _new(root: zarr.Group, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    row = int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize
    root.create_array(
        name,
        shape=shape,
        dtype=np.dtype(dtype),
        chunks=(max(1, min(shape[0], _CHUNK_BYTES // row)), *shape[1:]),
        compressors=numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE),
        filters=None,
        # write chunks of zeros too, so a missing file always means damage
        config={"write_empty_chunks": True},
    )


def _group(work: Workplace) -> zarr.Group:
    return zarr.open_group(LocalStore(work.payload), mode="r+", zarr_format=2)


def _array(root: zarr.Group, name: str) -> zarr.Array[Any]:
    array = root[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"'{name}' is no array")
    return array
