"""A gripper in a thread of its own, so that its line, however slow, never holds up the arm's.

The controller says how far open it should be and reads how far open it is; both return at once. A gripper that fails
is reported and left alone until the operator has it recovered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hardware.cell import CellError
from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState

_ASK_EVERY = 0.05  # s between two looks at the gripper; its line is slow and a hand takes half a second
_SMALLEST_MOVE = 0.005  # of the stroke; less is not worth a message
_PATIENCE = 15.0  # s for connecting and activating


class GripperThread:
    """One gripper, asked for regularly."""

    def __init__(self, gripper: Gripper) -> None:
        """Nothing is opened before `connect`."""
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
        """What is wrong and what to do; empty when all is well."""
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
        """What the fingers met; None before the first report."""
        return self._state.grasp if self._state else None

    def connect(self) -> str:
        """Open it and wait until it answers; model, serial, firmware. Raises GripperError."""
        self._thread = threading.Thread(target=self._run, name=self._gripper.name, daemon=True)
        self._thread.start()
        self._wait(lambda: self._state is not None)
        return self._identity

    def move(self, opening: float) -> None:
        """Ask for an opening, 0 closed .. 1 open; the newest wish counts."""
        self._wanted = opening

    def forget(self) -> None:
        """Ask for nothing any more; what is held stays held."""
        self._wanted = None

    def recover(self) -> None:
        """Clear its fault because the operator said so, and wait for it. Raises GripperError when it stays."""
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
        """Wait until it has answered a question asked after now; False with an `error` when it does not."""
        began = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            return False
        try:
            self._wait(lambda: self._asked > began)
        except GripperError:
            return False
        return True

    def close(self) -> None:
        """End the thread and let go of the line; what is held stays held."""
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
        # quite open and quite closed are always passed on, so that no grasp stays half a message short
        inside = 0.0 < wanted < 1.0
        # one that was told nothing yet is where it is: what it holds may need the force that another wish would end
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
