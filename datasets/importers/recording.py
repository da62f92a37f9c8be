"""The neutral recording that all formats are converted to: times, arms and lazily read images.

All numbers are in the station's units and frames. Nothing here checks or changes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.importers.defects import Defect, Note, RefusedError
from datasets.observation import Image, TimeArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_LARGEST_BLOCK = 2**26
"""Maximum bytes of images decoded at once."""
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, SystemError)
"""What array libraries raise on damaged chunks."""


class Frames(ABC):
    """One camera's images in recording order."""

    count: int
    height: int
    width: int
    notes: tuple[Note, ...] = ()
    """Notes for the report if these images are used."""

    @abstractmethod
    def pick(self, indices: Indices) -> Iterator[Image]:
        """uint8 RGB [height, width, 3] for each of the non-decreasing `indices`; one in memory at a time.

        Raises:
            RecordingError: an image is missing or cannot be decoded; says which.
        """


class AbsentFrames(Frames):
    """A camera whose images are missing or damaged; an error only if they are used."""

    def __init__(self, why: RefusedError, count: int = 0) -> None:
        """`count`: number of images expected."""
        self.why = why
        self.count, self.height, self.width = count, 1, 1

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        raise self.why


def if_there(made: Callable[[], Frames], count: int = 0) -> Frames:
    """A camera's images; if they cannot be opened, the refusal is deferred until they are used."""
    try:
        return made()
    except RefusedError as error:
        return AbsentFrames(error, count)


class ArrayFrames(Frames):
    """Images in one array, in memory or in an open file."""

    def __init__(self, images: Any) -> None:
        """`images`: sliceable uint8 [T, height, width, 3], e.g. an open HDF5 or zarr array."""
        self._images = images
        self.count, self.height, self.width = (int(size) for size in images.shape[:3])
        chunks = getattr(images, "chunks", None)
        fitting = max(1, _LARGEST_BLOCK // max(1, self.height * self.width * 3))
        self._block = max(1, min(int(chunks[0]), fitting)) if chunks else 1

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames; a compressed chunk is decoded once, not once per image."""
        first, block = -1, np.zeros((0, 0, 0, 3), np.uint8)
        for index in indices.tolist():
            if first < 0 or not first <= index < first + len(block):
                first = index - index % self._block
                block = self._read(first, index)
            yield block[index - first]

    def _read(self, first: int, wanted: int) -> Image:
        try:
            block = np.asarray(self._images[first : first + self._block], np.uint8)
        except _DAMAGE as error:
            text = f"image {wanted} cannot be read ({error or type(error).__name__})"
            raise RefusedError(Defect.IMAGE, text) from error
        if len(block) <= wanted - first:
            raise RefusedError(Defect.IMAGE, f"image {wanted} is missing")
        return block


class EncodedFrames(Frames):
    """Images compressed individually as JPEG or PNG."""

    def __init__(self, fetch: Callable[[int], bytes], count: int, what: str, *, reverse: bool) -> None:
        """`fetch` returns the bytes of an image; set `reverse` if the file's channel order is standard.

        OpenCV decodes to BGR. Images of a recorder that passed RGB arrays to OpenCV's encoder decode to RGB unreversed.

        Raises:
            RefusedError: the first image cannot be decoded.
        """
        self._fetch, self._what, self._reverse = fetch, what, reverse
        self.count = count
        self.height, self.width = self._decode(0).shape[:2] if count else (1, 1)

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        last, image = -1, np.zeros((0, 0, 3), np.uint8)
        for index in indices.tolist():
            if index != last:
                last, image = index, self._decode(index)
            yield image

    def _decode(self, index: int) -> Image:
        try:
            decoded = cv2.imdecode(np.frombuffer(self._fetch(index), np.uint8), cv2.IMREAD_COLOR)
        except (cv2.error, *_DAMAGE) as error:
            text = f"image {index} of '{self._what}' cannot be decoded ({type(error).__name__})"
            raise RefusedError(Defect.IMAGE, text) from error
        if decoded is None:
            raise RefusedError(Defect.IMAGE, f"image {index} of '{self._what}' cannot be decoded")
        image = np.asarray(decoded, np.uint8)
        return np.ascontiguousarray(image[..., ::-1]) if self._reverse else image


class CutFrames(Frames):
    """A subset of another camera's images, or the same with reversed channels."""

    def __init__(self, frames: Frames, *, kept: Indices | None = None, reverse_colours: bool = False) -> None:
        """`kept`: indices of the images to keep, ascending."""
        self._frames = frames
        self._kept = kept
        self._reverse = reverse_colours
        self.count = frames.count if kept is None else len(kept)
        self.height, self.width = frames.height, frames.width

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        wanted = indices if self._kept is None else self._kept[indices]
        for image in self._frames.pick(wanted):
            yield np.ascontiguousarray(image[..., ::-1]) if self._reverse else image


class SlicedFrames(Frames):
    """A range of another camera's images."""

    def __init__(self, frames: Frames, first: int, end: int) -> None:
        """Images `first` to `end` (exclusive)."""
        self._frames, self._first, self.notes = frames, first, frames.notes
        self.count = max(0, end - first)
        self.height, self.width = frames.height, frames.width

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        yield from self._frames.pick(indices + self._first)


class JoinedFrames(Frames):
    """One camera's images followed by others of the same size."""

    def __init__(self, first: Frames, last: Frames) -> None:
        """`last` follows `first`."""
        self._first, self._last = first, last
        self.count = first.count + last.count
        self.height, self.width = first.height, first.width

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        early = indices < self._first.count
        yield from self._first.pick(indices[early])
        yield from self._last.pick(indices[~early] - self._first.count)


@dataclass(frozen=True, kw_only=True)
class ArmTrack:
    """One arm over T ticks."""

    joint_angles: Array
    """rad [T, nj]; nj is 0 if the task observes none or the source has none"""
    pose: Array
    """[T, 7] measured, xyz m + quaternion xyzw, base frame; [T, 0] if the task does not observe it"""
    gripper: Array
    """[T] 0 closed .. 1 open"""
    action_pose: Array
    """[T, 7] commanded, xyz m + quaternion xyzw, base frame"""
    action_gripper: Array
    """[T]"""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One raw demonstration of T ticks, including idle starts and intervals with the clutch off."""

    frames: dict[str, Frames]
    """the task's camera name -> its images"""
    image_time: dict[str, TimeArray]
    """camera -> s [T]"""
    arms: tuple[ArmTrack, ...]
    observation_time: TimeArray
    """s [T]"""
    action_time: TimeArray
    """s [T] when each command was given; its pose is due one tick later."""
    following: NDArray[np.bool_]
    """[T] True: the arm follows the hand."""
    finished: NDArray[np.bool_]
    """[T] True: the operator signalled the end (success or failure button)."""
    success: bool | None = None
    """The recorder's verdict; None if it gave none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: demonstrator, style, device, seed, ..."""

    @property
    def ticks(self) -> int:
        """T, once all members have the same length."""
        return len(self.observation_time)
