"""Generic access to the members of array files: HDF5, npz, parquet, pickles of plain arrays.

Names are paths with ``/`` between their parts. Arrays are read lazily. This module does not know what members mean.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.files import hdf5, images, unpickling
from datasets.importers.files.lerobot_layout import parquet
from datasets.importers.files.pointers import missing_content
from datasets.importers.interface import require_size
from datasets.vr_recording import RecordingError

NPZ, PICKLES, PARQUET = (".npz",), (".pkl", ".pickle"), (".parquet",)
SUFFIXES = (*hdf5.SUFFIXES, *NPZ, *PICKLES, *PARQUET)
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_DEEPEST = 12

Members = dict[str, Any]
"""name -> an array, or something that has a shape and a dtype and can be sliced like one"""


@contextmanager
def opened(path: Path, *, lists_are_groups: bool = False) -> Iterator[Members]:
    """Open a file and return all its members.

    With `lists_are_groups`, a pickled list of dictionaries becomes one group each, ``0/...``; otherwise its entries are
    steps and are stacked.

    Raises:
        RefusedError: the file cannot be read.
    """
    if path.name.endswith(hdf5.SUFFIXES):
        with hdf5.opened(path) as file:
            found: Members = {}
            file.visititems(
                lambda name, member: found.update({name: member} if isinstance(member, h5py.Dataset) else {})
            )
            yield found
    elif path.name.endswith(NPZ):
        with _npz(path) as found:
            yield found
    elif path.name.endswith(PICKLES):
        content = unpickling.read(path)
        yield dict(_leaves(content, "", 0, lists_are_groups=lists_are_groups))
    elif path.name.endswith(PARQUET):
        with parquet(path) as file:
            yield dict(_columns(file.read()))
    else:
        raise RefusedError(Defect.UNREADABLE, f"files of this kind are not read; {', '.join(SUFFIXES)} are")


def said(members: Members, most: int = 12) -> str:
    """Names, shapes and types in readable form."""
    shown = [f"{name} {list(member.shape)} {member.dtype}" for name, member in list(members.items())[:most]]
    rest = len(members) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "") if shown else "nothing"


class Encoded:
    """Byte strings of varying length, one row per step: most likely individually compressed images."""

    dtype: np.dtype[Any] = np.dtype("O")

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._rows = rows
        self.shape = (len(rows),)

    def __getitem__(self, index: int) -> bytes:
        return self._rows[index]


def _columns(table: Any) -> Iterator[tuple[str, Any]]:
    """A table's numbers, fixed-length vectors and byte strings (Hugging Face keeps those in a field ``bytes``)."""
    import pyarrow as pa

    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = column.field("bytes")
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            yield name, Encoded([row or b"" for row in column.to_pylist()])
        else:
            array = _array(column.to_pylist())
            if array is not None:
                yield name, array


class _Packed:
    """One array of an npz, read on first use."""

    def __init__(self, file: zipfile.ZipFile, entry: str) -> None:
        with file.open(entry) as stream:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            self.shape, _, self.dtype = read(stream)
        self._file, self._entry = file, entry
        self._array: Any = None

    def __getitem__(self, wanted: Any) -> Any:
        if self._array is None:
            require_size(self.shape[:1], self._entry)
            with self._file.open(self._entry) as stream:
                self._array = npy.read_array(stream, allow_pickle=False)
        return self._array[wanted]


@contextmanager
def _npz(path: Path) -> Iterator[Members]:
    try:
        with zipfile.ZipFile(path) as file:
            entries = [name for name in file.namelist() if name.endswith(".npy")]
            yield {name.removesuffix(".npy"): _Packed(file, name) for name in entries}
    except RecordingError:
        raise
    except _DAMAGE as error:
        raise missing_content(path) or RefusedError(
            Defect.UNREADABLE,
            f"the npz is damaged, cut off or more than plain arrays; copy it again ({why(error)})",
        ) from error


def _leaves(value: Any, name: str, depth: int, *, lists_are_groups: bool) -> Iterator[tuple[str, Any]]:
    """Everything in a pickle that is an array or can be converted to one."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        if not (lists_are_groups and depth == 0):
            yield from _stacked(value, name, depth)
            return
        value = dict(enumerate(value))
    if name and isinstance(value, list | tuple) and value and all(_is_file(entry) for entry in value):
        yield name, Encoded([bytes(entry) for entry in value])
        return
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(key, str | int):
                inside = f"{name}/{key}" if name else str(key)
                yield from _leaves(member, inside, depth + 1, lists_are_groups=lists_are_groups)
        return
    if name and _is_file(value):
        yield name, Encoded([bytes(value)])
        return
    array = _array(value)
    if name and array is not None:
        yield name, array


def _is_file(value: Any) -> bool:
    """Whether it is the content of an image file: bytes, or the output of OpenCV's encoder."""
    if isinstance(value, np.ndarray):
        is_row = value.dtype == np.uint8 and value.size in value.shape
        return is_row and images.is_encoded(Encoded([value.tobytes()]))
    return isinstance(value, bytes | bytearray) and images.is_encoded(Encoded([bytes(value)]))


def _stacked(steps: list[dict[Any, Any]], name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Stack the members that all steps share, one row per step."""
    rows = [dict(_leaves(step, name, depth + 1, lists_are_groups=False)) for step in steps]
    for member, first in rows[0].items():
        values = [row.get(member) for row in rows]
        if all(isinstance(value, Encoded) and value.shape == (1,) for value in values):
            yield member, Encoded([value[0] for value in values if isinstance(value, Encoded)])
        elif all(value is not None and value.shape == first.shape for value in values):
            yield member, np.stack(values)  # type: ignore[arg-type]


def _array(value: Any) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The value as an array if it is numbers or equally long rows of numbers; otherwise None."""
    if not isinstance(value, np.ndarray | np.generic | bool | int | float | list | tuple):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "fiub" or (array.ndim == 1 and array.dtype.kind == "S") else None
