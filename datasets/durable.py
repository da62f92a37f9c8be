"""Bytes that are on the disk when a call returns, and the one error for a disk that has no room.

Files are written and synchronised here and nowhere else on this floor, so that a test (or a fault drill) can
hand the store and the journal a disk that fills up.
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
    """The disk refused a write; nothing half-written was left behind."""


class Disk:
    """Writes and synchronises, plain files only (see `datasets.own_files`); subclass it to inject faults."""

    def write(self, path: Path, data: bytes) -> None:
        """Create or replace a file and wait until its bytes are on the disk."""
        descriptor = open_descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def create(self, path: Path) -> None:
        """Make sure that there is a file, and wait."""
        descriptor = open_descriptor(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, path: Path, data: bytes) -> None:
        """Append to a file that is there, and wait; on failure the file has its old length again."""
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
        """Give `path` new content, whole or not at all, whatever is killed and whenever."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        try:
            self.write(partial, data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self.sync(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """os.write until everything is written; it may take less than it was given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def full_disk_named(what: str, where: Path) -> Iterator[None]:
    """Turn "no space left", "quota exceeded" and "too large" into DiskFullError; every other error passes."""
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
