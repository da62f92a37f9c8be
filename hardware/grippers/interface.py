"""The contract of a gripper's driver, which runs in its own thread with its own connection.

Width is the opening between the fingers in metres; a session's gripper value is width / max_width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from hardware.cell import CellError


class GripperError(CellError):
    """The gripper is unreachable, not activated, or reports a fault; the message gives code and remedy."""


class Grasp(StrEnum):
    """The state of a grasp."""

    MOVING = "moving"
    NOTHING = "nothing"
    """At the goal, without an object."""
    OBJECT = "object"
    """Stopped by an object before the goal."""


@dataclass(frozen=True, kw_only=True)
class GripperState:
    """The newest report."""

    time: float
    """s, monotonic."""
    width: float
    """m"""
    grasp: Grasp
    fault: str = ""
    """The vendor's code and text, and what to do; empty without a fault."""


class Gripper(ABC):
    """One gripper."""

    name: str
    max_width: float
    """m"""

    @abstractmethod
    def connect(self) -> str:
        """Open the connection and activate it (fingers may move); returns model, serial, firmware.

        Raises GripperError.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; an object in the grasp stays held."""

    @abstractmethod
    def move(self, width: float) -> None:
        """Start moving to `width` (m, clipped to 0 .. max_width) and return. Raises GripperError."""

    @abstractmethod
    def state(self) -> GripperState:
        """Query the newest report. Raises GripperError when the link is lost."""

    @abstractmethod
    def recover(self) -> None:
        """Clear faults and reactivate at the operator's request. Raises GripperError."""
