"""What may be asked of one arm's controller, and when; its ticks are the business of `hardware.controller.loop`.

Connect, follow plans, go home, recover, leave: each is refused with its reason where it is not possible now, and faults
are cleared on request only. Its process is `hardware.controller.worker`, the other end `hardware.robot.process`.
"""

from __future__ import annotations

from contextlib import suppress

from hardware.arms.interface import ArmError, ArmFaultError, ArmIdentity, LimitCheck
from hardware.cell import StoppedError, unnamed
from hardware.controller.loop import ControlLoop
from hardware.wire import Mode


class Controller:
    """One arm and its gripper. Requests and ticks come from one thread, one after another."""

    def __init__(self, loop: ControlLoop) -> None:
        """Opens nothing."""
        self.arm = loop.arm
        self._gripper = loop.gripper
        self._loop = loop

    def connect(self) -> tuple[ArmIdentity, str]:
        """Open arm and gripper; who answers. Raises ArmError, GripperError."""
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
        """Come to rest, then go home; an arm that is on its way stays on it. Raises StoppedError, ArmError."""
        self._require_armed()
        self._require(Mode.PARKED, Mode.SERVO, Mode.HOMING)
        self._loop.heed(now)
        self._loop.go_home(now)

    def recover(self) -> tuple[ArmIdentity, str] | None:
        """Clear faults because the operator said so; who answers, where nobody had before.

        Raises:
            ArmError, GripperError: one stays.
        """
        if self._loop.mode is Mode.OFFLINE:
            return self._connect_by_force()
        self._require(Mode.FAULT, Mode.PARKED)
        # its line may run through the arm: what was asked while that was lost is not answered yet
        if self._gripper and not self._gripper.answers():
            self._gripper.recover()
        if self._is_faulty() or self._loop.mode is Mode.FAULT:
            self.arm.recover()
        self._loop.rest()
        return None

    def leave(self) -> None:
        """Brake and let go; `standing` says when that is done."""
        self._loop.leave()

    def close(self) -> None:
        """Let go of the devices."""
        self.arm.close()
        if self._gripper:
            self._gripper.close()
        self._loop.mode = Mode.OFFLINE

    def tick(self, now: float) -> None:
        """Look, decide, send, report."""
        self._loop.tick(now)

    def publish(self, now: float) -> None:
        """Report what is known now."""
        self._loop.publish(now)

    @property
    def standing(self) -> bool:
        """Whether nothing is sent to the arm."""
        return self._loop.standing

    def _connect_by_force(self) -> tuple[ArmIdentity, str]:
        """The operator has read the fault that kept the arm from being connected, and wants it cleared."""
        try:
            return self.connect()
        except ArmFaultError:
            self.arm.recover()
            return self.connect()

    def _is_faulty(self) -> bool:
        """Whether the arm says so; a link that was lost is opened anew."""
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
        # the cell asks for motion only when its operator has re-armed the latch that lies at the path
        with suppress(OSError):
            self._loop.latch.renew()
        if self._loop.latch.latched:
            raise StoppedError(f"{self.arm.name}: the stop latch is set. Re-arm the stop to move again.")
