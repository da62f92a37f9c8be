"""Image arrays in common encodings (CHW, floats, RGBA, JPEG, PNG), returned as uint8 [T, height, width, 3].

Conversion is lazy and limited to the requested images. Data with one channel, or integers of more than eight bits, is
depth or greyscale, not colour.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.importers.defects import Defect, RefusedError, repaired
from datasets.importers.files import hdf5
from datasets.importers.interface import require_image, require_size
from datasets.importers.recording import ArrayFrames, EncodedFrames, Frames
from datasets.observation import Image

_IMAGES = 4
"""Dimensions of an image array."""
_COLOURS = (3, 4)
"""Channels of a colour image, without and with alpha."""
_SMALLEST = 5
"""Minimum side in pixels; a smaller dimension is the channel count."""


def is_colour(member: Any) -> bool:
    """Whether an array (also an open HDF5 or zarr one) holds colour images."""
    return _has_kind(member, "uint8", "float") and _channel_axis(member.shape) is not None


def is_depth(member: Any) -> bool:
    """Whether an array holds one non-colour image per tick: depth or greyscale."""
    shape: tuple[int, ...] = getattr(member, "shape", ())
    if not _has_kind(member, "uint8", "uint16", "float") or is_colour(member):
        return False
    if len(shape) == _IMAGES:
        return 1 in (shape[1], shape[3]) and min(sorted(shape[1:])[1:]) >= _SMALLEST
    return len(shape) == _IMAGES - 1 and min(shape[1:]) >= _FRAME


_FRAME = 16
"""Minimum side in pixels of a depth image, so a short history of vectors is not mistaken for one."""


def as_frames(member: Any, name: str) -> Frames:
    """The images of an array for which `is_colour` holds, read lazily.

    Raises:
        RefusedError: no camera has images of this size.
    """
    require_size(member.shape[:1], name)
    first = hdf5.first_unwritten(member)
    if first is not None:
        raise RefusedError(
            Defect.MISSING_MEMBER,
            f"images {first} and on of '{name}' were never written; its recorder was cut off",
        )
    stored = _Stored(member, name)
    require_image(stored.shape[1], stored.shape[2], name)
    frames = ArrayFrames(member if stored.is_plain else stored)
    if not stored.is_plain:
        frames.notes = (
            repaired(Defect.IMAGE_FORMAT, f"'{name}' is stored as {stored.words}; made RGB, 0..255"),
        )
    return frames


def is_encoded(member: Any) -> bool:
    """Whether each row of an array holds the bytes of a JPEG or PNG file, of varying or padded length."""
    shape, dtype = getattr(member, "shape", ()), getattr(member, "dtype", None)
    if dtype is None or not shape or not shape[0]:
        return False
    kind = np.dtype(dtype)
    if not (len(shape) == 1 and kind.kind in "SVO") and not (len(shape) == _PADDED and kind == np.uint8):
        return False
    try:
        return _encoded(member, 0).startswith(_BEGINNINGS)
    except (ValueError, TypeError, OSError, KeyError):
        return False


_PADDED = 2
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""Magic bytes of JPEG and PNG files."""


def encoded_frames(member: Any, name: str) -> Frames:
    """The images of an array for which `is_encoded` holds, decoded lazily, with the files' own channel order.

    Raises:
        RefusedError: no camera has images of this size, or the first image cannot be decoded.
    """
    require_size(member.shape[:1], name)
    frames = EncodedFrames(partial(_encoded, member), int(member.shape[0]), name, reverse=True)
    require_image(frames.height, frames.width, name)
    return frames


def _encoded(member: Any, index: int) -> bytes:
    """One row's bytes; empty if it holds something else."""
    row = member[index]
    if isinstance(row, np.ndarray | np.void):
        return row.tobytes()
    return bytes(row) if isinstance(row, bytes) else b""


class _Stored:
    """An image array in any encoding that slices as uint8 [T, height, width, 3]."""

    def __init__(self, member: Any, name: str) -> None:
        axis = _channel_axis(member.shape)
        assert axis is not None
        self._member, self._name, self._first = member, name, axis == 1
        height, width = member.shape[2:] if self._first else member.shape[1:3]
        self.shape = (int(member.shape[0]), int(height), int(width), 3)
        self.chunks = getattr(member, "chunks", None)
        self._channels = int(member.shape[axis])
        self._is_float = np.dtype(member.dtype).kind == "f"
        self._scale: float | None = None

    @property
    def is_plain(self) -> bool:
        return not (self._first or self._is_float) and self._channels == 3

    @property
    def words(self) -> str:
        parts = [
            "channels first" if self._first else "",
            "floats" if self._is_float else "",
            "RGBA" if self._channels > 3 else "",
        ]
        return ", ".join(part for part in parts if part)

    def __getitem__(self, wanted: slice) -> Image:
        rows = np.asarray(self._member[wanted])
        rows = (np.moveaxis(rows, 1, -1) if self._first else rows)[..., :3]
        if self._is_float:
            rows = np.clip(np.rint(rows * self._factor()), 0, 255)
        return np.ascontiguousarray(rows, dtype=np.uint8)

    def _factor(self) -> float:
        """255 for floats in 0..1, 1 for floats in 0..255; judged from three images."""
        if self._scale is None:
            ticks = sorted({0, self.shape[0] // 2, self.shape[0] - 1})
            shown = np.stack([np.asarray(self._member[tick]) for tick in ticks])
            self._scale = _scale_of(shown, self._name)
        return self._scale


def _scale_of(shown: NDArray[Any], name: str) -> float:
    low, high = float(np.min(shown)), float(np.max(shown))
    if low >= 0 and high <= 1:
        return 255.0
    if low >= 0 and high <= 255:
        return 1.0
    raise RefusedError(
        Defect.IMAGE,
        f"the images of '{name}' run from {low:.3g} to {high:.3g}, neither from 0 to 1 nor from 0 to 255; "
        "undo their normalisation first",
    )


def _has_kind(member: Any, *kinds: str) -> bool:
    """Whether it is an array of one of these types; "float" matches any size."""
    dtype = getattr(member, "dtype", None)
    if dtype is None or getattr(member, "shape", None) is None:
        return False
    name = np.dtype(dtype).name
    return name in kinds or ("float" in kinds and name.startswith("float"))


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Index of the colour channel axis; the last axis takes precedence."""
    if len(shape) != _IMAGES:
        return None
    if shape[3] in _COLOURS:
        return 3
    return 1 if shape[1] in _COLOURS and min(shape[2:]) >= _SMALLEST else None
