"""Maps of numbers, text and numeric arrays as bytes: msgpack, with arrays as openpi's policy servers write them.

An array is a map with the byte-string keys ``__ndarray__``, ``data`` (its bytes, C order), ``dtype`` (such as ``<f4``)
and ``shape``; a numpy number is one with ``__npgeneric__``, ``data`` and ``dtype``. Nothing that is read can name a
class or hold an object: the types are those of a short list, sizes must agree, and what would take far more memory
than it has bytes is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from datasets.errors import StationError

PROTOCOL = "station-policy/1"
"""What a server of ours says it speaks; changes whenever either side would misread the other."""
Array = NDArray[Any]
Content = dict[str, Any]
"""Text keys; values are arrays, numbers, text, None, and lists and maps of these."""

TYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
}
"""Every type of array that is read, by the name it has on the wire; little-endian."""

_ARRAY, _NUMBER, _DATA, _TYPE, _SHAPE = b"__ndarray__", b"__npgeneric__", b"data", b"dtype", b"shape"
_MOST_CONTAINERS = 512
"""Maps and lists in one message, arrays included."""
_MOST_ENTRIES = 256
"""Entries of one map or list."""
_MOST_TEXT = 1 << 16
"""Bytes of one text; a message's metadata is far smaller."""
_MOST_DIMENSIONS = 8


class WireError(StationError):
    """Bytes that are no message, or hold what no message may; says which."""


def pack(content: Mapping[str, Any]) -> bytes:
    """The bytes of a message. Raises WireError for values that cannot be sent."""
    try:
        packed: bytes = msgpack.packb(content, default=_packed)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"This cannot be sent: {error}.") from error
    return packed


def unpack(data: bytes) -> Content:
    """The message in `data`; its arrays are read-only views of it. Raises WireError."""
    reader = _Reader()
    try:
        content = msgpack.unpackb(
            data,
            object_hook=reader.map,
            list_hook=reader.list,
            strict_map_key=True,
            max_str_len=_MOST_TEXT,
            max_bin_len=len(data),
            max_array_len=_MOST_ENTRIES,
            max_map_len=_MOST_ENTRIES,
            max_ext_len=0,
        )
    except WireError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"These {len(data):,} bytes are no message in msgpack ({error}).") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WireError(f"A message is a map with names as keys; this one is {type(content).__name__}.")
    return content


def _packed(value: object) -> object:
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.str not in TYPES:
            raise TypeError(f"an array of {value.dtype}")
        if isinstance(value, np.generic):
            return {_NUMBER: True, _DATA: value.item(), _TYPE: value.dtype.str}
        return {_ARRAY: True, _DATA: value.tobytes(), _TYPE: value.dtype.str, _SHAPE: list(value.shape)}
    raise TypeError(f"a {type(value).__name__}")


class _Reader:
    """Turns maps into arrays while a message is read, and counts: one byte can claim a whole map."""

    def __init__(self) -> None:
        self._left = _MOST_CONTAINERS

    def map(self, content: dict[Any, Any]) -> object:
        self._count()
        if _ARRAY in content:
            return _array(content)
        if _NUMBER in content:
            return _number(content)
        return content

    def list(self, content: list[Any]) -> list[Any]:
        self._count()
        return content

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise WireError(f"The message holds more than {_MOST_CONTAINERS} maps and lists.")


def _array(content: dict[Any, Any]) -> Array:
    kind, data, shape = _type(content.get(_TYPE)), content.get(_DATA), content.get(_SHAPE)
    if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
        raise WireError("An array has no bytes, or no shape of at most 8 sizes.")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise WireError(f"An array's shape is {shape}.")
    if math.prod(shape) * kind.itemsize != len(data):
        raise WireError(f"An array of shape {shape} and type {kind} has {len(data):,} bytes.")
    return np.frombuffer(data, kind).reshape(shape)


def _number(content: dict[Any, Any]) -> np.generic:
    kind, value = _type(content.get(_TYPE)), content.get(_DATA)
    if not isinstance(value, (bool, int, float)):
        raise WireError(f"A number of type {kind} is a {type(value).__name__}.")
    try:
        number: np.generic = kind.type(value)
    except (OverflowError, ValueError) as error:
        raise WireError(f"A number is none of type {kind} ({error}).") from error
    return number


def _type(name: object) -> np.dtype[Any]:
    found = TYPES.get(name) if isinstance(name, str) else None
    if found is None:
        raise WireError(f"Arrays of type {str(name)[:20]!r} are refused; accepted are {', '.join(TYPES)}.")
    return found
