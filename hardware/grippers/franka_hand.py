"""The Franka hand through franky, over its own connection to the control box.

The hand executes one command at a time; a new goal during a motion must first stop the running command, which takes
some tenths of a second. So a goal is sent at once only while the hand is idle or moving the wrong way; otherwise the
newest goal waits until `state` sees the running command end.

Opening is a move. Closing is a grasp, so that an object stays pressed with `force`; while an object is held, even
narrower goals change nothing. The hand reports no force: a grasp is inferred from where the fingers stopped.
"""

from __future__ import annotations

import logging
import time
from types import ModuleType
from typing import Any, Literal

from pydantic import Field

from hardware.arms.franka_link import connected, failures, load_franky, vendor_text
from hardware.arms.interface import ArmError
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.settings import ArmSettings, GripperSettings

_LOG = logging.getLogger(__name__)

_TOLERANCE = 0.002
"""m; goals and widths that differ by less count as equal."""
_STOPPED = 1.0
"""s, longest wait for the hand to stop a command."""
_HOMED = 14.0
"""s, longest wait for the hand to home."""
_LEAST_WIDTH = 0.01
"""m; a hand that has not been homed since power-up reports a smaller maximum width than this."""


class FrankaHandSettings(GripperSettings):
    """The hand of a Franka."""

    driver: Literal["franka_hand"] = "franka_hand"
    """The Franka hand through franky."""
    address: str = ""
    """Host name or IP address of the control box; not set: the arm's."""
    max_width: float = Field(default=0.08, ge=0.01, le=0.2)
    """Width that counts as fully open, m."""
    speed: float = Field(default=0.1, gt=0.0, le=0.2)
    """Rate of change of the width, m/s."""
    force: float = Field(default=20.0, ge=1.0, le=70.0)
    """Grasp force, N."""
    find_ends: bool = True
    """Home the hand (open and close once) on connecting, if it is not homed."""

    def build(self, arm: ArmSettings) -> FrankaHand:
        return FrankaHand(self, self.address or str(getattr(arm, "address", "")))


class FrankaHand(Gripper):
    """One hand; connect before any other call, and use it from one thread."""

    def __init__(self, settings: FrankaHandSettings, address: str) -> None:
        self.name = settings.name
        self.max_width = settings.max_width
        self._settings = settings
        self._address = address
        self._franky: ModuleType | None = None
        # a running command uses the connection: if both are destroyed together, as at exit, it must go first
        self._running: Any = None
        self._hand: Any = None
        self._goal: float | None = None
        self._target: float | None = None
        self._fault = ""
        self._abandoned: list[tuple[Any, Any]] = []

    def connect(self) -> str:
        if not self._address:
            raise GripperError(f"{self.name}: there is no address. Set address in [arms.gripper].")
        try:
            self._franky = load_franky(self.name)
            self._open(self._franky)
        except ArmError as error:
            raise GripperError(str(error)) from error
        return f"Franka hand at {self._address}, gripper server {self._hand.server_version}"

    def _open(self, franky: ModuleType) -> None:
        self._hand = connected(franky, self.name, self._address, lambda: franky.Gripper(self._address))
        self._running, self._goal, self._target, self._fault = None, None, None, ""
        if self._report().max_width < _LEAST_WIDTH and self._settings.find_ends:
            self._find_ends()

    def _find_ends(self) -> None:
        self._running = self._hand.homing_async()
        if not self._running.wait(_HOMED):
            raise GripperError(
                f"{self.name}: the hand did not finish homing in {_HOMED:g} s. Home it in Desk."
            )
        self._finish()
        if self._fault:
            raise GripperError(f"{self.name}: {self._fault}")

    def close(self) -> None:
        """Stop moving fingers; fingers that press keep pressing."""
        try:
            if self._running is not None and not self._running.wait(0.0):
                self._stop()
        except GripperError as error:
            _LOG.warning("%s", error)
        self._let_go()

    def move(self, width: float) -> None:
        self._target = min(max(width, 0.0), self.max_width)
        self._go_on(self._report().width)

    def state(self) -> GripperState:
        report = self._report()
        self._go_on(report.width)
        return GripperState(
            time=time.monotonic(), width=report.width, grasp=self._grasp(report.width), fault=self._fault
        )

    def recover(self) -> None:
        if self._franky is None:
            raise GripperError(f"{self.name}: not connected. Connect it first.")
        self._let_go()
        try:
            self._open(self._franky)
        except ArmError as error:
            raise GripperError(str(error)) from error

    def _let_go(self) -> None:
        """Drop the connection; one that still waits for an answer is kept, as its destructor would block as well.

        It would block while holding Python's lock, and stall the arm's commands.
        """
        self._abandoned = [pair for pair in self._abandoned if not pair[1].wait(0.0)]
        if self._running is not None and not self._running.wait(0.0):
            self._abandoned.append((self._hand, self._running))  # a tuple releases its last item first
        self._hand, self._running = None, None

    # --- one command at a time ---

    def _go_on(self, width: float) -> None:
        """Finish the running command, and send the newest goal to the hand as soon as that is useful."""
        if self._running is not None and self._running.wait(0.0):
            self._finish()
        target = self._target
        if target is None or self._fault or self._is_under_way(target):
            return
        if self._running is not None:
            if not self._overshoots(width, target):
                return
            self._stop()
        if self._holds(width) and target < width + _TOLERANCE:
            return
        self._start(width, target)

    def _is_under_way(self, target: float) -> bool:
        return self._goal is not None and abs(target - self._goal) < _TOLERANCE

    def _overshoots(self, width: float, target: float) -> bool:
        """Whether the running command leads past the requested width, or away from it."""
        goal = width if self._goal is None else self._goal
        if goal < width:
            return target > goal + _TOLERANCE
        return target < goal - _TOLERANCE

    def _start(self, width: float, target: float) -> None:
        settings = self._settings
        if target < width - _TOLERANCE:
            self._running = self._hand.grasp_async(
                target,
                settings.speed,
                settings.force,
                epsilon_inner=settings.max_width,
                epsilon_outer=settings.max_width,
            )
        else:
            self._running = self._hand.move_async(target, settings.speed)
        self._goal = target

    def _stop(self) -> None:
        try:
            self._hand.stop()
        except failures(self._vendor()) as error:
            raise self._lost(error) from error
        if not self._running.wait(_STOPPED):
            raise GripperError(
                f"{self.name}: the hand did not stop within {_STOPPED:g} s. Look at it in Desk, then recover."
            )
        self._drop()

    def _drop(self) -> None:
        """Forget a stopped command; its result means nothing."""
        try:
            self._running.get()
        except failures(self._vendor()) as error:
            _LOG.debug("%s: %s", self.name, error)
        self._running, self._goal = None, None

    def _finish(self) -> None:
        franky = self._vendor()
        try:
            done = self._running.get()
        except franky.CommandException as error:
            self._fault = f"{vendor_text(error)} Free the fingers, then recover."
        except failures(franky) as error:
            raise self._lost(error) from error
        else:
            if not done:
                _LOG.debug("%s: the hand did not reach %s m", self.name, self._goal)
        self._running = None

    # --- what the fingers met ---

    def _grasp(self, width: float) -> Grasp:
        if self._running is not None:
            return Grasp.MOVING
        return Grasp.OBJECT if self._holds(width) else Grasp.NOTHING

    def _holds(self, width: float) -> bool:
        return self._running is None and self._goal is not None and width > self._goal + 2.0 * _TOLERANCE

    def _report(self) -> Any:
        if self._hand is None:
            raise GripperError(f"{self.name}: not connected. Connect it first, or recover.")
        try:
            return self._hand.state
        except failures(self._vendor()) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> GripperError:
        self._let_go()
        return GripperError(
            f"{self.name}: the link to the hand is lost: {vendor_text(error)} Check the hand's plug and the control "
            "box, then recover, which reconnects."
        )

    def _vendor(self) -> ModuleType:
        if self._franky is None:
            raise GripperError(f"{self.name}: not connected. Connect it first.")
        return self._franky
