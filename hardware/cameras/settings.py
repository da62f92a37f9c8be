"""What a task file says of every camera; what only one driver knows stands in that driver's file."""

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
    """A camera, and the picture that the policy gets of it."""

    kinds: ClassVar[Mapping[str, str]] = {
        "realsense": "hardware.cameras.realsense:RealSenseSettings",
        "usb": "hardware.cameras.usb:UsbCameraSettings",
        "file": "hardware.cameras.file:FileCameraSettings",
    }

    height: int = Field(default=128, ge=16, le=1080)
    """Rows of a picture as the policy gets it and as it is recorded."""
    width: int = Field(default=128, ge=16, le=1920)
    """Columns of a picture as the policy gets it and as it is recorded."""
    rotate: Literal[0, 90, 180, 270] = 0
    """How far the picture is turned, degrees clockwise, before anything else."""
    crop: tuple[int, ...] = ()
    """What is cut out before resizing, pixels: [left, top, width, height]; empty: the whole picture."""
    swap_red_blue: bool = False
    """For a camera whose red and blue arrive swapped."""
    timeout: float = Field(default=1.0, ge=0.05, le=30.0)
    """A camera that delivers nothing for so long, s, is reported and opened anew."""
    frozen_after: float = Field(default=2.0, ge=0.0, le=60.0)
    """Pictures equal to the last pixel for so long, s, mean a frozen stream; 0: never look."""

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop and (len(self.crop) != 4 or min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise ValueError(f"crop = {list(self.crop)} is no [left, top, width, height] in pixels")
        return self

    @property
    def spec(self) -> CameraSpec:
        """The camera as it is recorded."""
        return CameraSpec(name=self.name, height=self.height, width=self.width)

    @abstractmethod
    def build(self) -> Camera:
        """The driver, not opened; called in the camera's own process. Imports no vendor's package."""


class LiveCameraSettings(DeviceCameraSettings):
    """A camera that is a device: what is asked of it."""

    capture_width: int = Field(default=640, ge=64, le=4096)
    """Columns that the device delivers."""
    capture_height: int = Field(default=480, ge=48, le=3072)
    """Rows that the device delivers."""
    capture_fps: int = Field(default=30, ge=1, le=120)
    """Pictures per second that the device delivers."""
    exposure: float = Field(default=0.0, ge=0.0, le=1000.0)
    """Fixed exposure, ms; 0 leaves it to the camera, whose pictures then change with the light."""
    white_balance: float | None = Field(default=None, ge=1000.0, le=15000.0)
    """Fixed colour temperature, K; not set: as the camera has it, often automatic."""
    gain: float | None = Field(default=None, ge=0.0, le=100_000.0)
    """Fixed gain, in the camera's own unit; not set: as the camera has it."""
    focus: float | None = Field(default=None, ge=0.0, le=100_000.0)
    """Fixed focus, in the camera's own unit; not set: as the camera has it, often automatic."""
    warm_up: int = Field(default=0, ge=0, le=600)
    """Pictures that are thrown away after the camera was opened, while its exposure and colours settle."""
