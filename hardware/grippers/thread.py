"""A gripper in its own thread, so that its connection, however slow, never delays the arm's.

The controller sets the desired opening and reads the measured one; both return at once. A gripper that fails is
reported and left alone until the operator has it recovered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hardware.cell import CellError
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState

_ASK_EVERY = 0.05  # s between two polls; the connection is slow and a hand takes half a second
_SMALLEST_MOVE = 0.005  # fraction of the stroke; less is not worth a command
_PATIENCE = 15.0  # s for connecting and activating


class GripperThread:
    """One gripper, polled regularly."""

    def __init__(self, gripper: Gripper) -> None:
        """Opens nothing before `connect`."""
        self._gripper = gripper
        self._wanted: float | None = None
        self._sent: float | None = None
        self._state: GripperState | None = None
        self._error = ""
        self._identity = ""
        self._asked = 0.0
        self._recover = False
        self._changed = threading.Condition()
        self._leaving = False
        self._thread: threading.Thread | None = None

    @property
    def error(self) -> str:
        """What is wrong and what to do; empty without an error."""
        if not self._error and self._thread and not self._thread.is_alive() and not self._leaving:
            return f"{self._gripper.name}: its driver ended unexpectedly; the log says why. Start the session again."
        return self._error

    @property
    def opening(self) -> float:
        """Newest measured opening, 0 closed .. 1 open."""
        state = self._state
        return min(1.0, max(0.0, state.width / self._gripper.max_width)) if state else 1.0

    @property
    def grasp(self) -> Grasp | None:
        """The state of the grasp; None before the first report."""
        return self._state.grasp if self._state else None

    def connect(self) -> str:
        """Open it and wait until it answers; returns model, serial, firmware. Raises GripperError."""
        self._thread = threading.Thread(target=self._run, name=self._gripper.name, daemon=True)
        self._thread.start()
        self._wait(lambda: self._state is not None)
        return self._identity

    def move(self, opening: float) -> None:
        """Request an opening, 0 closed .. 1 open; the newest request counts."""
        self._wanted = opening

    def forget(self) -> None:
        """Withdraw the request; an object in the grasp stays held."""
        self._wanted = None

    def recover(self) -> None:
        """Clear its fault at the operator's request, and wait for that. Raises GripperError if it persists."""
        if self._thread is None or not self._thread.is_alive():
            self._error = ""
            self.connect()
            return
        self._wanted = self._sent = None
        with self._changed:
            self._error, self._recover = "", True
            self._changed.notify_all()
        self._wait(lambda: not self._recover)

    def answers(self) -> bool:
        """Wait until it has answered a poll sent after this call; False, with an `error` set, if it does not."""
        began = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            return False
        try:
            self._wait(lambda: self._asked > began)
        except GripperError:
            return False
        return True

    def close(self) -> None:
        """End the thread and close the connection; an object in the grasp stays held."""
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _wait(self, reached: Callable[[], bool]) -> None:
        with self._changed:
            in_time = self._changed.wait_for(lambda: reached() or self._error, _PATIENCE)
        if self._error:
            raise GripperError(self._error)
        if not in_time:
            raise GripperError(
                f"{self._gripper.name}: no answer within {_PATIENCE:g} s. Check its power and its cable."
            )

    def _run(self) -> None:
        try:
            self._identity = self._gripper.connect()
        except CellError as error:
            self._tell(str(error))
            self._gripper.close()
            return
        while not self._leaving:
            self._attend()
            with self._changed:
                self._changed.wait_for(lambda: self._leaving or self._recover, _ASK_EVERY)
        self._gripper.close()

    def _attend(self) -> None:
        try:
            if self._recover:
                self._gripper.recover()
            if not self._error:
                self._pass_on()
                self._look()
        except CellError as error:
            self._tell(str(error))
        if self._recover:
            with self._changed:
                self._recover = False
                self._changed.notify_all()

    def _pass_on(self) -> None:
        wanted = self._wanted
        if wanted is None or wanted == self._sent:
            return
        # fully open and fully closed are always sent, so that no grasp stops just short
        inside = 0.0 < wanted < 1.0
        # before the first command, compare with the measured opening: a needless command could end a firm grasp
        last = self.opening if self._sent is None else self._sent
        if inside and abs(wanted - last) < _SMALLEST_MOVE:
            return
        self._gripper.move(wanted * self._gripper.max_width)
        self._sent = wanted

    def _look(self) -> None:
        asked = time.monotonic()
        state = self._gripper.state()
        with self._changed:
            self._state, self._asked = state, asked
            self._error = state.fault
            self._changed.notify_all()

    def _tell(self, error: str) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()
