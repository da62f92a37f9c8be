"""Examines every device of a cell separately, and measures all of them running in parallel.

Unlike `RobotCell.connect`, which requires every device, this continues past missing ones and reports them. An arm whose
limits are all set is enabled and holds its pose while its control loop is measured; nothing else is sent, and faults
are cleared only on request.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hardware.arms.interface import ArmFaultError, LimitCheck
from hardware.cameras.interface import CameraError
from hardware.cameras.process import CameraProcess
from hardware.cameras.settings import DeviceCameraSettings, LiveCameraSettings
from hardware.cell import CellError, Check
from hardware.controller.requests import Ask, Identities
from hardware.grippers.interface import GripperError
from hardware.plan import TimedPlan
from hardware.robot import interlocks
from hardware.robot.arm_group import ArmGroup
from hardware.robot.process import ControllerProcess
from hardware.robot.settings import RobotCellSettings
from hardware.settings import ArmSettings
from hardware.wire import Mode

ENOUGH = 0.9
"""Fraction of the requested rate that is good enough."""
_POLL = 0.001  # s
_ORDER_EVERY = 0.1  # s
_WARMING_UP = 0.3  # s at the start of a measurement that are ignored


@dataclass(frozen=True, kw_only=True)
class DeviceReport:
    """The findings on one device."""

    device: str
    identity: str = ""
    """Model, serial, firmware."""
    rate: float | None = None
    """Hz, achieved; None where nothing was measured."""
    wanted: float | None = None
    """Hz"""
    frame_age: float | None = None
    """s, the maximum age of the newest frame."""
    latency: float | None = None
    """s, median: camera, from frame to reader; arm, from order to first command."""
    worst_interval: float | None = None
    """s, 99th percentile between two commands of an arm."""
    limits: tuple[LimitCheck, ...] = ()
    """Vendor-side limits as the device reports them."""
    problems: tuple[Check, ...] = ()
    """Problems to fix, each with its remedy."""
    notes: tuple[str, ...] = ()
    """Hints, a sentence each; none prevents work."""
    faulty: bool = False
    """Whether it is in a fault that persists until it is recovered."""
    joints: tuple[float, ...] = ()
    """rad, an arm's joint angles; empty where unknown."""
    position: tuple[float, ...] = ()
    """m, base frame, an arm's tool position; empty where unknown."""

    @property
    def ready(self) -> bool:
        """Whether there is nothing to fix."""
        return not self.problems and all(limit.ok for limit in self.limits)


@dataclass(kw_only=True)
class _Seen:
    """The data gathered on one device during a measurement."""

    identity: str = ""
    gripper: str = ""
    limits: list[LimitCheck] = field(default_factory=list)
    problems: list[Check] = field(default_factory=list)
    gripper_error: str = ""
    faulty: bool = False
    following: bool = False
    newest: float = 0.0
    values: list[float] = field(default_factory=list)
    """Arm: intervals, s; camera: ages of frames when first read, s."""
    delays: list[float] = field(default_factory=list)
    oldest: float = 0.0

    def blame(self, name: str, error: CellError) -> None:
        """Record this error as a problem of this device; its message includes the remedy."""
        self.problems.append(Check(name=name, ok=False, detail=str(error)))
        self.faulty = self.faulty or isinstance(error, ArmFaultError)


class Examination:
    """One examination of a cell of real devices; use as a context manager."""

    def __init__(
        self, settings: RobotCellSettings, latch: Path, *, hold: bool = True, recover: bool = False
    ) -> None:
        """`latch`: file of a stop latch, checked while arms hold; `hold`: measure arms as they hold their pose.

        `recover`: the user has made sure that it is safe, and wants the arms' faults cleared first.
        """
        self._settings = settings
        self._hold = hold
        self._recover = recover
        self._arm_group = ArmGroup(settings, latch)
        self._cameras = {camera.name: CameraProcess(camera) for camera in settings.cameras}
        self._arms = {arm.name: _Seen() for arm in settings.arms}
        self._views = {camera.name: _Seen() for camera in settings.cameras}

    def __enter__(self) -> Examination:
        """Connect every device that can be connected."""
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Release all devices."""
        self._arm_group.close()
        for camera in self._cameras.values():
            camera.close()

    def measure(self, seconds: float) -> None:
        """Measure all devices running for this long, s."""
        self._begin_to_hold()
        started = time.monotonic()
        ordered = 0.0
        while (now := time.monotonic()) < started + _WARMING_UP + seconds:
            self._arm_group.beat()
            if now - ordered >= _ORDER_EVERY:
                ordered = now
                self._order_to_stay(now)
            counts = now - started > _WARMING_UP
            self._look_at_arms(counts=counts)
            self._look_at_cameras(counts=counts)
            time.sleep(_POLL)
        for name, seen in self._arms.items():
            if seen.following:
                self._end(name, seen)
        self._arm_group.brake()

    def reports(self) -> Iterator[DeviceReport]:
        """Reports on the task file's limits, then on every device."""
        unset = [
            replace(check, detail=f"{check.name}: {check.detail}")
            for check in interlocks.limits_set(self._settings)
            if not check.ok
        ]
        yield DeviceReport(device="task file", identity="limits and home poses", problems=tuple(unset))
        for arm in self._settings.arms:
            yield self._arm(arm, self._arms[arm.name])
            if arm.gripper is not None:
                yield self._gripper(arm, self._arms[arm.name])
        for camera in self._settings.cameras:
            yield self._camera(camera, self._views[camera.name])

    # --- connecting -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._arm_group.start()
        for camera in self._cameras.values():
            camera.launch()
        for name, process in self._arm_group.processes.items():
            try:
                process.ask(Ask.CONNECT)
            except CellError as error:
                self._arms[name].blame(name, error)
        for name, process in self._arm_group.processes.items():
            if not self._arms[name].problems:
                self._meet(name, process, self._arms[name])
        for name, camera in self._cameras.items():
            try:
                self._views[name].identity = camera.wait_ready()
            except CameraError as error:
                self._views[name].blame(name, error)

    def _meet(self, name: str, process: ControllerProcess, seen: _Seen) -> None:
        try:
            answer = self._identify(process)
            if isinstance(answer, Identities):
                seen.identity = answer.arm.said
                seen.gripper = answer.gripper.said if answer.gripper else ""
            if self._recover:
                process.request(Ask.RECOVER)
            seen.limits = process.request(Ask.LIMITS)
        except GripperError as error:
            seen.gripper_error = str(error)
            untried = "not checked, because its gripper does not answer"
            seen.problems.append(Check(name=name, ok=False, detail=untried))
            return
        except CellError as error:
            seen.blame(name, error)
            return
        seen.problems += [c for c in interlocks.controllers_well({name: process}) if not c.ok]
        report = process.report()
        seen.faulty = report is not None and report.mode is Mode.FAULT

    def _identify(self, process: ControllerProcess) -> object:
        """The identities; an arm in fault gives none before it is recovered. Raises CellError."""
        try:
            return process.answer(Ask.CONNECT.patience)
        except ArmFaultError:
            if not self._recover:
                raise
            return process.request(Ask.RECOVER)

    # --- measuring ------------------------------------------------------------------------------------------------

    def _begin_to_hold(self) -> None:
        limits_set = all(check.ok for check in interlocks.limits_set(self._settings))
        for name, seen in self._arms.items():
            fit = not seen.problems and all(limit.ok for limit in seen.limits)
            if not (self._hold and limits_set and fit and seen.identity):
                continue
            try:
                self._arm_group.beat()
                self._arm_group.processes[name].request(Ask.FOLLOW)
                seen.following = True
            except CellError as error:
                seen.blame(name, error)

    def _order_to_stay(self, now: float) -> None:
        for name, seen in self._arms.items():
            process = self._arm_group.processes[name]
            report = process.report() if seen.following else None
            if report is not None and report.mode is Mode.SERVO and np.isfinite(report.position).all():
                process.post(
                    TimedPlan(
                        time=np.array([now + _ORDER_EVERY]),
                        position=report.position[None],
                        quaternion=report.quaternion[None],
                        gripper=np.array([report.gripper]),
                    )
                )

    def _look_at_arms(self, *, counts: bool) -> None:
        for name, seen in self._arms.items():
            report = self._arm_group.processes[name].report() if seen.following else None
            if report is None or report.time <= seen.newest or report.mode is not Mode.SERVO:
                continue
            seen.newest = report.time
            if counts:
                seen.values.append(report.interval)
                if report.order_delay > 0.0 and report.order_delay not in seen.delays[-1:]:
                    seen.delays.append(report.order_delay)

    def _look_at_cameras(self, *, counts: bool) -> None:
        now = time.monotonic()
        for name, seen in self._views.items():
            frame = None if seen.problems else self._cameras[name].newest()
            if frame is None:
                continue
            fresh = frame.time > seen.newest
            seen.newest = frame.time
            if counts:
                seen.oldest = max(seen.oldest, now - frame.time)
                seen.values += [now - frame.time] if fresh else []

    def _end(self, name: str, seen: _Seen) -> None:
        report = self._arm_group.processes[name].report()
        if report is None or report.mode is Mode.SERVO:
            return
        detail = report.text or f"{name}: it stopped holding its pose ({report.cause.name.lower()})"
        remedy = (
            "" if report.text else "Check that nothing else moves the arm and that the machine is not busy."
        )
        seen.problems.append(Check(name=name, ok=False, detail=detail, remedy=remedy))

    # --- words ----------------------------------------------------------------------------------------------------

    def _arm(self, arm: ArmSettings, seen: _Seen) -> DeviceReport:
        wanted = float(self._settings.controller_hz)
        rate = 1.0 / statistics.fmean(seen.values) if seen.values else None
        problems = list(seen.problems)
        if rate is not None and rate < ENOUGH * wanted:
            problems.append(
                Check(
                    name=arm.name,
                    ok=False,
                    detail=f"its control loop runs at {rate:.0f} Hz instead of {wanted:.0f}",
                    remedy="End other programs, or lower [cell] controller_hz.",
                )
            )
        report = self._arm_group.processes[arm.name].report() if seen.identity else None
        problems += [
            check
            for check in interlocks.home_inside(self._settings, self._arm_group.processes)
            if check.name == f"home of {arm.name}" and not check.ok
        ]
        return DeviceReport(
            device=f"arm {arm.name}",
            identity=seen.identity,
            rate=rate,
            wanted=wanted,
            latency=statistics.median(seen.delays) if seen.delays else None,
            worst_interval=float(np.quantile(seen.values, 0.99)) if seen.values else None,
            limits=tuple(seen.limits),
            problems=tuple(problems),
            faulty=seen.faulty,
            joints=tuple(report.joints.tolist()) if report else (),
            position=tuple(report.measured_position.tolist()) if report else (),
        )

    def _gripper(self, arm: ArmSettings, seen: _Seen) -> DeviceReport:
        blamed = seen.gripper_error or ("" if seen.gripper else f"not reached; see arm {arm.name}")
        problem = Check(name=f"gripper of {arm.name}", ok=False, detail=blamed)
        return DeviceReport(
            device=f"gripper of {arm.name}", identity=seen.gripper, problems=(problem,) if blamed else ()
        )

    def _camera(self, camera: DeviceCameraSettings, seen: _Seen) -> DeviceReport:
        status = self._cameras[camera.name].status()
        wanted = float(camera.capture_fps) if isinstance(camera, LiveCameraSettings) else None
        measured = bool(seen.values) and not seen.problems
        problems = list(seen.problems)
        if measured:
            problems += _slow(self._settings, camera.name, status.rate, wanted, seen.oldest)
        elif not problems:
            detail = status.error or f"{camera.name}: no frame arrived during the measurement"
            problems.append(
                Check(name=camera.name, ok=False, detail=detail, remedy="Check its cable and its port.")
            )
        return DeviceReport(
            device=f"camera {camera.name}",
            identity=", ".join(part for part in (seen.identity, status.view) if part),
            rate=status.rate if measured else None,
            wanted=wanted,
            frame_age=seen.oldest if measured else None,
            latency=statistics.median(seen.values) if measured else None,
            problems=tuple(problems),
            notes=self._cameras[camera.name].device().remarks or tuple(filter(None, [camera.advice])),
        )


def examine(
    settings: RobotCellSettings,
    latch: Path,
    *,
    seconds: float = 3.0,
    hold: bool = True,
    recover: bool = False,
) -> Sequence[DeviceReport]:
    """Connect, measure for `seconds` s, release; returns a report for each device, even if some are missing."""
    with Examination(settings, latch, hold=hold, recover=recover) as examination:
        examination.measure(seconds)
        return tuple(examination.reports())


def _slow(
    settings: RobotCellSettings, name: str, rate: float, wanted: float | None, oldest: float
) -> Iterator[Check]:
    needed = max(wanted * ENOUGH if wanted else 0.0, float(settings.control_hz) * ENOUGH)
    if not math.isfinite(rate) or rate < needed:
        yield Check(
            name=name,
            ok=False,
            detail=f"{rate:.1f} frames per second arrive; {needed / ENOUGH:.0f} are required",
            remedy="Use a separate USB 3 port, more light or a shorter exposure, or lower capture_fps.",
        )
    if oldest > settings.safety.frame_age:
        yield Check(
            name=name,
            ok=False,
            detail=f"its newest frame was up to {oldest:.2f} s old; [safety] frame_age allows "
            f"{settings.safety.frame_age:.2f} s",
            remedy="Raise the camera's rate, or shorten its exposure.",
        )


def as_plain(report: DeviceReport) -> Mapping[str, object]:
    """For JSON."""
    return {
        "device": report.device,
        "ready": report.ready,
        "faulty": report.faulty,
        "joints_rad": report.joints,
        "position_m": report.position,
        "identity": report.identity,
        "rate_hz": report.rate,
        "wanted_hz": report.wanted,
        "frame_age_s": report.frame_age,
        "latency_s": report.latency,
        "interval_p99_s": report.worst_interval,
        "limits": [vars(limit) for limit in report.limits],
        "notes": [*report.notes],
        "problems": [{"detail": check.detail, "remedy": check.remedy} for check in report.problems],
    }
