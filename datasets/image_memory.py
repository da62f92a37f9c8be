"""Buffers for many images: in memory while they fit, otherwise in a memory-mapped file.

Either way the result is an ordinary array with the same bytes. The file is unlinked and vanishes with its last array,
however the process ends. The caller fills the buffers.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import psutil

from datasets.durable import full_disk_named
from datasets.observation import Image

_SHARE = 0.5
"""Fraction of the free memory to use; the rest is for the training that follows."""
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_memory(control_group: Path = _CONTROL_GROUP) -> int:
    """Bytes this process can still allocate, on the machine or within its container's limit."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = (control_group / "memory.max").read_text().strip()
        used = int((control_group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if not limit.isdigit() else max(0, min(free, int(limit) - used))


def make_room(
    shapes: Mapping[str, tuple[int, ...]], folder: Path | None = None, limit: int | None = None
) -> dict[str, Image]:
    """uint8 arrays of these shapes, in memory up to `limit` bytes in total, otherwise mapped from files in `folder`.

    Defaults: `limit` half the free memory, `folder` the system's folder for temporary files.

    Raises:
        DiskFullError: the files do not fit; raised before anything is written.
    """
    size = sum(prod(shape) for shape in shapes.values())
    if size <= (free_memory() * _SHARE if limit is None else limit):
        return {name: np.empty(shape, np.uint8) for name, shape in shapes.items()}
    return {name: _mapped(shape, folder) for name, shape in shapes.items()}


def _mapped(shape: tuple[int, ...], folder: Path | None) -> Image:
    size = prod(shape)
    where = folder or Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=where) as file, full_disk_named("the images to train on", where):
        # reserve now: a page that finds no space later would kill the process without an error message
        os.posix_fallocate(file.fileno(), 0, size)
        pages = mmap.mmap(file.fileno(), size)
    # windows are drawn at random, so read-ahead would only fetch unneeded neighbours
    pages.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(pages, np.uint8).reshape(shape)
