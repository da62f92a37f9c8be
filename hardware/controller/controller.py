"""The requests that one arm's controller accepts, and when; `hardware.controller.loop` runs its ticks.

Connect, follow plans, home, recover, leave: each is refused, with its reason, where it is not possible now, and faults
are cleared on request only. Its process is `hardware.controller.worker`, the other end `hardware.robot.process`.
"""

from __future__ import annotations

from contextlib import suppress

from hardware.arms.interface import ArmError, ArmFaultError, ArmIdentity, LimitCheck
from hardware.cell import StoppedError, unnamed
from hardware.controller.loop import ControlLoop
from hardware.wire import Mode


class Controller:
    """One arm and its gripper. One thread makes all requests and ticks."""

    def __init__(self, loop: ControlLoop) -> None:
        """Opens nothing."""
        self.arm = loop.arm
        self._gripper = loop.gripper
        self._loop = loop

    def connect(self) -> tuple[ArmIdentity, str]:
        """Open arm and gripper; returns their identities. Raises ArmError, GripperError."""
        identity = self.arm.connect()
        gripper = self._gripper.connect() if self._gripper else ""
        self._loop.rest()
        return identity, gripper

    def limits(self) -> list[LimitCheck]:
        """The vendor-side limits in force. Raises CellError while the arm moves."""
        self._require(Mode.PARKED, Mode.FAULT)
        return self.arm.limits()

    def follow(self, now: float) -> None:
        """Get ready to follow plans, holding the present pose. Raises StoppedError, ArmError."""
        self._require_armed()
        self._loop.heed(now)
        if self._loop.state is not Mode.SERVO:
            self._require(Mode.PARKED)
            self._loop.begin_following(now)

    def home(self, now: float) -> None:
        """Come to rest, then go home; an arm that is already homing continues. Raises StoppedError, ArmError."""
        self._require_armed()
        self._require(Mode.PARKED, Mode.SERVO, Mode.HOMING)
        self._loop.heed(now)
        self._loop.go_home(now)

    def recover(self) -> tuple[ArmIdentity, str] | None:
        """Clear faults at the operator's request; returns the identities of devices that were not connected before.

        Raises:
            ArmError, GripperError: a fault persists.
        """
        if self._loop.mode is Mode.OFFLINE:
            return self._connect_by_force()
        self._require(Mode.FAULT, Mode.PARKED)
        # its connection may run through the arm: requests made while that was lost are still unanswered
        if self._gripper and not self._gripper.answers():
            self._gripper.recover()
        if self._is_faulty() or self._loop.mode is Mode.FAULT:
            self.arm.recover()
        self._loop.rest()
        return None

    def leave(self) -> None:
        """Brake and release the arm; `standing` says when that is done."""
        self._loop.leave()

    def close(self) -> None:
        """Release the devices."""
        self.arm.close()
        if self._gripper:
            self._gripper.close()
        self._loop.mode = Mode.OFFLINE

    def tick(self, now: float) -> None:
        """Measure, decide, send, report."""
        self._loop.tick(now)

    def publish(self, now: float) -> None:
        """Report the current state."""
        self._loop.publish(now)

    @property
    def standing(self) -> bool:
        """Whether no commands are sent to the arm."""
        return self._loop.standing

    def _connect_by_force(self) -> tuple[ArmIdentity, str]:
        """Connect, clearing a fault that prevented it: the operator has read the fault and wants it cleared."""
        try:
            return self.connect()
        except ArmFaultError:
            self.arm.recover()
            return self.connect()

    def _is_faulty(self) -> bool:
        """Whether the arm reports a fault; reopens a lost connection."""
        try:
            return self.arm.state().fault is not None
        except ArmError:
            self.arm.close()
            self.arm.connect()
            return self.arm.state().fault is not None

    def _require(self, *modes: Mode) -> None:
        state = self._loop.state
        if state not in modes:
            why = self._loop.tally.text or f"it is {state.name.lower()}"
            raise ArmError(f"{self.arm.name}: not possible now: {unnamed(self.arm.name, why)}")

    def _require_armed(self) -> None:
        # the cell requests motion only after the operator has re-armed the latch now at the path
        with suppress(OSError):
            self._loop.latch.renew()
        if self._loop.latch.latched:
            raise StoppedError(f"{self.arm.name}: the stop latch is set. Re-arm the stop to move again.")
