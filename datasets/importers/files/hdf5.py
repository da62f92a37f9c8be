"""Safe reading of untrusted HDF5 files: names and sizes are checked before any number is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datasets.hdf5_links import leads_outside
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files.pointers import missing_content
from datasets.importers.interface import Unstored, require_size
from datasets.importers.recording import Array
from datasets.vr_recording import RecordingError, trouble

SUFFIXES = (".h5", ".hdf5")
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises on damaged files."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file; whatever h5py raises on damage becomes a refusal.

    Raises:
        RefusedError: not HDF5, damaged or truncated, or it refers to other files.
    """
    try:
        known = path.stat()
        elsewhere = _leads_outside(path, known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns)
        if elsewhere is not None:
            raise RefusedError(Defect.OUTSIDE, elsewhere)
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except RecordingError:
        raise
    except DAMAGE as error:
        raise missing_content(path) or RefusedError(Defect.UNREADABLE, trouble(error)) from error


@lru_cache(maxsize=4)
def _leads_outside(path: Path, *_stamp: int) -> str | None:
    """Cached per state of a file, because the check is slow and a file is opened once per episode."""
    with h5py.File(path, "r", locking=False) as file:
        return leads_outside(file)


def damage(path: Path) -> str | None:
    """Why a file cannot be opened as HDF5; None when it can."""
    try:
        with opened(path) as file:
            list(file)
    except RefusedError as error:
        return str(error)
    return None


def has(path: Path, *members: str) -> bool:
    """Whether `path` is an HDF5 file with all these members.

    Raises:
        RefusedError: it refers to other files.
    """
    if not path.is_file() or not path.name.endswith(SUFFIXES):
        return False
    try:
        with opened(path) as file:
            return all(name in file for name in members)
    except RefusedError as error:
        if error.defect is Defect.OUTSIDE:
            raise
        return False


def group(parent: h5py.Group, name: str) -> h5py.Group:
    """A group by name. Raises RefusedError when it is missing."""
    member = parent.get(name)
    if not isinstance(member, h5py.Group):
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    return member


def dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset by name. Raises RefusedError when it is missing."""
    member = parent.get(name)
    if not isinstance(member, h5py.Dataset):
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    return member


def verdict(parent: h5py.Group, name: str = "success") -> bool | None:
    """The boolean in an attribute, in any of the recorders' encodings; None if absent or not a boolean."""
    value = parent.attrs.get(name)
    try:
        number = float(np.asarray(value).reshape(()))
    except (TypeError, ValueError):
        words = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return {"true": True, "false": False}.get(words.strip().lower())
    return bool(number) if number in (0.0, 1.0) else None


def words(parent: h5py.Group, *names: str) -> str:
    """The first text among attributes and datasets of these names; empty if there is none."""
    for name in names:
        value = parent.attrs.get(name)
        if value is None and isinstance(parent.get(name), h5py.Dataset) and parent[name].size == 1:
            value = np.asarray(parent[name][()]).reshape(()).item()
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        if isinstance(text, str) and text.strip():
            return text.strip()
    return ""


def is_numeric(member: Any) -> bool:
    """Whether it is a numeric dataset of one or two dimensions, ticks first."""
    return isinstance(member, h5py.Dataset) and member.dtype.kind in "fiub" and member.ndim in (1, 2)


def numbers(member: h5py.Dataset, name: str) -> Array:
    """float64 [T, n]; one-dimensional data becomes one column."""
    require_size(member.shape, name)
    values = np.asarray(member[()], np.float64)
    return values.reshape(len(values), -1) if values.size else np.zeros((len(values), 1))


class Rows:
    """A view of a range of rows of a dataset or another array."""

    def __init__(self, whole: Any, first: int, end: int) -> None:
        self.whole, self.first = whole, first
        self.shape, self.dtype = (end - first, *whole.shape[1:]), whole.dtype

    def __getitem__(self, wanted: slice | int) -> Any:
        if isinstance(wanted, int):
            return self.whole[self.first + wanted]
        first, end, _ = wanted.indices(self.shape[0])
        return self.whole[self.first + first : self.first + end]


def first_unwritten(member: Any) -> int | None:
    """The first row that was never written (HDF5 reads it as a fill value); None if none, or not a dataset."""
    first, end = 0, member.shape[0] if len(member.shape) else 0
    if isinstance(member, Rows):
        member, first, end = member.whole, member.first, member.first + end
    if not isinstance(member, h5py.Dataset) or not member.size or first >= end:
        return None
    if member.chunks is None:
        return 0 if member.ndim and member.id.get_storage_size() == 0 else None
    counts = [-(-length // size) for length, size in zip(member.shape, member.chunks, strict=True)]
    across, held, size = int(np.prod(counts[1:])), member.id.get_num_chunks(), int(member.chunks[0])
    if held == counts[0] * across:
        return None
    rows = [member.id.get_chunk_info(number).chunk_offset[0] // size for number in range(held)]
    written = np.bincount(np.asarray(rows, np.int64), minlength=counts[0])
    wanting = [row for row in range(first // size, -(-end // size)) if written[row] < across]
    return max(wanting[0] * size - first, 0) if wanting else None


def unstored(members: Mapping[str, Any]) -> dict[str, Unstored]:
    """column -> rows never written, for datasets; other members are skipped."""
    found = {}
    for name, member in members.items():
        first = first_unwritten(member)
        if first is not None:
            whole = member.whole if isinstance(member, Rows) else member
            found[name] = Unstored(
                where=f"rows of '{name}' from {first} on were never written",
                fill=f"{float(np.asarray(whole.fillvalue).item()):g}",
            )
    return found
