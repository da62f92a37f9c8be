"""HDF5 files out: the disk's refusal arrives as an error.

The HDF5 library does not survive a write that fails: it keeps the file's objects, tries again when they are let go of,
and takes the process along with a segmentation fault. So it writes into a file object that never refuses; what the disk
refused is raised when HDF5 has let go.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from datasets.durable import full_disk_named, write_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@contextmanager
def writing(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file at `path`, on the disk when the block ends.

    Raises:
        DiskFullError, OSError: the disk refused; what stands at `path` is no whole file.
    """
    with full_disk_named(path.name, path.parent), _Sink(path) as sink:
        try:
            with h5py.File(sink, "w") as file:
                yield file
        except Exception as error:
            # what HDF5 finds wrong with a file whose end was dropped is no reason of its own
            if sink.refused is not None:
                raise sink.refused from error
            raise
        if sink.refused is not None:
            raise sink.refused
        os.fsync(sink.fileno())


class _Sink(io.FileIO):
    """Takes everything; remembers the first write that the disk refused, and drops what comes after it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.refused: OSError | None = None

    def flush(self) -> None:
        """HDF5 asks for it; nothing waits here."""

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        if self.refused is None:
            try:
                write_all(self.fileno(), bytes(data))
            except OSError as error:
                self.refused = error
        return size
