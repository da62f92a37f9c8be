"""The process of one arm's controller: ``python -m hardware.controller.worker DESCRIPTOR``, started by `robot.process`.

Keeps the rate with absolute deadlines, answers requests between two ticks, and exits by itself when the process that
started it is gone: it brakes first. `hardware.controller.loop` runs a tick.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from datasets.channel import BROKEN, Channel
from datasets.log_lines import STAMP
from datasets.messages import MessageError
from hardware.arms.interface import ArmFaultError, ArmIdentity
from hardware.cell import CellError, StoppedError
from hardware.controller.controller import Controller
from hardware.controller.loop import ControlLoop
from hardware.controller.neighbour import Neighbour
from hardware.controller.requests import (
    FROM_CONTROLLER,
    ORDER_SLOTS,
    REPORT_SLOTS,
    TO_CONTROLLER,
    Ask,
    ControllerLine,
    Identities,
    Reply,
    Request,
    Setup,
    Value,
)
from hardware.controller.way import WayRules
from hardware.device import Device
from hardware.grippers.interface import GripperError
from hardware.grippers.thread import GripperThread
from hardware.latch import StopLatch
from hardware.mailbox import Heartbeat, Mailbox
from hardware.wire import ORDER_SIZE, REPORT_SIZE

_PARKED_PERIOD = 0.05  # s; a parked arm is only polled, which leaves the CPU to the learner
_LONGEST_BRAKING = 3.0  # s that an arm gets to come to rest before its process exits
_TAKING = 0.05  # s to transfer a request or a reply once it has begun; it fits the socket's buffer
_PRIORITY = 20  # of 1 .. 99 real-time priorities: above all ordinary work, below the system's own

_log = logging.getLogger("controller")


class Worker:
    """One controller and its end of the socket."""

    def __init__(self, controller: Controller, line: ControllerLine, period: float) -> None:
        self._controller = controller
        self._line = line
        self._period = period
        self._ready = select.poll()
        self._ready.register(line, select.POLLIN)
        self._leave_by: float | None = None
        self._was_standing = False
        self.ending = False
        """Set by a signal; the next tick acts on it."""
        self._answers: dict[Ask, Callable[[], Value]] = {
            Ask.CONNECT: self._connect,
            Ask.LIMITS: controller.limits,
            Ask.FOLLOW: lambda: controller.follow(time.monotonic()),
            Ask.HOME: lambda: controller.home(time.monotonic()),
            Ask.RECOVER: self._recover,
        }

    def run(self) -> None:
        """Run until asked to leave, or until the parent is gone; the arm is then at rest."""
        deadline = time.monotonic()
        try:
            while not self._done(time.monotonic()):
                self._controller.tick(time.monotonic())
                deadline = self._rest() if self._controller.standing else self._wait(deadline + self._period)
                if self.ending and self._leave_by is None:
                    self.leave()
        finally:
            self._controller.close()

    def _wait(self, deadline: float) -> float:
        """Wait until the next tick is due; returns when it was due."""
        self._was_standing = False
        self._serve(0.0)
        now = time.monotonic()
        if now >= deadline:
            # missed ticks are not made up for: commands are one period apart
            return now
        time.sleep(deadline - now)
        return deadline

    def _rest(self) -> float:
        """Idle for a while; a request ends it at once."""
        if not self._was_standing:
            self._was_standing = True
            gc.collect()
        self._serve(_PARKED_PERIOD)
        return time.monotonic()

    def _done(self, now: float) -> bool:
        return self._leave_by is not None and (self._controller.standing or now > self._leave_by)

    def _serve(self, timeout: float) -> None:
        if not self._ready.poll(1000.0 * timeout):
            return
        try:
            request = self._line.receive(_TAKING)
            if not isinstance(request, Request):
                raise MessageError("a controller is set up once")
        except BROKEN:
            if self._leave_by is None:
                self.leave()
            self._ready.unregister(self._line)
            return
        reply = self._answer(request)
        # publish first: whoever reads the answer finds the matching state
        self._controller.publish(time.monotonic())
        with suppress(OSError):
            self._line.send(reply, _TAKING)

    def _answer(self, request: Request) -> Reply:
        try:
            return Reply(number=request.number, value=self._answers[request.ask]())
        except CellError as error:
            return Reply(
                number=request.number,
                error=str(error),
                gripper=isinstance(error, GripperError),
                stopped=isinstance(error, StoppedError),
                fault=error.fault if isinstance(error, ArmFaultError) else None,
            )

    def _connect(self) -> Identities:
        return _identities(*self._controller.connect())

    def _recover(self) -> Identities | None:
        found = self._controller.recover()
        return _identities(*found) if found else None

    def leave(self) -> None:
        """Brake, release the devices, and exit."""
        self._leave_by = time.monotonic() + _LONGEST_BRAKING
        self._controller.leave()


def _identities(arm: ArmIdentity, gripper: str) -> Identities:
    said = f"{arm.model}, serial {arm.serial}, firmware {arm.firmware}"
    return Identities(
        arm=Device(said=said, model=arm.model, serial=arm.serial, firmware=arm.firmware),
        gripper=Device(said=gripper) if gripper else None,
    )


def build(setup: Setup) -> Controller:
    """A process's controller, attached to the shared memory."""
    arm = setup.arm.build()
    gripper = GripperThread(setup.arm.gripper.build(setup.arm)) if setup.arm.gripper else None
    loop = ControlLoop(
        arm,
        gripper,
        setup.settings,
        WayRules.of(setup.arm, setup.settings.safety),
        orders=Mailbox(size=ORDER_SIZE, slots=ORDER_SLOTS, descriptor=setup.orders),
        reports=Mailbox(size=REPORT_SIZE, slots=REPORT_SLOTS, descriptor=setup.reports),
        heartbeat=Heartbeat(setup.heartbeat),
        latch=StopLatch(setup.latch),
        neighbours=[
            Neighbour(
                Mailbox(size=REPORT_SIZE, slots=REPORT_SLOTS, descriptor=link.descriptor),
                link.change,
                link.radius,
            )
            for link in setup.neighbours
        ],
    )
    return Controller(loop)


def main() -> int:
    """Run one controller until its parent asks it to leave, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine handles a Ctrl-C at the terminal
    logging.basicConfig(level=os.environ.get("STATION_LOG", "INFO"), format=f"{STAMP}%(name)s: %(message)s")
    # the loop's thread does not wait long for a driver's thread
    sys.setswitchinterval(0.001)
    line: ControllerLine = Channel(
        socket.socket(fileno=int(sys.argv[1])), says=FROM_CONTROLLER, hears=TO_CONTROLLER
    )
    setup = line.receive()
    assert isinstance(setup, Setup), "the first message says what to control"
    controller = build(setup)
    worker = Worker(controller, line, 1.0 / setup.settings.hz)
    signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "ending", True))
    if not controller.arm.schedules_itself:
        _prefer_this_thread()
    gc.freeze()
    gc.disable()
    worker.run()
    return 0


def _prefer_this_thread() -> None:
    """Request real-time scheduling, where the system allows it; threads created later do not inherit it."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))


if __name__ == "__main__":
    sys.exit(main())
