"""From a device's frame to the policy's image: rotate, crop, swap channels, resize, in this order; and a description.

Downscaling averages over areas, as in the importers, so that demonstrations and live images look alike.
"""

from __future__ import annotations

import cv2
import numpy as np

from datasets.observation import Image
from hardware.cameras.interface import CameraError
from hardware.cameras.settings import DeviceCameraSettings


class View:
    """The processing of every frame of one camera."""

    def __init__(self, settings: DeviceCameraSettings) -> None:
        self._settings = settings

    def apply(self, image: Image) -> Image:
        """uint8 [height, width, 3] as the task specifies. Raises CameraError if the crop does not fit."""
        settings = self._settings
        turned = np.rot90(image, -settings.rotate // 90)
        cropped = self._crop(turned)
        if settings.swap_red_blue:
            cropped = cropped[..., ::-1]
        size = settings.width, settings.height
        if cropped.shape[1::-1] == size:
            return np.ascontiguousarray(cropped)
        shrinks = settings.width * settings.height < cropped.shape[0] * cropped.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(np.ascontiguousarray(cropped), size, interpolation=how)
        return np.asarray(resized, np.uint8)

    def describe(self, image: Image) -> str:
        """How a frame of this size is processed: ``640x480, cropped to 600x240 at 20,100, resized to 280x110``."""
        settings = self._settings
        parts = [f"{image.shape[1]}x{image.shape[0]}"]
        if settings.rotate:
            parts.append(f"turned by {settings.rotate} degrees")
        if settings.crop:
            left, top, width, height = settings.crop
            parts.append(f"cropped to {width}x{height} at {left},{top}")
        if settings.swap_red_blue:
            parts.append("red and blue swapped")
        parts.append(f"resized to {settings.width}x{settings.height}")
        return ", ".join(parts)

    def _crop(self, image: Image) -> Image:
        if not self._settings.crop:
            return image
        left, top, width, height = self._settings.crop
        rows, columns = image.shape[:2]
        if left + width > columns or top + height > rows:
            raise CameraError(
                f"{self._settings.name}: crop = {list(self._settings.crop)} does not fit into the camera's image of "
                f"{columns}x{rows}. Correct crop in the task file, or the size that is captured."
            )
        return image[top : top + height, left : left + width]
