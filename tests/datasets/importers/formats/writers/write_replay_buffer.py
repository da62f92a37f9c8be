"""Runs beside zarr 2: the given episodes appended to a replay buffer as Diffusion Policy and UMI lay it out."""

from __future__ import annotations

import sys
from typing import Any

import numcodecs
import numpy as np
import zarr


def main(given: str, path: str) -> None:
    assert zarr.__version__.startswith("2."), zarr.__version__
    with np.load(given) as saved:
        told = dict(saved)
    episode = told.pop("episode")
    # episodes arrive one by one in memory; what is then saved is a folder, or a zip that is filled from a folder
    zarr_2: Any = zarr
    root = zarr_2.group(store=zarr_2.MemoryStore())
    data, meta = root.create_group("data"), root.create_group("meta")
    meta.zeros("episode_ends", shape=(0,), dtype=np.int64, compressor=None)
    lz4 = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.NOSHUFFLE)
    zstd = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.BITSHUFFLE)
    for number in range(int(episode.max()) + 1):
        for name, values in told.items():
            rows = values[episode == number]
            if name not in data:
                image = rows.ndim == 4
                data.zeros(
                    name,
                    shape=(0, *rows.shape[1:]),
                    chunks=((1 if image else len(rows)), *rows.shape[1:]),
                    dtype=rows.dtype,
                    compressor=zstd if image else lz4,
                )
            data[name].append(rows)
        ends = meta["episode_ends"]
        ends.resize(len(ends) + 1)
        ends[-1] = int((episode <= number).sum())
    store = zarr_2.ZipStore(path, mode="w") if path.endswith(".zip") else zarr_2.DirectoryStore(path)
    zarr_2.copy_store(root.store, store)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
