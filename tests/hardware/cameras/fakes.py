"""A camera that is not there: numbered images at a rate of one's own, and every way to misbehave."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from datasets.observation import Image
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import DeviceCameraSettings

if TYPE_CHECKING:
    from hardware.cameras.process import CameraProcess


def pid_of(camera: CameraProcess) -> int | None:
    """Its process, None when that has ended."""
    process = camera._process
    return process.pid if process and process.poll() is None else None


class FakeCameraSettings(DeviceCameraSettings):
    driver: str = "tests.hardware.cameras.fakes:FakeCameraSettings"
    capture_height: int = 48
    capture_width: int = 64
    fps: float = 100.0
    trouble: Literal["none", "missing", "silent", "repeats", "same pixels", "crash", "hang", "loses"] = "none"
    trouble_after: int = 10
    """Images before the trouble begins, for ever."""
    heals: bool = False
    """Opened anew, it is well."""

    def build(self) -> FakeCamera:
        return FakeCamera(self)


class FakeCamera(Camera):
    def __init__(self, settings: FakeCameraSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._openings = 0
        self._number = 0

    def open(self) -> str:
        self._openings += 1
        if self._trouble("missing"):
            raise CameraError(f"{self.name}: there is no camera 42. Plugged in are: 43.")
        return f"Fake 42, opening {self._openings}"

    def read(self, timeout: float) -> Frame:
        time.sleep(1 / self._settings.fps)
        if self._trouble("silent"):
            time.sleep(timeout)
            raise CameraError(f"{self.name}: no frame for {timeout:g} s. Check the cable.")
        if self._trouble("crash"):
            raise ZeroDivisionError("a driver's own mistake")
        if self._trouble("hang"):
            time.sleep(3600)
        if not self._trouble("repeats"):
            self._number += 3 if self._trouble("loses") else 1
        return Frame(image=self._image(), time=time.monotonic(), number=self._number)

    def close(self) -> None:
        pass

    def _trouble(self, kind: str) -> bool:
        settings = self._settings
        begun = self._number >= settings.trouble_after and not (settings.heals and self._openings > 1)
        return settings.trouble == kind and begun

    def _image(self) -> Image:
        shade = 7 if self._trouble("same pixels") else self._number % 251
        return np.full((self._settings.capture_height, self._settings.capture_width, 3), shade, np.uint8)
