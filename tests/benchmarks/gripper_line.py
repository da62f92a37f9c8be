"""What one question to a Robotiq on a serial port takes, against the emulated one (line at 115200 baud modelled).

``python tests/benchmarks/gripper_line.py [--questions 500]``. The real gripper adds its own time to answer.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from hardware.grippers.robotiq_modbus import RobotiqModbus, RobotiqModbusSettings
from tests.emulators.robotiq import EmulatedRobotiq


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=500)
    questions = parser.parse_args().questions
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with EmulatedRobotiq() as emulated:
        gripper = RobotiqModbus(RobotiqModbusSettings(port=emulated.port))
        gripper.connect()
        asked, moved = [], []
        for number in range(questions):
            begun = time.perf_counter()
            gripper.state()
            asked.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            gripper.move(0.08 * (number % 2))
            moved.append(time.perf_counter() - begun)
        gripper.close()
    for what, values in (("state", asked), ("move", moved)):
        p50, p99 = 1e3 * np.percentile(values, [50, 99])
        print(f"{what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms (n={questions})")


if __name__ == "__main__":
    main()
