"""What every camera's driver promises the process it runs in.

A driver waits for the next frame and hands it over with the frame's own stamp; cropping, resizing and the shared
ring are the process's business (`hardware.cameras.process`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from datasets.observation import Image
from hardware.cell import CellError
from hardware.device import Device


class CameraError(CellError):
    """The camera cannot be opened, or has gone; says which, where and what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture."""

    image: Image
    """uint8 RGB [height, width, 3], as the device delivers it."""
    time: float
    """s, monotonic, when it was taken (or arrived, where the device gives no stamp)."""
    number: int
    """The device's counter where it has one, so that lost frames show."""


class Camera(ABC):
    """One camera."""

    name: str

    @abstractmethod
    def open(self) -> str:
        """Start streaming; what answers: model, serial, firmware. Raises CameraError."""

    def device(self) -> Device:
        """Who answers and how it is set, read back while it streams; drivers that can tell more than `open` say so."""
        return Device()

    @abstractmethod
    def read(self, timeout: float) -> Frame:
        """Wait for the next frame, at most `timeout` s. Raises CameraError."""

    @abstractmethod
    def close(self) -> None:
        """Stop streaming; safe to call twice."""
