"""Task-file settings common to all cameras; driver-specific ones are in the driver's file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from datasets.spec import CameraSpec
from hardware.settings import DeviceSettings

if TYPE_CHECKING:
    from hardware.cameras.interface import Camera


class DeviceCameraSettings(DeviceSettings):
    """A camera, and the image that the policy gets from it."""

    kinds: ClassVar[Mapping[str, str]] = {
        "realsense": "hardware.cameras.realsense:RealSenseSettings",
        "usb": "hardware.cameras.usb:UsbCameraSettings",
        "file": "hardware.cameras.file:FileCameraSettings",
    }

    height: int = Field(default=128, ge=16, le=1080)
    """Image height, pixels, as the policy gets it and as recorded."""
    width: int = Field(default=128, ge=16, le=1920)
    """Image width, pixels, as the policy gets it and as recorded."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Rotation of the image, degrees clockwise, applied first."""
    crop: tuple[int, ...] = ()
    """Crop before resizing, pixels: [left, top, width, height]; empty: the whole image."""
    swap_red_blue: bool = False
    """For a camera whose red and blue channels arrive swapped."""
    timeout: float = Field(default=1.0, ge=0.05, le=30.0)
    """A camera that delivers nothing for this long, s, is reported and reopened."""
    frozen_after: float = Field(default=2.0, ge=0.0, le=60.0)
    """A stream whose frames are identical for this long, s, counts as frozen; 0: no check."""

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop and (len(self.crop) != 4 or min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise ValueError(f"crop = {list(self.crop)} must be [left, top, width, height] in pixels")
        return self

    @property
    def spec(self) -> CameraSpec:
        """The camera as recorded."""
        return CameraSpec(name=self.name, height=self.height, width=self.width)

    @abstractmethod
    def build(self) -> Camera:
        """The unopened driver; called in the camera's own process. Imports no vendor package."""


class LiveCameraSettings(DeviceCameraSettings):
    """A camera that is a physical device."""

    capture_width: int = Field(default=640, ge=64, le=4096)
    """Image width that the device delivers, pixels."""
    capture_height: int = Field(default=480, ge=48, le=3072)
    """Image height that the device delivers, pixels."""
    capture_fps: int = Field(default=30, ge=1, le=120)
    """Frames per second that the device delivers."""
    exposure: float = Field(default=0.0, ge=0.0, le=1000.0)
    """Fixed exposure, ms; 0: automatic, so images change with the light."""
    white_balance: float | None = Field(default=None, ge=1000.0, le=15000.0)
    """Fixed colour temperature, K; not set: the camera's value, often automatic."""
    gain: float | None = Field(default=None, ge=0.0, le=100_000.0)
    """Fixed gain, in the camera's own unit; not set: the camera's value."""
    focus: float | None = Field(default=None, ge=0.0, le=100_000.0)
    """Fixed focus, in the camera's own unit; not set: the camera's value, often automatic."""
    warm_up: int = Field(default=0, ge=0, le=600)
    """Frames to discard after opening, while exposure and colours settle."""
