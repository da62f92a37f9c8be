"""The contract between a camera's driver and the process in which it runs.

A driver waits for the next frame and returns it with the frame's own time stamp; the process crops, resizes and writes
to the shared ring (`hardware.cameras.process`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from datasets.observation import Image
from hardware.cell import CellError
from hardware.device import Device


class CameraError(CellError):
    """The camera cannot be opened, or is lost; the message says which one, where, and what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame."""

    image: Image
    """uint8 RGB [height, width, 3], as the device delivers it."""
    time: float
    """s, monotonic, when it was captured (or arrived, where the device gives no time stamp)."""
    number: int
    """The device's frame counter where it has one, to detect lost frames."""


class Camera(ABC):
    """One camera."""

    name: str

    @abstractmethod
    def open(self) -> str:
        """Start streaming; returns the identity: model, serial, firmware. Raises CameraError."""

    def device(self) -> Device:
        """Identity and settings, read back while streaming; drivers that know more than `open` returns override it."""
        return Device()

    @abstractmethod
    def read(self, timeout: float) -> Frame:
        """Wait for the next frame, at most `timeout` s. Raises CameraError."""

    @abstractmethod
    def close(self) -> None:
        """Stop streaming; safe to call twice."""
