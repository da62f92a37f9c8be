"""Runs beside zarr 2: the arrays of a replay buffer in Diffusion Policy's layout, as its code would find them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import zarr


def main(path: str, out: str) -> None:
    assert zarr.__version__.startswith("2."), zarr.__version__
    root: Any = zarr.open(path, mode="r")
    ends = root["meta/episode_ends"][:]
    for name, array in root["data"].arrays():
        assert array.shape[0] == ends[-1], f"{name} has {array.shape[0]} rows, not {ends[-1]}"
        assert array.chunks[1:] == array.shape[1:], f"{name}: a step is torn over several chunks"
    found: dict[str, Any] = {
        f"{group}/{name}": array[:]
        for group in ("data", "meta")
        for name, array in root[group].arrays()
    }  # fmt: skip
    found["session"] = np.array(root.attrs["station"]["session"])
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
