"""The loop that scripts for robots commonly have, to compare with: cameras, policy, gripper and arm in one thread.

Every call waits for the one before it, and sleeps are relative. See `control_loop`, which runs it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hardware.arms.interface import ArmState
from hardware.plan import Command
from hardware.robot.settings import RobotCellSettings

SWING = 0.04  # m
PERIOD = 3.0  # s
CHUNK = 8
STOP_EVERY = 8.0  # s, on average


@dataclass
class Figures:
    """What was measured."""

    intervals: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    reactions: list[float] = field(default_factory=list)
    """From the key to the first command that brakes, or that is not sent any more."""
    stops: list[float] = field(default_factory=list)
    """From the key to the last motion command; a loop that breaks off sends its last one before it looks."""
    late: int = 0
    waypoints: int = 0
    overruns: int = 0

    def row(self) -> dict[str, float]:
        ms = 1000.0 * np.array(self.intervals or [np.nan])
        return {
            "rate_hz": round(1000.0 / float(ms.mean()), 1),
            "interval_ms_p50": round(float(np.percentile(ms, 50)), 2),
            "interval_ms_p99": round(float(np.percentile(ms, 99)), 2),
            "interval_ms_max": round(float(ms.max()), 2),
            "commands": len(self.intervals),
            "waypoints": self.waypoints,
            "late_waypoints": self.late,
            **_percentiles("command_latency_ms", self.delays),
            **_percentiles("stop_reaction_ms", self.reactions),
            **_percentiles("stop_latency_ms", self.stops),
            "stops": len(self.stops),
        }


def _percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    ms = 1000.0 * np.array(values or [np.nan])
    return {
        f"{name}_p50": round(float(np.percentile(ms, 50)), 1),
        f"{name}_p99": round(float(np.percentile(ms, 99)), 1),
    }


class PlainLoop:
    """One arm, its gripper, all cameras."""

    def __init__(self, settings: RobotCellSettings, hz: int, think: float) -> None:
        arm = settings.arms[0]
        self._arm = arm.build()
        self._gripper = arm.gripper.build(arm) if arm.gripper else None
        self._cameras = [camera.build() for camera in settings.cameras]
        self._ticks = round(hz / settings.control_hz)
        self._control_hz, self._hz, self._think = settings.control_hz, hz, think
        self._figures = Figures()
        self._phase = self._last = 0.0
        self._pressed: float | None = None

    def run(self, seconds: float) -> Figures:
        """Swing for so long."""
        self._arm.connect()
        if self._gripper:
            self._gripper.connect()
        for camera in self._cameras:
            camera.open()
        done = threading.Event()
        threading.Thread(target=self._press, args=(done,), daemon=True).start()
        try:
            self._arm.begin_servo()
            start, begun = self._arm.state(), time.monotonic()
            while time.monotonic() - begun < seconds:
                self._chunk(start)
        finally:
            done.set()
            self._close()
        return self._figures

    def _chunk(self, start: ArmState) -> None:
        for camera in self._cameras:
            camera.read(1.0)
        time.sleep(self._think)
        given = time.monotonic()
        for waypoint in range(CHUNK):
            for _ in range(self._ticks):
                self._tick(start)
            self._figures.waypoints += 1
            due = given + (waypoint + 1) / self._control_hz
            self._figures.late += self._last > due + 1.0 / self._hz
            if waypoint == 0:
                self._figures.delays.append(self._last - given - 1.0 / self._control_hz)
            if self._gripper:
                self._gripper.move(0.5 * self._gripper.max_width * (1.0 + float(np.cos(self._phase / 4.0))))
                self._gripper.state()

    def _tick(self, start: ArmState) -> None:
        self._phase += 2.0 * np.pi / (PERIOD * self._hz)
        now = time.monotonic()
        if self._pressed is not None:
            self._figures.reactions.append(now - self._pressed)
            self._figures.stops.append(max(0.0, self._last - self._pressed))
            self._pressed = None
            self._last = 0.0
        if self._last:
            self._figures.intervals.append(now - self._last)
        self._arm.servo(self._command(start, now))
        self._last = now
        time.sleep(1.0 / self._hz)

    def _command(self, start: ArmState, now: float) -> Command:
        omega = 2.0 * np.pi / PERIOD
        return Command(
            time=now,
            position=start.position + np.array([0.0, 0.0, SWING * np.sin(self._phase)]),
            quaternion=start.quaternion,
            velocity=np.array([0.0, 0.0, SWING * omega * np.cos(self._phase)]),
            angular_velocity=np.zeros(3),
            gripper=1.0,
        )

    def _press(self, done: threading.Event) -> None:
        """A flag that the loop looks at before each command, at random instants."""
        rng = np.random.default_rng(0)
        while not done.wait(float(rng.uniform(0.5, 1.5)) * STOP_EVERY):
            self._pressed = time.monotonic()

    def _close(self) -> None:
        self._arm.stop()
        self._arm.close()
        if self._gripper:
            self._gripper.close()
        for camera in self._cameras:
            camera.close()
