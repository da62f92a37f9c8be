"""What every gripper's driver promises. It runs in a thread of its own with a connection of its own.

Width is the opening between the fingers in metres; a session's gripper number is width / max_width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from hardware.cell import CellError


class GripperError(CellError):
    """The gripper cannot be reached, is not activated, or reports a fault; says code and remedy."""


class Grasp(StrEnum):
    """What the fingers met."""

    MOVING = "moving"
    NOTHING = "nothing"
    """Arrived without an obstacle."""
    OBJECT = "object"
    """Stopped by something before the goal."""


@dataclass(frozen=True, kw_only=True)
class GripperState:
    """The newest report."""

    time: float
    """s, monotonic."""
    width: float
    """m"""
    grasp: Grasp
    fault: str = ""
    """The vendor's code and text, and what to do; empty when all is well."""


class Gripper(ABC):
    """One gripper."""

    name: str
    max_width: float
    """m"""

    @abstractmethod
    def connect(self) -> str:
        """Open the connection and activate it (fingers may move); what answers: model, serial, firmware.

        Raises GripperError.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection; what is held stays held."""

    @abstractmethod
    def move(self, width: float) -> None:
        """Start moving to `width` (m, clipped to 0 .. max_width) and return. Raises GripperError."""

    @abstractmethod
    def state(self) -> GripperState:
        """Ask for the newest report. Raises GripperError when the link is lost."""

    @abstractmethod
    def recover(self) -> None:
        """Clear faults and activate anew because the operator said so. Raises GripperError."""
