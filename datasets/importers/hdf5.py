"""HDF5 files opened and read with suspicion: members are asked for by name and size before any number is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datasets.hdf5_links import leads_outside
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.interface import require_size
from datasets.importers.pointers import missing_content
from datasets.importers.recording import Array
from datasets.vr_recording import RecordingError, trouble

SUFFIXES = (".h5", ".hdf5")
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises on damaged files."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, with everything that h5py raises on damage turned into a refusal.

    Raises:
        RefusedError: no HDF5, damaged or cut short; or it would have other files read.
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
    """Asked once for each state of a file: its episodes are opened one by one, and the look takes a while."""
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
        RefusedError: it would have other files read.
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
    """The truth value in an attribute, as recorders write it; None where there is none, or no truth value."""
    value = parent.attrs.get(name)
    try:
        number = float(np.asarray(value).reshape(()))
    except (TypeError, ValueError):
        words = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return {"true": True, "false": False}.get(words.strip().lower())
    return bool(number) if number in (0.0, 1.0) else None


def words(parent: h5py.Group, *names: str) -> str:
    """The first text there is among attributes and datasets of these names; empty without one."""
    for name in names:
        value = parent.attrs.get(name)
        if value is None and isinstance(parent.get(name), h5py.Dataset) and parent[name].size == 1:
            value = np.asarray(parent[name][()]).reshape(()).item()
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        if isinstance(text, str) and text.strip():
            return text.strip()
    return ""


def is_numeric(member: Any) -> bool:
    """Whether it is a dataset of numbers with at most two dimensions, ticks first."""
    return isinstance(member, h5py.Dataset) and member.dtype.kind in "fiub" and member.ndim in (1, 2)


def numbers(member: h5py.Dataset, name: str) -> Array:
    """float64 [T, n]; one-dimensional data becomes one column."""
    require_size(member.shape, name)
    values = np.asarray(member[()], np.float64)
    return values.reshape(len(values), -1) if values.size else np.zeros((len(values), 1))
