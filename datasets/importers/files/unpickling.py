"""Safe unpickling of untrusted files: plain Python values and arrays of numbers or text, and nothing else.

A pickle is a program. Here it can call only stubs, each of which checks its arguments before NumPy sees them: no pickle
can make an array of Python objects, over memory that is not its own, or of a dtype that misstates its size. Every other
class or function is an error.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from datasets.importers.defects import Defect, RefusedError, why

EXPANSION = 3
"""Maximum ratio of memory to file size for a pickle."""
_PLAIN = re.compile(r"[<>|=]?([biufc]\d{0,2}|\?|[SU]\d{1,6})")
"""Allowed dtypes: numbers and fixed-length text."""
_ORDERS = ("<", ">", "|", "=")


class _Type:
    """Placeholder for a NumPy dtype until it is known to be plain."""

    def __init__(self, name: Any, *_flags: Any) -> None:
        if not isinstance(name, str) or _PLAIN.fullmatch(name) is None:
            raise pickle.UnpicklingError(f"it holds an array of {str(name)[:40]!r}, not of numbers")
        self.plain = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        """Take the byte order; any other state belongs to dtypes that are not plain."""
        if not isinstance(state, tuple) or len(state) < _STATE or state[1] not in _ORDERS:
            raise pickle.UnpicklingError("it describes a type in a way that NumPy does not")
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("it holds an array of records, not of numbers")
        self.plain = self.plain.newbyteorder(state[1])


_STATE = 5


class _Rebuilt(np.ndarray[Any, Any]):
    """An array whose content arrives later, with its state."""

    def __setstate__(self, state: Any) -> None:
        """Set the pickled state (version, shape, dtype, order, bytes)."""
        if not isinstance(state, tuple) or len(state) != _STATE:
            raise pickle.UnpicklingError("it describes an array in a way that NumPy does not")
        _, shape, kind, fortran, content = state
        plain = _plain(kind)
        if not isinstance(content, bytes) or len(content) != _bytes(shape, plain):
            raise pickle.UnpicklingError("an array's bytes do not fit its shape")
        in_columns: Any = bool(fortran)
        super().__setstate__((1, shape, plain, in_columns, content))


def _reconstruct(kind: Any, *_shape_and_type: Any) -> NDArray[Any]:
    if kind is not _ARRAY:
        raise pickle.UnpicklingError("it wants to build an array of a class of its own")
    return _Rebuilt((0,), np.uint8)


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any, *_axes: Any) -> NDArray[Any]:
    plain = _plain(kind)
    if not isinstance(content, bytes | bytearray) or len(content) != _bytes(shape, plain):
        raise pickle.UnpicklingError("an array's bytes do not fit its shape")
    return np.frombuffer(content, plain).reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: Any, content: Any = None) -> np.generic:
    plain = _plain(kind)
    if not isinstance(content, bytes) or len(content) != plain.itemsize:
        raise pickle.UnpicklingError("a number's bytes do not fit its type")
    number: np.generic = np.frombuffer(content, plain)[0]
    return number


def _plain(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("it holds an array without a type")
    return kind.plain


def _bytes(shape: Any, kind: np.dtype[Any]) -> int:
    """Number of bytes of an array of this shape."""
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise pickle.UnpicklingError("an array's shape is none")
    return math.prod(shape) * kind.itemsize


def _encoded(text: Any, encoding: Any) -> bytes:
    """Decode bytes as old pickles write them; nothing else is accepted."""
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError("it wants to encode text")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Empty bytes, as old pickles write them."""
    return b""


def _no_array(*_words: Any) -> NDArray[Any]:
    raise pickle.UnpicklingError("it wants to build an array over memory of its choice")


class _StandIn:
    """A callable that a pickle may use; not a class it could instantiate, and immutable."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *words: Any) -> Any:
        return self._function(*words)

    def __setstate__(self, _state: Any) -> None:
        raise pickle.UnpicklingError("it wants to change what builds it")


_ARRAY = _StandIn(_no_array)
"""Stub for NumPy's array class, which pickles mention but never call."""


def _allowed() -> MappingProxyType[tuple[str, str], _StandIn]:
    """(module, name) -> its stub; NumPy's core was renamed, so both names are listed."""
    core: dict[tuple[str, str], Callable[..., Any]] = {
        ("multiarray", "_reconstruct"): _reconstruct,
        ("multiarray", "scalar"): _scalar,
        ("numeric", "_frombuffer"): _from_buffer,
    }
    table = {
        (f"{package}.{module}", name): _StandIn(function)
        for package in ("numpy.core", "numpy._core")
        for (module, name), function in core.items()
    }
    none = _StandIn(_no_bytes)
    plain = {
        ("numpy", "ndarray"): _ARRAY,
        ("numpy", "dtype"): _StandIn(_Type),
        ("_codecs", "encode"): _StandIn(_encoded),
        ("builtins", "bytes"): none,
        ("__builtin__", "bytes"): none,
    }
    return MappingProxyType({**table, **plain})


class ArrayUnpickler(pickle.Unpickler):
    """Builds plain Python values and arrays of numbers or text."""

    _table = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        """See pickle.Unpickler."""
        found = self._table.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it wants to build {module}.{name}, which is not plain data")
        return found


def read(path: Path) -> Any:
    """Read a whole pickle.

    Raises:
        RefusedError: damaged, more than plain arrays, or too large for memory.
    """
    size, free = path.stat().st_size, psutil.virtual_memory().available
    if size * EXPANSION > free:
        raise RefusedError(
            Defect.TOO_BIG,
            f"a pickle is read whole and may take {size * EXPANSION / 2**30:.1f} GB; {free / 2**30:.1f} GB are free",
        )
    try:
        with path.open("rb") as file:
            return ArrayUnpickler(io.BufferedReader(file)).load()
    except MemoryError as error:
        raise RefusedError(Defect.TOO_BIG, "the pickle takes more memory than an import may use") from error
    # a damaged pickle can make the unpickler raise nearly anything
    except Exception as error:
        raise RefusedError(
            Defect.UNREADABLE,
            "the pickle is cut off, damaged or more than plain arrays; copy it again, or save it as plain lists, "
            f"dictionaries and NumPy arrays ({why(error)})",
        ) from error
