"""The one neutral recording that every format ends in: times, arms and pictures that are read only when wanted.

All numbers are in the house's units and frames. Nothing here judges or changes them; pictures stay in their file until
somebody picks some.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.observation import Image, TimeArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class Frames(ABC):
    """One camera's pictures in the order of recording."""

    count: int
    height: int
    width: int

    @abstractmethod
    def pick(self, indices: Indices) -> Iterator[Image]:
        """uint8 RGB [height, width, 3] for each of the non-decreasing `indices`; one in memory at a time.

        Raises:
            RecordingError: a picture is missing or cannot be decoded; says which.
        """


class ArrayFrames(Frames):
    """Pictures that lie in one array, in memory or in an open file."""

    def __init__(self, pictures: Any) -> None:
        """`pictures` is uint8 [T, height, width, 3] and can be indexed; an open HDF5 or zarr array will do."""
        self._pictures = pictures
        self.count, self.height, self.width = (int(size) for size in pictures.shape[:3])

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        last, picture = -1, np.zeros((0, 0, 3), np.uint8)
        for index in indices.tolist():
            if index != last:
                last, picture = index, np.asarray(self._pictures[index], np.uint8)
            yield picture


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


@dataclass(frozen=True, kw_only=True)
class ArmTrack:
    """One arm over T ticks."""

    joint_angles: Array
    """rad [T, nj]; nj is 0 where the source has none."""
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
