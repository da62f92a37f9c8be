"""Writing of HDF5 files in which a failed write is an ordinary error.

The HDF5 library does not survive a failed write: it keeps the file's objects, retries when they are released, and
crashes the process with a segmentation fault. So it writes to a file object that never fails; the disk's error is
raised once HDF5 has released the file.
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
    """A new HDF5 file at `path`, on disk when the block ends.

    Raises:
        DiskFullError, OSError: the write failed; `path` holds an incomplete file.
    """
    with full_disk_named(path.name, path.parent), _Sink(path) as sink:
        try:
            with h5py.File(sink, "w") as file:
                yield file
        except Exception as error:
            # HDF5's complaint about a truncated file is only a consequence of the disk error
            if sink.refused is not None:
                raise sink.refused from error
            raise
        if sink.refused is not None:
            raise sink.refused
        os.fsync(sink.fileno())


class _Sink(io.FileIO):
    """Accepts every write; records the first one that fails and discards the rest."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.refused: OSError | None = None

    def flush(self) -> None:
        """Do nothing: writes are unbuffered, but HDF5 calls flush."""

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        if self.refused is None:
            try:
                write_all(self.fileno(), bytes(data))
            except OSError as error:
                self.refused = error
        return size
