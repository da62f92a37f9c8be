"""The controllers of a cell's arms as one group: started, queried, commanded and monitored together.

A fault of one arm brakes all. Makes no plans and handles no cameras.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hardware.arms.interface import LimitCheck
from hardware.cell import CellError
from hardware.controller.neighbour import BaseChange
from hardware.controller.requests import Ask, Identities
from hardware.controller.settings import ControllerSettings
from hardware.device import Device
from hardware.plan import TimedPlan
from hardware.robot.devices import DeviceLocks
from hardware.robot.process import ControllerProcess, Other
from hardware.robot.readings import end_of, follows, troubled
from hardware.robot.settings import RobotCellSettings
from hardware.robot.together import groups
from hardware.settings import ArmSettings
from hardware.wire import Mode, Report

_CALM = 0.5  # s; an arm that received an order within this time has not been parked
_BRAKING = 3.0  # s that an arm may need to come to rest
_LOOK_EVERY = 0.005  # s


class ArmGroup:
    """One or two arms."""

    def __init__(self, settings: RobotCellSettings, latch: Path) -> None:
        """Create the shared memory; `start` starts the processes."""
        self.devices: dict[str, Device] = {}
        """Connected devices: kind and name -> the device."""
        self._settings = settings
        self._devices = DeviceLocks(settings)
        self._processes = {
            arm.name: ControllerProcess(arm, _controller_settings(settings, arm), latch)
            for arm in settings.arms
        }
        self._orders: dict[str, int] = {}
        self._ordered_at = 0.0
        self._to_home: deque[tuple[str, ...]] = deque()
        self._homings: dict[str, int] = {}

    @property
    def processes(self) -> Mapping[str, ControllerProcess]:
        """By arm name, in the order of the task file."""
        return self._processes

    @property
    def reports(self) -> list[Report]:
        """The newest report of each arm that has reported."""
        return [report for process in self._processes.values() if (report := process.report())]

    def start(self) -> None:
        """Lock the cell's devices and start all processes; connects nothing.

        Raises:
            CellError: another session holds one of the devices.
        """
        self._devices.take()
        for name in self._processes:
            self._start(name)

    def connect(self, ask: Ask) -> None:
        """Connect all arms in parallel; with `Ask.RECOVER` faults are cleared first. Raises CellError."""
        self._hear(self._processes, ask)

    def close(self) -> None:
        """Brake, release the devices, end the processes."""
        for process in self._processes.values():
            process.close()
        for process in self._processes.values():
            process.release()
        self._devices.release()

    def recover(self) -> None:
        """Restart dead or hung processes and clear the faults of the others. Raises CellError if a fault persists."""
        gone = [name for name, process in self._processes.items() if not process.alive]
        faulty = [
            name
            for name, process in self._processes.items()
            if name not in gone and troubled(process.report())
        ]
        for name in gone:
            self._start(name)
        self._hear(gone, Ask.CONNECT)
        self._hear(faulty, Ask.RECOVER)

    def limits(self) -> dict[str, list[LimitCheck]]:
        """Vendor-side limits of the arms that can be queried now."""
        found = {}
        for name, process in self._processes.items():
            report = process.report()
            if process.alive and report is not None and report.mode is Mode.PARKED:
                found[name] = process.request(Ask.LIMITS)
        return found

    # --- motion ---------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Note that the planning loop is alive."""
        now = time.monotonic()
        for process in self._processes.values():
            process.beat(now)

    def get_ready(self) -> None:
        """Get all parked arms ready to follow, in parallel. Raises CellError, StoppedError."""
        self._await_rest()
        recently = time.monotonic() - self._ordered_at < min(_CALM, 0.5 * self._settings.park_after)
        self._hear(
            [
                name
                for name, process in self._processes.items()
                if not (recently and follows(process.report()))
            ],
            Ask.FOLLOW,
        )

    def follow(self, plans: Sequence[TimedPlan]) -> None:
        """Follow one plan per arm."""
        pairs = zip(self._processes.items(), plans, strict=True)
        self._orders = {name: process.post(plan) for (name, process), plan in pairs}
        self._ordered_at = time.monotonic()

    def brake(self) -> None:
        """Decelerate and hold, whatever the arms were doing."""
        self._to_home.clear()
        self._orders = {name: process.post(None) for name, process in self._processes.items()}
        self._ordered_at = time.monotonic()

    def require_going_on(self, *, planned: bool) -> None:
        """Check that no arm is in fault or, if `planned`, has dropped its plan.

        Raises:
            StoppedError, CellError: one has; all have been braked.
        """
        for name, process in self._processes.items():
            try:
                process.require_alive()
            except CellError:
                self.brake()
                raise
            report = process.report()
            if report is None:
                continue
            dropped = planned and report.dropped >= self._orders.get(name, 0) > 0
            if report.mode is Mode.FAULT or dropped:
                self.brake()
                raise end_of(name, report)

    # --- homing ---------------------------------------------------------------------------------------------------

    def begin_homing(self) -> None:
        """Start homing, in parallel where the paths are clear of each other.

        Raises:
            CellError, StoppedError: no arm moves.
        """
        self._come_to_rest()
        self._to_home = deque(self._groups())
        self._send_next_home()

    def at_home(self) -> bool:
        """Whether all have arrived; sends the next group. Raises CellError, StoppedError when an arm has stopped."""
        if not self._to_home:
            raise CellError("Homing was interrupted, or has not started. Continue to start it again.")
        # check every arm: whatever stops one also stops the other
        arrived = [self._has_arrived(self._processes[name]) for name in self._to_home[0]]
        if not all(arrived):
            return False
        self._to_home.popleft()
        if self._to_home:
            self._send_next_home()
        return not self._to_home

    def _groups(self) -> list[tuple[str, ...]]:
        if len(self._processes) == 1:
            return [tuple(self._processes)]
        return groups(self._settings, {name: process.report() for name, process in self._processes.items()})

    def _come_to_rest(self) -> None:
        """Bring the arms to rest: a path home starts from rest."""
        if any(report.mode in (Mode.SERVO, Mode.HOMING) and report.moving for report in self.reports):
            self.brake()
        until = time.monotonic() + _BRAKING
        while any(report.moving for report in self.reports) and time.monotonic() < until:
            self.beat()
            time.sleep(_LOOK_EVERY)

    def _await_rest(self) -> None:
        """Wait while arms brake: they take no plan and cannot go home; after a stop that is a fraction of a second."""
        until = time.monotonic() + _BRAKING
        while any(report.mode is Mode.BRAKING for report in self.reports) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)

    def _send_next_home(self) -> None:
        self._await_rest()
        asked: list[ControllerProcess] = []
        refused: list[CellError] = []
        for name in self._to_home[0]:
            process = self._processes[name]
            report = process.report()
            self._homings[name] = report.homings if report else 0
            try:
                process.ask(Ask.HOME)
                asked.append(process)
            except CellError as error:
                refused.append(error)
        for process in asked:
            # wait for all answers: an order to brake takes effect only after them
            try:
                process.answer(Ask.HOME.patience)
            except CellError as error:
                refused.append(error)
        if refused:
            self.brake()
            raise refused[0]

    def _has_arrived(self, process: ControllerProcess) -> bool:
        process.require_alive()
        report = process.report()
        if report is None or report.mode in (Mode.HOMING, Mode.SERVO, Mode.BRAKING):
            return False
        if report.homings > self._homings[process.name]:
            return True
        self.brake()
        raise end_of(process.name, report)

    # --- processes ------------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        own, radius = self._processes[name].arm, self._settings.safety.radius
        others = [process for process in self._processes.values() if process.name != name]
        self._processes[name].start(
            [
                Other(process=other, change=BaseChange.between(other.arm, own), radius=radius)
                for other in others
                if radius is not None
            ],
            self._devices.descriptors,
        )

    def _hear(self, names: Iterable[str], ask: Ask) -> None:
        """Send the request to all, then wait for all answers."""
        asked = [*names]
        for name in asked:
            self._processes[name].ask(ask)
        for name in asked:
            answer = self._processes[name].answer(ask.patience)
            if isinstance(answer, Identities):
                self.devices[f"arm {name}"] = answer.arm
                if answer.gripper:
                    self.devices[f"gripper of {name}"] = answer.gripper


def _controller_settings(settings: RobotCellSettings, arm: ArmSettings) -> ControllerSettings:
    return ControllerSettings(
        safety=settings.safety,
        hz=settings.controller_hz,
        park_after=settings.park_after,
        suspended_after=settings.suspended_after,
        tracking_error=settings.tracking_error,
        home=arm.home,
        home_within=arm.home_within,
        home_opening=None if settings.home_opening == "keep" else settings.home_opening,
    )
