"""The cell's handle on one arm's controller: a process that can be killed, orders down, reports up.

The process is `controller.worker`. Orders, heartbeats and reports go through shared memory, so neither end ever waits
for the other; requests wait for their answer, and are made while the arm is at rest.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.channel import BROKEN, Channel
from hardware.arms.interface import ArmError, ArmFaultError
from hardware.cell import StoppedError
from hardware.controller.neighbour import BaseChange
from hardware.controller.requests import (
    FROM_CONTROLLER,
    ORDER_SLOTS,
    REPORT_SLOTS,
    TO_CONTROLLER,
    Ask,
    CellLine,
    NeighbourLink,
    Reply,
    Request,
    Setup,
)
from hardware.controller.settings import ControllerSettings
from hardware.grippers.interface import GripperError
from hardware.mailbox import Heartbeat, Mailbox
from hardware.plan import TimedPlan
from hardware.settings import ArmSettings
from hardware.wire import ORDER_SIZE, REPORT_SIZE, Order, Report

_EACH = 5
"""Stride, in reports, when reading them to measure an arm's motion."""
_SILENT_AFTER = 0.5
"""s without a report after which a controller counts as hung: longer than a driver's time-out for a lost link."""
_STARTING = 10.0  # s that an interpreter gets to start
_LEAVING = 5.0  # s
_TAKING = 1.0  # s to transfer a request or a reply once it has begun; it fits the socket's buffer


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another arm of the cell, to stay clear of."""

    process: ControllerProcess
    change: BaseChange
    radius: float


class ControllerProcess:
    """One arm's controller in its own process; `start`, then requests and orders, `close` at the end."""

    def __init__(self, arm: ArmSettings, settings: ControllerSettings, latch: Path) -> None:
        """Starts nothing."""
        self.arm = arm
        self._settings = settings
        self._latch = latch
        self._orders = Mailbox(size=ORDER_SIZE, slots=ORDER_SLOTS)
        self._reports = Mailbox(size=REPORT_SIZE, slots=REPORT_SLOTS)
        self._heartbeat = Heartbeat()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: CellLine | None = None
        self._number = 0
        self._busy_until = self._started = 0.0

    @property
    def name(self) -> str:
        """The arm's name in the task file."""
        return self.arm.name

    @property
    def pid(self) -> int | None:
        """The running process; None when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, others: Sequence[Other] = (), held: Sequence[int] = ()) -> None:
        """Start the process, killing a running one first; a request then connects the arm.

        `held`: descriptors of locks that it also holds until it exits.
        """
        self.kill()
        ours, theirs = socket.socketpair()
        reports = [other.process._reports.descriptor for other in others]
        inherited = [
            theirs.fileno(),
            *reports,
            *held,
            self._orders.descriptor,
            self._reports.descriptor,
            self._heartbeat.descriptor,
        ]
        with theirs:
            # a fresh interpreter in its own session: it loads no torch, and no Ctrl-C reaches it
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hardware.controller.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=inherited,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
            )
        self._socket = Channel(ours, says=TO_CONTROLLER, hears=FROM_CONTROLLER)
        self._started = time.monotonic()
        self._busy_until = self._started + _STARTING
        links = [
            NeighbourLink(descriptor=descriptor, change=other.change, radius=other.radius)
            for descriptor, other in zip(reports, others, strict=True)
        ]
        self._socket.send(self._setup(tuple(links)), _TAKING)

    def request(self, ask: Ask) -> Any:
        """Ask and wait. Raises ArmError, ArmFaultError, GripperError, StoppedError, as the controller reports."""
        self.ask(ask)
        return self.answer(ask.patience)

    def ask(self, ask: Ask) -> None:
        """Ask without waiting; `answer` must follow. Raises ArmError when the controller is not running."""
        self.require_alive()
        self._number += 1
        self._busy_until = time.monotonic() + ask.patience
        try:
            self._line.send(Request(number=self._number, ask=ask), _TAKING)
        except OSError as error:
            raise ArmError(self._gone()) from error

    def answer(self, timeout: float) -> Any:
        """Wait up to `timeout` s for the answer to the last `ask`.

        Raises:
            ArmError, ArmFaultError, GripperError, StoppedError: as the controller reports; ArmError if it is silent.
        """
        until = time.monotonic() + timeout
        try:
            while self._line.poll(max(0.0, until - time.monotonic())):
                reply = self._line.receive(_TAKING)
                if reply.number == self._number:
                    self._busy_until = 0.0
                    return _value(reply)
        except BROKEN as error:
            raise ArmError(self._gone()) from error
        raise ArmError(f"{self.name}: its controller does not answer. {_REMEDY}")

    def post(self, plan: TimedPlan | None) -> int:
        """Order the arm to follow a plan, or to hold; returns the order's number."""
        return self._orders.post(Order(plan=plan, given=time.monotonic()).encode())

    def beat(self, now: float) -> None:
        """Note that the planning loop is alive."""
        self._heartbeat.beat(now)

    def report(self) -> Report | None:
        """The newest report; None before the first."""
        found = self._reports.newest()
        return Report.decode(found[1]) if found else None

    def reports_around(self, instant: float) -> tuple[Report, Report] | None:
        """The last report before a time and the first one after it; None if missing or already overwritten."""
        later: Report | None = None
        for number in range(self._reports.count, 0, -1):
            data = self._reports.read(number)
            if data is None:
                return None
            report = Report.decode(data)
            if report.time <= instant:
                return (report, later) if later else None
            later = report
        return None

    def reports_since(self, number: int) -> tuple[int, list[Report]]:
        """The number of the newest report, and all reports after `number` that are not overwritten yet."""
        newest = self._reports.count
        found = [
            self._reports.read(each) for each in range(max(number + 1, newest - REPORT_SLOTS + 1), newest + 1)
        ]
        return newest, [Report.decode(data) for data in found if data is not None]

    def reports_of(self, instant: float) -> list[Report]:
        """A sample of the reports since a time and one before it, oldest first, as far as not overwritten."""
        found: list[Report] = []
        for number in range(self._reports.count, 0, -_EACH):
            data = self._reports.read(number)
            if data is None:
                break
            found.append(Report.decode(data))
            if found[-1].time <= instant:
                break
        return found[::-1]

    def require_alive(self) -> None:
        """Raises ArmError when the process is gone or hangs."""
        if self.pid is None:
            raise ArmError(self._gone())
        silence = self.silence
        if silence > _SILENT_AFTER and not self.alive:
            raise ArmError(f"{self.name}: its controller has been silent for {silence:.1f} s. {_REMEDY}")

    @property
    def alive(self) -> bool:
        """Whether the process runs and reports."""
        now = time.monotonic()
        return self.pid is not None and (self.silence < _SILENT_AFTER or now < self._busy_until)

    @property
    def silence(self) -> float:
        """s since the newest report, or since the start where there is none yet."""
        report = self.report()
        return time.monotonic() - max(self._started, report.time if report else 0.0)

    def kill(self) -> None:
        """Kill the process, if there is one; what the arm then does is up to its own controller."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Brake, release the devices and end the process; safe to call twice."""
        if self._process is not None and self._socket is not None:
            # closing the socket is the order to leave
            self._socket.close()
            self._socket = None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVING)
        self.kill()

    def release(self) -> None:
        """Release the shared memory; nothing can be started afterwards."""
        for part in (self._orders, self._reports, self._heartbeat):
            part.close()

    @property
    def _line(self) -> CellLine:
        if self._socket is None:
            raise ArmError(self._gone())
        return self._socket

    def _setup(self, links: tuple[NeighbourLink, ...]) -> Setup:
        return Setup(
            arm=self.arm,
            settings=self._settings,
            latch=self._latch,
            orders=self._orders.descriptor,
            reports=self._reports.descriptor,
            heartbeat=self._heartbeat.descriptor,
            neighbours=links,
        )

    def _gone(self) -> str:
        code = self._process.poll() if self._process else None
        how = f" (it ended with code {code})" if code is not None else ""
        return f"{self.name}: its controller is not running{how}. {_REMEDY}"


_REMEDY = "Make sure that the arm is at rest, then continue: the controller is restarted."


def _value(reply: Reply) -> Any:
    if reply.fault is not None:
        raise ArmFaultError(reply.fault)
    if reply.stopped:
        raise StoppedError(reply.error)
    if reply.gripper:
        raise GripperError(reply.error)
    if reply.error:
        raise ArmError(reply.error)
    return reply.value
