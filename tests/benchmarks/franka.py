"""What commanding a Franka costs, how it follows, and what still moves after a stop, a kill and a hang.

    python -m tests.benchmarks.franka

Against simulated control boxes (franky-sim, which has friction but no limits): the figures of the computer are those
of this machine, those of the arm tell what the driver does and not how a real arm brakes. Run it as root or as a user
who may ask for real-time priority, or the simulation falls behind on a busy machine.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hardware.arms.franka import FrankaArm, FrankaSettings
from hardware.plan import Command, JointCommand, Vector
from tests.emulators.franka import READY, FrankaEmulator

RADIUS = 0.06
ROUNDS = 0.5  # Hz
HZ = 100
STILL = 0.02  # rad/s


def driver(address: str, name: str = "left", **settings: float) -> FrankaArm:
    return FrankaArm(
        FrankaSettings.model_validate(
            {
                "name": name,
                "address": address,
                "realtime": "ignore",
                "home": READY,
                "home_dynamics": 0.3,
                **settings,
            }
        )
    )


class Circle:
    """A circle in the vertical plane at 0.19 m/s, entered at its speed: the first half second is not measured."""

    def __init__(self, arm: FrankaArm) -> None:
        self._arm = arm
        start = arm.state()
        self._centre, self._quaternion = start.position - np.array([0.0, 0.0, RADIUS]), start.quaternion
        self._began = time.monotonic()
        self.costs: list[float] = []
        self.errors: list[Vector] = []
        self.directions: list[Vector] = []

    def step(self) -> None:
        now = time.monotonic()
        angle = 2.0 * math.pi * ROUNDS * (now - self._began)
        out = np.array([math.sin(angle), 0.0, math.cos(angle)])
        along = np.array([math.cos(angle), 0.0, -math.sin(angle)])
        goal = self._centre + RADIUS * out
        if now - self._began > 0.5:
            self.errors.append(self._arm.state().position - goal)
            self.directions.append(along)
        command = Command(
            time=now,
            position=goal,
            quaternion=self._quaternion,
            velocity=2.0 * math.pi * ROUNDS * RADIUS * along,
            angular_velocity=np.zeros(3),
            gripper=1.0,
        )
        began = time.perf_counter()
        self._arm.servo(command)
        self.costs.append(time.perf_counter() - began)


def drive(circles: list[Circle], seconds: float) -> None:
    until = due = time.monotonic()
    until += seconds
    while due < until:
        for circle in circles:
            circle.step()
        due += 1.0 / HZ
        time.sleep(max(0.0, due - time.monotonic()))


def homed(arm: FrankaArm) -> FrankaArm:
    arm.connect()
    arm.begin_servo_joints()
    start, begun = arm.state().joints, time.monotonic()
    while (share := (time.monotonic() - begun) / 3.0) < 1.3:
        joints = start + min(share, 1.0) * (np.array(READY) - start)
        arm.servo_joints(JointCommand(time=time.monotonic(), joints=joints, rates=np.zeros(7)))
        time.sleep(0.01)
    arm.begin_servo()
    return arm


def follow(emulator: FrankaEmulator) -> None:
    arm = homed(driver(emulator.addresses[0]))
    circle = Circle(arm)
    drive([circle], 10.0)
    arm.close()
    errors, along = np.array(circle.errors) * 1e3, np.array(circle.directions)
    lag = np.sum(errors * along, axis=1)
    aside = np.linalg.norm(errors - lag[:, None] * along, axis=1)
    print(f"servo call: p50 {us(circle.costs, 50)}, p99 {us(circle.costs, 99)}, max {us(circle.costs, 100)}")
    print(
        f"following at 0.19 m/s: {lag.mean():.1f} mm along the motion, {np.median(aside):.1f} mm aside (p50)"
    )


def two_arms(emulator: FrankaEmulator) -> None:
    arms = [homed(driver(address, name)) for address, name in zip(emulator.addresses, "ab", strict=True)]
    circles = [Circle(arm) for arm in arms]
    before, began = time.process_time(), time.monotonic()
    drive(circles, 10.0)
    share = (time.process_time() - before) / (time.monotonic() - began)
    print(f"two arms at {HZ} Hz in one process: {100.0 * share:.0f} % of a core, the 1 kHz threads included")
    for arm in arms:
        arm.close()


def after(emulator: FrankaEmulator, what: str, halt: Callable[[FrankaArm], None]) -> None:
    """How far and how long the arm goes on once something has happened to its commands."""
    times, ways = [], []
    for _ in range(10):
        arm = homed(driver(emulator.addresses[0]))
        drive([Circle(arm)], 1.3)
        halt(arm)
        seconds, way = run_out(emulator)
        times.append(seconds)
        ways.append(way)
        arm.close()
    print(
        f"{what}: at rest after {1e3 * np.median(times):.0f} ms (max {1e3 * max(times):.0f}), "
        f"{1e3 * np.median(ways):.0f} mm on (max {1e3 * max(ways):.0f})"
    )


def run_out(emulator: FrankaEmulator, patience: float = 5.0) -> tuple[float, float]:
    """s of the robot's time and m until the arm rests; inf when it does not."""
    begin = end = emulator.truth()
    until = time.monotonic() + patience
    while max(abs(speed) for speed in end["speeds"]) > STILL:
        if time.monotonic() > until:
            return math.inf, math.dist(begin["position"], end["position"])
        time.sleep(0.002)
        end = emulator.truth()
    return end["time"] - begin["time"], math.dist(begin["position"], end["position"])


def of_the_process(emulator: FrankaEmulator, number: signal.Signals) -> None:
    """What a signal to the process that commands the arm does to the arm."""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.franka", emulator.addresses[0]],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(number)
    seconds, way = run_out(emulator)
    child.kill()
    child.wait()
    rest = f"at rest after {1e3 * seconds:.0f} ms" if math.isfinite(seconds) else "still moving after 5 s"
    print(
        f"its process gets {number.name}: {rest}, {1e3 * way:.0f} mm on (the simulation holds its last torques)"
    )


def us(seconds: list[float], percentile: float) -> str:
    return f"{1e6 * np.percentile(seconds, percentile):.0f} us"


def main() -> None:
    if len(sys.argv) > 1:
        circle = Circle(homed(driver(sys.argv[1])))
        drive([circle], 1.3)
        print("moving", flush=True)
        drive([circle], 60.0)
        return
    with FrankaEmulator(1) as emulator:
        follow(emulator)
        after(emulator, "stop()", lambda arm: arm.stop())
        after(emulator, "the caller hangs, stale_stop 0.2 s", lambda arm: None)
        for number in (signal.SIGKILL, signal.SIGSTOP):
            of_the_process(emulator, number)
    with FrankaEmulator(2) as emulator:
        two_arms(emulator)


if __name__ == "__main__":
    main()
