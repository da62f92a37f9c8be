"""Room for many pictures: in memory while they fit, beyond that in a file that the operating system pages in and out.

Either way it is an array like any other, and holds the same bytes. The file has no name and is gone with its last
array, however the process ends. What is put into the room is the caller's business.
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
"""Of the free memory: the rest is for training, which comes after."""
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_memory(control_group: Path = _CONTROL_GROUP) -> int:
    """Bytes this process may still take: what the machine has, or what a container leaves it."""
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
    """uint8 arrays of these shapes, together in memory up to `limit` bytes, otherwise mapped from files in `folder`.

    `limit` is half of the free memory when None, `folder` the system's place for temporary files.

    Raises:
        DiskFullError: the files do not fit; said before anything is put into them.
    """
    size = sum(prod(shape) for shape in shapes.values())
    if size <= (free_memory() * _SHARE if limit is None else limit):
        return {name: np.empty(shape, np.uint8) for name, shape in shapes.items()}
    return {name: _mapped(shape, folder) for name, shape in shapes.items()}


def _mapped(shape: tuple[int, ...], folder: Path | None) -> Image:
    size = prod(shape)
    where = folder or Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=where) as file, full_disk_named("the pictures to train on", where):
        # reserved at once: a page that finds no room later would end the process without a word
        os.posix_fallocate(file.fileno(), 0, size)
        pages = mmap.mmap(file.fileno(), size)
    # windows are drawn at random; reading ahead would fetch neighbours that nobody wants
    pages.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(pages, np.uint8).reshape(shape)
