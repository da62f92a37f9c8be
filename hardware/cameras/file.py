"""A recording as a camera: a video, one of our VR recordings (HDF5), or an episode of a store, at its own rate.

For rehearsals and tests without a camera. A slow reader misses frames, as with a real camera. Frames of VR recordings
and episodes are held in memory while open; a video is decoded as it plays.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from datasets import vr_recording
from datasets.observation import Image, TimeArray
from datasets.store import EpisodeStore, StoreError
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import DeviceCameraSettings

_HDF5 = (".h5", ".hdf5")
_USUAL_RATE = 30.0  # Hz, default for a video without a frame rate


class FileCameraSettings(DeviceCameraSettings):
    """A video, a VR recording or an episode that plays as a camera."""

    driver: Literal["file"] = "file"
    """Driver name."""
    path: str = Field(min_length=1)
    """A video, a VR recording (.h5, .hdf5), or the folder of an episode store."""
    episode: str = ""
    """Episode of a store; empty: the first."""
    picture: str = ""
    """Camera in a VR recording or an episode; empty: the one with this camera's name."""
    rate: float = Field(default=0.0, ge=0.0, le=240.0)
    """Frames per second; 0: as recorded."""
    loop: bool = True
    """Whether it restarts at its end; otherwise its last frame goes stale."""
    frozen_after: float = Field(default=0.0, ge=0.0, le=60.0)
    """A stream whose frames are identical for this long, s, counts as frozen; 0: no check."""

    def build(self) -> Camera:
        return FileCamera(self)


class Reel(ABC):
    """A sequence of frames with the time at which each is due."""

    said: str
    """Description, for people."""
    due: TimeArray
    """[T] s since the first frame; non-decreasing."""
    period: float
    """s from the last frame to the first of the next loop."""

    @abstractmethod
    def image(self, index: int) -> Image | None:
        """uint8 RGB [height, width, 3]; None if unreadable. Indices increase, except from the end to 0."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class FileCamera(Camera):
    """Plays one reel."""

    def __init__(self, settings: FileCameraSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._reel: Reel | None = None
        self._begun = 0.0
        self._number = -1  # over all loops
        self._ended = False

    def open(self) -> str:
        if self._ended:
            raise CameraError(
                f"{self.name}: {self._settings.path} has ended. Set loop = true, or restart the camera."
            )
        if not Path(self._settings.path).exists():
            raise CameraError(
                f"{self.name}: there is no {self._settings.path}. Correct path in the task file."
            )
        self._reel = self._load()
        self._begun, self._number = time.monotonic(), -1
        return f"{self._reel.said}, {len(self._reel.due)} frames at {1 / self._reel.period:.4g} Hz"

    def read(self, timeout: float) -> Frame:
        reel = self._reel
        if reel is None:
            raise CameraError(f"{self.name}: {self._settings.path} is not open.")
        self._number = max(self._number + 1, self._number_at(reel, time.monotonic() - self._begun))
        if self._number >= len(reel.due) and not self._settings.loop:
            self._ended = True
            raise CameraError(
                f"{self.name}: {self._settings.path} has ended. Set loop = true to play it again."
            )
        due = self._begun + self._due(reel, self._number)
        if due - time.monotonic() > timeout:
            raise CameraError(
                f"{self.name}: no frame for {timeout:g} s: {self._settings.path} has a longer gap."
            )
        time.sleep(max(0.0, due - time.monotonic()))
        image = reel.image(self._number % len(reel.due))
        if image is None:
            raise CameraError(
                f"{self.name}: {self._settings.path} is damaged at frame {self._number}. Replace it."
            )
        return Frame(image=image, time=due, number=self._number)

    def close(self) -> None:
        reel, self._reel = self._reel, None
        if reel is not None:
            reel.close()

    def _load(self) -> Reel:
        path = Path(self._settings.path)
        if path.is_dir():
            return self._episode(path)
        if path.suffix.lower() in _HDF5:
            return self._vr_recording(path)
        return VideoReel(self.name, path, self._settings.rate)

    def _vr_recording(self, path: Path) -> Reel:
        try:
            recording = vr_recording.read(path)
        except vr_recording.RecordingError as error:
            raise CameraError(f"{self.name}: {path} cannot be played: {error}. Choose another.") from error
        camera = self._choose(path, recording.images)
        return self._in_memory(path.name, recording.images[camera], recording.image_time[camera])

    def _episode(self, path: Path) -> Reel:
        try:
            store = EpisodeStore(path)
            wanted = self._settings.episode or next(iter(store.ids()), "")
            if not wanted or wanted not in store:
                lacks = f"no episode '{wanted}'" if wanted else "no episode"
                raise CameraError(
                    f"{self.name}: {path} holds {lacks}. Give the demos or episodes folder of a session."
                )
            episode = store.load(wanted)
        except StoreError as error:
            raise CameraError(f"{self.name}: {error}") from error
        camera = self._choose(path, episode.images)
        return self._in_memory(
            f"episode {episode.header.id}", episode.images[camera], episode.observation_time
        )

    def _choose(self, path: Path, images: dict[str, Image]) -> str:
        wanted = self._settings.picture or self.name
        if wanted not in images:
            raise CameraError(
                f"{self.name}: {path} has no camera '{wanted}'; it has {', '.join(images) or 'none'}. Set picture in "
                "the task file."
            )
        return wanted

    def _in_memory(self, said: str, images: Image, stamps: TimeArray) -> Reel:
        if not len(images):
            raise CameraError(f"{self.name}: {self._settings.path} holds no images. Choose another.")
        rate = self._settings.rate
        return MemoryReel(said, images, np.arange(len(images)) / rate if rate else stamps - stamps[0])

    @staticmethod
    def _due(reel: Reel, number: int) -> float:
        rounds, index = divmod(number, len(reel.due))
        return rounds * (float(reel.due[-1]) + reel.period) + float(reel.due[index])

    @staticmethod
    def _number_at(reel: Reel, passed: float) -> int:
        """Number of the frame shown `passed` s after the start."""
        rounds, within = divmod(passed, float(reel.due[-1]) + reel.period)
        return int(rounds) * len(reel.due) + int(np.searchsorted(reel.due, within, side="right")) - 1


class MemoryReel(Reel):
    """Frames in memory."""

    def __init__(self, said: str, images: Image, due: TimeArray) -> None:
        """`images` uint8 [T, height, width, 3], `due` s [T]."""
        self.said = said
        self.due = due
        self.period = float(due[-1]) / max(len(due) - 1, 1) or 1 / _USUAL_RATE
        self._images = images

    def image(self, index: int) -> Image:
        return np.asarray(self._images[index], np.uint8)

    def close(self) -> None:
        self._images = self._images[:0]


class VideoReel(Reel):
    """A video, decoded frame by frame."""

    def __init__(self, name: str, path: Path, rate: float) -> None:
        """Raises CameraError when OpenCV cannot read it."""
        self._capture = cv2.VideoCapture(str(path))
        self._next = 1 << 62  # forces a seek to the start for the first frame
        rate = rate or self._capture.get(cv2.CAP_PROP_FPS) or _USUAL_RATE
        frames = round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not self._capture.isOpened() or frames < 1:
            raise CameraError(f"{name}: {path} cannot be read as a video. Convert it to MP4 with H.264.")
        self.said = f"video {path.name}"
        self.due = np.arange(frames) / rate
        self.period = 1 / rate

    def image(self, index: int) -> Image | None:
        if index < self._next:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            self._next = 0
        while self._next < index:
            self._capture.grab()
            self._next += 1
        self._next += 1
        arrived, image = self._capture.read()
        return np.asarray(image[..., ::-1], np.uint8) if arrived else None

    def close(self) -> None:
        self._capture.release()
