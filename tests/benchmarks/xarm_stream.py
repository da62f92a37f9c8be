"""How steadily poses reach an emulated xArm through the vendor's SDK, alone and while its gripper is polled.

    python -m tests.benchmarks.xarm_stream [--seconds 10]

Prints, for each rate, how long one pose takes on this side and the intervals at which poses arrive on the arm's side:
alone, with the gripper polled over a connection of its own, and with the gripper on the arm's connection, as scripts
have it that hold one SDK object.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from hardware.arms.xarm import XArm
from hardware.grippers.robotiq_rs485 import RobotiqRS485Settings
from tests.emulators.xarm import XArmEmulator
from tests.hardware.arms.xarm_bench import command, settings


@contextmanager
def _asking(ask: Callable[[], object]) -> Iterator[list[int]]:
    """Poll as fast as it goes until the block ends; the number of answers."""
    leaving, asked = threading.Event(), [0]

    def poll() -> None:
        while not leaving.is_set():
            ask()
            asked[0] += 1

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield asked
    finally:
        leaving.set()
        thread.join()


def _stream(arm: XArm, seconds: float, hz: float) -> list[float]:
    """Durations, s, of the calls that sent one pose each."""
    arm.begin_servo()
    start, begin, took = arm.state(), time.monotonic(), []
    for tick in range(round(seconds * hz)):
        sway = np.array([0.02 * np.sin(2.0 * tick / hz), 0.0, 0.0])
        since = time.monotonic()
        arm.servo(command(start.position + sway, start.quaternion))
        took.append(time.monotonic() - since)
        time.sleep(max(0.0, begin + (tick + 1) / hz - time.monotonic()))
    return took


def _figures(name: str, took: list[float], emulator: XArmEmulator, asked: int) -> str:
    intervals = np.diff(emulator.order("servo_times")).tolist()

    def three(values: Sequence[float]) -> str:
        return " ".join(
            f"{1000 * figure:6.2f}" for figure in (*np.percentile(values, [50, 99]), np.max(values))
        )

    return (
        f"{name:34s} {1 / np.mean(intervals):6.1f} Hz   call {three(took)}   interval {three(intervals)} ms   "
        f"gripper {asked / sum(intervals):5.1f}/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    with XArmEmulator() as emulator:
        table = settings(emulator)
        arm, gripper = table.build(), RobotiqRS485Settings().build(table)
        gripper.connect()
        arm.connect()
        shared = arm._link.api
        frame = [9, 3, 0x07, 0xD0, 0, 3]
        cases: dict[str, Callable[[], object]] = {
            "alone": lambda: time.sleep(0.05),
            "gripper on a connection of its own": gripper.state,
            "gripper on the arm's connection": lambda: shared.set_rs485_data(frame, ignore_log=True),
        }
        print("p50, p99, max")
        for hz in (100.0, 200.0, 250.0):
            for name, ask in cases.items():
                emulator.order("forget")
                with _asking(ask) as asked:
                    took = _stream(arm, seconds, hz)
                print(f"{hz:.0f} Hz  {_figures(name, took, emulator, asked[0])}", flush=True)
        arm.close()
        gripper.close()


if __name__ == "__main__":
    main()
