"""The one neutral recording that every format ends in: times, arms and pictures that are read only when wanted.

All numbers are in the house's units and frames. Nothing here judges or changes them; pictures stay in their file until
somebody picks some.
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
"""Bytes of pictures that are decoded at once."""
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, SystemError)
"""What array libraries raise on damaged chunks."""


class Frames(ABC):
    """One camera's pictures in the order of recording."""

    count: int
    height: int
    width: int
    notes: tuple[Note, ...] = ()
    """What is said of them where they are used."""

    @abstractmethod
    def pick(self, indices: Indices) -> Iterator[Image]:
        """uint8 RGB [height, width, 3] for each of the non-decreasing `indices`; one in memory at a time.

        Raises:
            RecordingError: a picture is missing or cannot be decoded; says which.
        """


class AbsentFrames(Frames):
    """A camera whose pictures are missing or damaged, which matters only where somebody wants them."""

    def __init__(self, why: RefusedError, count: int = 0) -> None:
        """`count` pictures should be there."""
        self.why = why
        self.count, self.height, self.width = count, 1, 1

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        raise self.why


def if_there(made: Callable[[], Frames], count: int = 0) -> Frames:
    """A camera's pictures; where they cannot be opened, the refusal waits until they are wanted."""
    try:
        return made()
    except RefusedError as error:
        return AbsentFrames(error, count)


class ArrayFrames(Frames):
    """Pictures that lie in one array, in memory or in an open file."""

    def __init__(self, pictures: Any) -> None:
        """`pictures` is uint8 [T, height, width, 3] and can be sliced; an open HDF5 or zarr array will do."""
        self._pictures = pictures
        self.count, self.height, self.width = (int(size) for size in pictures.shape[:3])
        chunks = getattr(pictures, "chunks", None)
        fitting = max(1, _LARGEST_BLOCK // max(1, self.height * self.width * 3))
        self._block = max(1, min(int(chunks[0]), fitting)) if chunks else 1

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames; a compressed chunk is decoded once, not once per picture."""
        first, block = -1, np.zeros((0, 0, 0, 3), np.uint8)
        for index in indices.tolist():
            if first < 0 or not first <= index < first + len(block):
                first = index - index % self._block
                block = self._read(first, index)
            yield block[index - first]

    def _read(self, first: int, wanted: int) -> Image:
        try:
            block = np.asarray(self._pictures[first : first + self._block], np.uint8)
        except _DAMAGE as error:
            text = f"picture {wanted} cannot be read ({error or type(error).__name__})"
            raise RefusedError(Defect.PICTURE, text) from error
        if len(block) <= wanted - first:
            raise RefusedError(Defect.PICTURE, f"picture {wanted} is missing")
        return block


class EncodedFrames(Frames):
    """Pictures that were compressed one by one, as JPEG or PNG."""

    def __init__(self, fetch: Callable[[int], bytes], count: int, what: str, *, reverse: bool) -> None:
        """`fetch` gives the bytes of a picture; `reverse` where the file means what it says about colours.

        OpenCV decodes to BGR. A recorder that handed RGB arrays to OpenCV's encoder gets them back as they were.

        Raises:
            RefusedError: the first picture cannot be decoded.
        """
        self._fetch, self._what, self._reverse = fetch, what, reverse
        self.count = count
        self.height, self.width = self._decode(0).shape[:2] if count else (1, 1)

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        last, picture = -1, np.zeros((0, 0, 3), np.uint8)
        for index in indices.tolist():
            if index != last:
                last, picture = index, self._decode(index)
            yield picture

    def _decode(self, index: int) -> Image:
        try:
            decoded = cv2.imdecode(np.frombuffer(self._fetch(index), np.uint8), cv2.IMREAD_COLOR)
        except (cv2.error, *_DAMAGE) as error:
            text = f"picture {index} of '{self._what}' cannot be decoded ({type(error).__name__})"
            raise RefusedError(Defect.PICTURE, text) from error
        if decoded is None:
            raise RefusedError(Defect.PICTURE, f"picture {index} of '{self._what}' cannot be decoded")
        picture = np.asarray(decoded, np.uint8)
        return np.ascontiguousarray(picture[..., ::-1]) if self._reverse else picture


class CutFrames(Frames):
    """Another camera's pictures in other colour order, or fewer of them."""

    def __init__(self, frames: Frames, *, kept: Indices | None = None, reverse_colours: bool = False) -> None:
        """`kept` are the pictures that remain, rising."""
        self._frames = frames
        self._kept = kept
        self._reverse = reverse_colours
        self.count = frames.count if kept is None else len(kept)
        self.height, self.width = frames.height, frames.width

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        wanted = indices if self._kept is None else self._kept[indices]
        for picture in self._frames.pick(wanted):
            yield np.ascontiguousarray(picture[..., ::-1]) if self._reverse else picture


class SlicedFrames(Frames):
    """A stretch of another camera's pictures."""

    def __init__(self, frames: Frames, first: int, end: int) -> None:
        """Pictures `first` to `end`, which itself is not one of them."""
        self._frames, self._first, self.notes = frames, first, frames.notes
        self.count = max(0, end - first)
        self.height, self.width = frames.height, frames.width

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        yield from self._frames.pick(indices + self._first)


class JoinedFrames(Frames):
    """One camera's pictures followed by others of the same size."""

    def __init__(self, first: Frames, last: Frames) -> None:
        """`last` goes on where `first` ends."""
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
    """rad [T, nj]; nj is 0 where the task observes none, or the source has none."""
    pose: Array
    """[T, 7] measured, xyz m + quaternion xyzw, base frame; [T, 0] where the task does not observe it"""
    gripper: Array
    """[T] 0 closed .. 1 open"""
    action_pose: Array
    """[T, 7] xyz m + quaternion xyzw, base frame: where the arm was told to be"""
    action_gripper: Array
    """[T]"""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One demonstration of T ticks as it was recorded, idle starts and clutch-off stretches included."""

    frames: dict[str, Frames]
    """the task's camera name -> its pictures"""
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
    """[T] True: the recorder was told that it is over (a verdict's button)."""
    success: bool | None = None
    """The recorder's verdict; None when it gave none."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: demonstrator, style, device, seed, ..."""

    @property
    def ticks(self) -> int:
        """T, once all members have one length."""
        return len(self.observation_time)
