"""One or two arms with their grippers, and cameras, behind the contract of `hardware.cell`.

The cell turns actions into timed plans, posts them to the arms' controllers, waits until poses are due, and returns the
poses actually commanded then. It neither interpolates nor limits: the controllers' processes do, and they continue to
brake when this one is gone. Every call that makes plans or waits for them is the heartbeat that they monitor.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from datasets.observation import FloatArray, Image, Observation
from datasets.rotation import pose_to_action
from hardware.cameras.process import CameraProcess
from hardware.cell import (
    Cell,
    CellError,
    CellHealth,
    Check,
    Layout,
    Motion,
    NonFiniteCommandError,
    StaleFrameError,
    Step,
    StoppedError,
    require_running,
    unnamed,
)
from hardware.clock import slept
from hardware.controller.requests import Ask
from hardware.device import Devices
from hardware.latch import StopLatch
from hardware.plan import TimedPlan
from hardware.robot import interlocks, placements
from hardware.robot.arm_group import ArmGroup
from hardware.robot.plans import plans_of
from hardware.robot.process import ControllerProcess
from hardware.robot.readings import commanded, measured_motion, stop_latency
from hardware.robot.settings import RobotCellSettings
from hardware.robot.smoothing import mean_of_poses
from hardware.settings import ArmSettings
from hardware.wire import MOST_WAYPOINTS, Report

_SLICE = 0.01  # s between two checks of latch and controllers while waiting
_SOON = 0.05  # s that the report of a past tick may take to arrive
_SMOOTHING = 0.1
_IN_RHYTHM = 0.5
"""Control periods after its last pose within which a plan still continues it in time."""
_WATCHED = 0.3
"""s, window over which an arm's motion is measured."""


class RobotCell(Cell):
    """A cell of real devices. One thread calls it; nothing safety-critical waits for that thread."""

    def __init__(self, settings: RobotCellSettings, latch: StopLatch) -> None:
        """Opens nothing."""
        self.settings = settings
        self.spec = settings.spec
        self.cameras: dict[str, CameraProcess] = {}
        """By name; empty while nothing is connected."""
        self._latch = latch
        self._arm_group: ArmGroup | None = None
        self._due: deque[tuple[float, FloatArray]] = deque()
        self._planned: Sequence[TimedPlan | None] = ()
        self._recovering = False
        self._period = 0.0
        self._stepped_at: float | None = None
        self._last_due: float | None = None
        """When the running plan's last past pose was due, or the plan began; None without one."""
        self._looks: deque[tuple[float, float]] = deque(maxlen=MOST_WAYPOINTS)
        """Times of the newest observations, without and with the time that the computer slept, s."""

    # --- beginning and end ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Start the processes and open the devices, all in parallel.

        Raises:
            CellError: a device does not answer; all devices have been released.
        """
        try:
            self._arm_group = ArmGroup(self.settings, self._latch.path)
            self._arm_group.start()
            self._launch_cameras()
            self._arm_group.connect(Ask.RECOVER if self._recovering else Ask.CONNECT)
            for camera in self.cameras.values():
                camera.wait_ready()
        except CellError:
            self.close()
            raise
        self._recovering = False

    def close(self) -> None:
        """Brake, release the devices, end the processes; safe to call twice."""
        self._drop_plan()
        arm_group, self._arm_group = self._arm_group, None
        cameras, self.cameras = self.cameras, {}
        if arm_group is not None:
            arm_group.close()
        for camera in cameras.values():
            camera.close()

    def recover(self) -> None:
        """Clear faults and restart dead processes; the operator has read what was wrong.

        Raises:
            CellError: a fault persists.
        """
        self._drop_plan()
        if self._arm_group is None:
            self._recovering = True
            return
        self._arm_group.recover()
        for camera in self.cameras.values():
            if camera.status().needs_restart:
                camera.restart()

    @property
    def arm_group(self) -> ArmGroup:
        """The arms. Raises CellError while nothing is connected."""
        if self._arm_group is None:
            raise CellError("The cell is not connected. Continue, or restart the session.")
        return self._arm_group

    def devices(self) -> Devices:
        """Arms, grippers and cameras, by kind and name."""
        cameras = {f"camera {name}": camera.device() for name, camera in self.cameras.items()}
        return {**(self._arm_group.devices if self._arm_group else {}), **cameras}

    def preflight(self) -> list[Check]:
        """Limits, stop latch, controllers, home poses, vendor-side limits and cameras."""
        checks = [*interlocks.limits_set(self.settings), self._armed()]
        checks += interlocks.controllers_well(self.arm_group.processes)
        checks += interlocks.home_inside(self.settings, self.arm_group.processes)
        for name, limits in self.arm_group.limits().items():
            checks += interlocks.vendor_limits(name, limits)
        return [*checks, *self._frames_fresh()]

    def watch(self) -> list[Check]:
        """Arms in fault, controllers that are silent, and cameras whose newest frame is too old."""
        return [] if self._arm_group is None else [*self._arms_wrong(), *self._frames_old()]

    # --- one control period ---------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        """The newest frames, joint angles or poses. Raises StaleFrameError; CellError if an arm's state is unknown."""
        self.arm_group.beat()
        self._require_fresh_frames()
        return self._observation()

    def plan(self, actions: FloatArray) -> None:
        """Post a plan [n, da] to all arms, its first pose due one control period from now.

        Raises:
            NonFiniteCommandError: it contains NaN or infinity, or an invalid rotation; the arms have been braked.
            StoppedError: the stop latch is set. CellError: wrong shape, made from images that are too old, or an arm
                cannot follow.
        """
        self.arm_group.beat()
        self._require_armed()
        plans = self._plans(actions)
        self._require_recent_look()
        self.arm_group.get_ready()
        start = time.monotonic()
        self._due = deque(self._follow(plans, actions, start))
        self._stepped_at = self._last_due = start

    def replan(self, actions: FloatArray, *, after: int, seen: float) -> None:
        """Post a plan [n, da] to all arms that follows the next `after` poses of the running one, in its rhythm.

        `seen`: `Observation.time` of the observation that it was made from.

        Raises:
            NonFiniteCommandError, StoppedError, CellError: as `plan`; CellError: an arm has dropped the running plan,
                or it has fewer poses left.
        """
        self.arm_group.beat()
        self._require_going_on()
        require_running(after, len(self._due))
        plans = self._plans(actions)
        self._require_recent_look(seen)
        kept = list(self._due)[:after]
        start = kept[-1][0] if kept else self._rhythm()
        self._due = deque([*kept, *self._follow(plans, actions, start)])

    def advance(self) -> Step | None:
        """Wait until the next pose is due; None when the plan has run out.

        Raises:
            StoppedError, StaleFrameError, CellError: the arms have been braked.
        """
        self.arm_group.beat()
        self._require_going_on()
        if not self._due:
            return None
        due, action = self._due[0]
        self._require_in_time(due)
        self._wait_until(due)
        self._require_fresh_frames()
        self._due.popleft()
        self._last_due = due
        observation = self._observation()
        sent, command_time = self._sent(due, action)
        self._note_period()
        return Step(observation=observation, action=action, sent=sent, command_time=command_time)

    def brake(self) -> None:
        """Drop the plan; the controllers decelerate to a hold on their own."""
        self._drop_plan()
        if self._arm_group is not None:
            self._arm_group.brake()

    # --- homing and scene -----------------------------------------------------------------------------------------

    def begin_homing(self) -> None:
        """Send the arms home. Raises StoppedError, and CellError when an arm cannot go."""
        self.arm_group.beat()
        self._require_armed()
        self._require(interlocks.limits_set(self.settings), "")
        self._drop_plan()
        self.arm_group.begin_homing()

    def advance_homing(self) -> bool:
        """Wait for about one control period; True once all arms are home. Raises StoppedError, CellError."""
        until = time.monotonic() + self.spec.dt
        while True:
            self.arm_group.beat()
            self._require_armed()
            if self.arm_group.at_home():
                return True
            if time.monotonic() >= until:
                return False
            _pause(until)

    def sample_layout(self, seed: int, purpose: str, ordinal: int) -> Layout:
        """Start positions of the objects named in [[placements]]."""
        return placements.sample(self.settings.placements, seed, purpose, ordinal)

    def layout_images(self, layout: Layout) -> dict[str, Image]:
        """The live images with a marker at every start position; empty without placements."""
        if not layout:
            return {}
        frames = {name: camera.newest() for name, camera in self.cameras.items()}
        return placements.draw(layout, {name: frame.image for name, frame in frames.items() if frame})

    def reset_scene(self, layout: Layout) -> None:
        """The operator confirms that the scene is laid out: refuse the episode unless it is safe to start.

        Raises:
            CellError: an arm is not at home, a frame is too old, a device is in fault, or a limit is unset.
        """
        self.arm_group.beat()
        self._require(self._interlocks(), "Not started. ")

    def health(self) -> CellHealth:
        """Live telemetry."""
        reports = self._arm_group.reports if self._arm_group else []
        now = time.monotonic()
        ages = {name: now - taken for name, camera in self.cameras.items() if (taken := camera.taken())}
        return CellHealth(
            achieved_hz=1.0 / self._period if self._period else 0.0,
            frame_age=ages,
            oldest_frame=self.settings.safety.frame_age,
            arms_wrong=self._why_not_ready(),
            motion=self._motion(now),
            interventions=sum(report.interventions for report in reports),
            late=sum(report.late for report in reports),
            stop_latency=stop_latency(reports, self._latch.since) if reports else None,
        )

    # --- plans ----------------------------------------------------------------------------------------------------

    def _plans(self, actions: FloatArray) -> list[TimedPlan]:
        try:
            return plans_of(actions, self.spec)
        except NonFiniteCommandError:
            self.brake()
            raise

    def _follow(
        self, plans: list[TimedPlan], actions: FloatArray, start: float
    ) -> list[tuple[float, FloatArray]]:
        """Post the plans, first poses due one control period after `start`; returns when each action is due."""
        times = start + self.spec.dt * np.arange(1, len(actions) + 1, dtype=np.float64)
        self.arm_group.follow(self._smoothed([replace(plan, time=times) for plan in plans]))
        return list(zip(times.tolist(), np.array(actions, np.float32), strict=True))

    def _drop_plan(self) -> None:
        self._due.clear()
        self._planned, self._last_due = (), None

    def _rhythm(self) -> float:
        """When the last pose was due; the present, with the arms ready, once it is too late to keep its rhythm."""
        if self._last_due is not None and time.monotonic() - self._last_due < _IN_RHYTHM * self.spec.dt:
            return self._last_due
        self.arm_group.get_ready()
        self._stepped_at = time.monotonic()
        return self._stepped_at

    def _smoothed(self, plans: list[TimedPlan]) -> list[TimedPlan]:
        """Apply the task's temporal filter, over the plans since the last brake."""
        count = self.settings.safety.mean_of_poses
        earlier, self._planned = self._planned or [None] * len(plans), plans
        return [mean_of_poses(*pair, count) for pair in zip(plans, earlier, strict=True)]

    def _require_armed(self) -> None:
        if self._latch.latched:
            self.brake()
            raise StoppedError("The stop latch is set; the arms were braked. Re-arm the stop to move again.")

    def _require_going_on(self) -> None:
        self._require_armed()
        self.arm_group.require_going_on(planned=bool(self._due))

    def _require_in_time(self, due: float) -> None:
        """Refuse to continue after a stall: a short plan may end before an arm notices the missing heartbeat."""
        late = time.monotonic() - due
        if late > self.settings.safety.heartbeat:
            self.brake()
            raise CellError(
                f"The planning loop stalled for {late:.1f} s (a busy or suspended computer); the arms were braked. "
                "Check that it is safe, then continue."
            )

    def _require_recent_look(self, seen: float = math.inf) -> None:
        """Refuse a plan from an old observation, as after a suspended engine or computer resumes.

        `seen`: `Observation.time` of that observation; default: the newest.
        """
        looked_at = next((with_sleep for taken, with_sleep in reversed(self._looks) if taken <= seen), seen)
        age = time.monotonic() + slept() - looked_at
        if age > self.settings.safety.stale_plan:
            self.brake()
            raise CellError(
                f"A plan came {age:.1f} s after its camera images (a busy or suspended computer), later than [safety] "
                "stale_plan allows; none of it was sent. Check that it is safe, then continue."
            )

    def _require_fresh_frames(self) -> None:
        for check in self._frames_fresh():
            if not check.ok:
                # observing without a plan, while homing or between episodes, must not stop motion
                if self._due:
                    self.brake()
                raise StaleFrameError(check.told("The arms were braked."))

    def _wait_until(self, due: float) -> None:
        while time.monotonic() < due:
            _pause(due)
            self.arm_group.beat()
            self._require_going_on()

    # --- what was seen and sent -----------------------------------------------------------------------------------

    def _observation(self) -> Observation:
        images, times = {}, {}
        for name, camera in self.cameras.items():
            frame = camera.newest()
            if frame is None:
                raise StaleFrameError(f"Camera {name} has not delivered a frame yet. Check the camera.")
            images[name], times[name] = frame.image, frame.time
        measured = [self._measured(arm) for arm in self.settings.arms]
        now = time.monotonic()
        self._looks.append((now, now + slept()))
        return Observation(
            images=images, proprioception=np.concatenate(measured), time=now, image_times=times
        )

    def _measured(self, arm: ArmSettings) -> FloatArray:
        report = self.arm_group.processes[arm.name].report()
        if report is None or len(report.joints) != arm.joints:
            raise CellError(f"{arm.name}: its position is unknown. Check the arm, then continue.")
        gripper = [report.measured_gripper] if arm.gripper is not None else []
        numbers: Sequence[float] | FloatArray = report.joints.tolist()
        if self.spec.observes_pose:
            written = replace(self.spec.action, gripper=False)
            numbers = pose_to_action(report.measured_position, report.measured_quaternion, 0.0, written)
        return np.array([*numbers, *gripper], np.float32)

    def _sent(self, due: float, action: FloatArray) -> tuple[FloatArray, float]:
        """The action [da] that the controllers actually commanded at `due`, and the time for which that is known."""
        size, parts, times = self.spec.action.arm_size, [], []
        for number, process in enumerate(self.arm_group.processes.values()):
            before, after = self._around(process, due)
            position, quaternion, gripper, instant = commanded(before, after, due)
            if not np.isfinite(position).all():
                # nothing was commanded then: the arm was at rest
                position, quaternion, gripper = before.measured_position, before.measured_quaternion, 1.0
            part = pose_to_action(position, quaternion, gripper, self.spec.action)
            if self.settings.arms[number].gripper is None and self.spec.action.gripper:
                part[-1] = action[size * (number + 1) - 1]
            parts.append(part)
            times.append(instant)
        return np.concatenate(parts), min(times)

    def _around(self, process: ControllerProcess, due: float) -> tuple[Report, Report]:
        """The reports before and after a time that has just passed."""
        until = time.monotonic() + _SOON
        while (found := process.reports_around(due)) is None and time.monotonic() < until:
            time.sleep(0.5 / self.settings.controller_hz)
        if found is not None:
            return found
        newest = process.report()
        if newest is None:
            raise CellError(f"{process.name}: its controller has not reported yet. Continue once it does.")
        return newest, newest

    def _note_period(self) -> None:
        now = time.monotonic()
        if self._stepped_at is not None:
            period = now - self._stepped_at
            self._period += _SMOOTHING * (period - self._period) if self._period else period
        self._stepped_at = now

    # --- checks ---------------------------------------------------------------------------------------------------

    def _armed(self) -> Check:
        latched = self._latch.latched
        return Check(
            name="stop latch", ok=not latched, detail="set" if latched else "armed", remedy="Re-arm the stop."
        )

    def _interlocks(self) -> Iterator[Check]:
        yield self._armed()
        yield from interlocks.limits_set(self.settings)
        yield from interlocks.controllers_well(self.arm_group.processes)
        yield from interlocks.at_home(self.settings, self.arm_group.processes)
        yield from interlocks.home_inside(self.settings, self.arm_group.processes)
        yield from self._frames_fresh()

    def _frames_fresh(self) -> Iterator[Check]:
        # read the clock before the frames: a stall of this loop in between must not make a camera look silent
        now = time.monotonic()
        taken = {name: camera.taken() for name, camera in self.cameras.items()}
        return interlocks.frames_fresh(self.cameras, taken, now, self.settings.safety.frame_age)

    def _motion(self, now: float) -> dict[str, Motion | None]:
        """The motion of every arm in the task file, connected or not."""
        running = self._arm_group.processes if self._arm_group is not None else {}
        recent = {name: process.reports_of(now - _WATCHED) for name, process in running.items()}
        return {arm.name: measured_motion(recent.get(arm.name, []), now) for arm in self.settings.arms}

    def _why_not_ready(self) -> dict[str, str]:
        if self._arm_group is None:
            return {arm.name: "not connected" for arm in self.settings.arms}
        named = {check.name.removeprefix("arm "): check.detail for check in self._arms_wrong()}
        return {arm: unnamed(arm, why) for arm, why in named.items()}

    def _arms_wrong(self) -> list[Check]:
        processes = self._arm_group.processes if self._arm_group is not None else {}
        return [check for check in interlocks.controllers_well(processes) if not check.ok]

    def _frames_old(self) -> list[Check]:
        return [check for check in self._frames_fresh() if not check.ok]

    def _require(self, checks: Iterator[Check], refusal: str) -> None:
        for check in checks:
            if not check.ok:
                raise CellError(f"{refusal}{check.told()}")

    def _launch_cameras(self) -> None:
        self.cameras = {settings.name: CameraProcess(settings) for settings in self.settings.cameras}
        for camera in self.cameras.values():
            camera.launch()


def _pause(until: float) -> None:
    time.sleep(min(_SLICE, max(0.0, until - time.monotonic())))
