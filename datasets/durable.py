"""Durable writes (on disk when the call returns), and the single error for a full disk.

All writing and fsyncing of this layer goes through here, so tests and fault drills can inject a disk that fills up
into the store and the journal.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import StationError
from datasets.own_files import open_descriptor

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFullError(StationError):
    """The disk has no space for a write; no partial data was left behind."""


class Disk:
    """Writes and fsyncs regular files (see `datasets.own_files`); subclass it to inject faults."""

    def write(self, path: Path, data: bytes) -> None:
        """Create or replace a file and wait until its bytes are on the disk."""
        descriptor = open_descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def create(self, path: Path) -> None:
        """Create the file if it is missing, durably."""
        descriptor = open_descriptor(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, path: Path, data: bytes) -> None:
        """Durably append to an existing file; on failure the file keeps its old length."""
        descriptor = open_descriptor(path, os.O_WRONLY | os.O_APPEND)
        length = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, length)
            raise
        finally:
            os.close(descriptor)

    def sync(self, folder: Path) -> None:
        """Wait until a folder's entries are on the disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        """Replace the content of `path` atomically, even if the process is killed at any point."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        try:
            self.write(partial, data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self.sync(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Repeat os.write, which may write less than requested, until all data is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def full_disk_named(what: str, where: Path) -> Iterator[None]:
    """Turn "no space left", "quota exceeded" and "too large" into DiskFullError; other errors pass through."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        if error.errno == errno.EFBIG:
            raise DiskFullError(
                f"{what} could not be written to {where}: this disk, or a limit of this user (ulimit -f), takes no "
                "larger file. Use another disk or lift the limit; nothing was lost."
            ) from error
        raise DiskFullError(
            f"The disk is full: {what} could not be written to {where}. Free some space; nothing was lost."
        ) from error
