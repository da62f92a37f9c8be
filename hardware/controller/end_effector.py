"""An arm's gripper as its control loop commands it; an arm may have none."""

from __future__ import annotations

from hardware.grippers.thread import GripperThread


class EndEffector:
    """Takes openings, and remembers the last; without a gripper it does nothing, and is open."""

    def __init__(self, gripper: GripperThread | None) -> None:
        """Requests nothing."""
        self._gripper = gripper
        self._told: float | None = None

    @property
    def error(self) -> str:
        """What is wrong and what to do; empty without an error."""
        return self._gripper.error if self._gripper else ""

    @property
    def measured(self) -> float:
        """Newest measured opening, 0 closed .. 1 open."""
        return self._gripper.opening if self._gripper else 1.0

    @property
    def opening(self) -> float:
        """The last opening requested, so that holding the arm does not release an object; else the measured one."""
        return self.measured if self._told is None else self._told

    def move(self, opening: float) -> None:
        """Request an opening, 0 closed .. 1 open."""
        if self._gripper:
            self._gripper.move(opening)
            self._told = opening

    def forget(self) -> None:
        """Withdraw what has not been sent yet; an object in the grasp stays held."""
        if self._gripper:
            self._gripper.forget()
