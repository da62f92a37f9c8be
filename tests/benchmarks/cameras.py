"""What a camera costs: latency from capture to reader, reading, CPU of its process, restarting after a kill.

``python tests/benchmarks/cameras.py [--seconds 20] [--cameras 2]``: a 640x480 MJPG video at 30 Hz, as a USB camera
delivers it, brought to 110x280. A device's own exposure, read-out and transfer come on top of the latency.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from datasets.randomness import stream
from hardware.cameras.file import FileCameraSettings
from hardware.cameras.process import CameraProcess
from tests.hardware.cameras.fakes import pid_of

WARM_UP = 2.0  # s
RESTARTS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--cameras", type=int, default=2)
    arguments = parser.parse_args()
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as folder:
        measure(video(Path(folder)), arguments.cameras, arguments.seconds)


def video(folder: Path) -> Path:
    """Ten seconds of blurred noise that drifts: about as much for a decoder as a workplace."""
    path = folder / "scene.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (640, 480))
    noise = stream(1, "camera benchmark", 0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    scene = cv2.GaussianBlur(noise, (0, 0), 2)
    for shift in range(300):
        writer.write(np.roll(scene, shift, axis=1))
    writer.release()
    return path


def measure(path: Path, count: int, seconds: float) -> None:
    """All figures, of `count` cameras that play `path`."""
    names = [f"camera_{number}" for number in range(count)]
    cameras = [
        CameraProcess(FileCameraSettings(name=name, path=str(path), height=110, width=280)) for name in names
    ]
    begun = time.monotonic()
    for camera in cameras:
        camera.launch()
    for camera in cameras:
        camera.wait_ready()
    print(f"{len(cameras)} cameras started together in {time.monotonic() - begun:.2f} s")
    time.sleep(WARM_UP)
    report_latency(cameras[0], seconds)
    report_cost(cameras[0])
    report_processes(cameras, seconds)
    report_restart(cameras[0])
    for camera in cameras:
        camera.close()


def report_latency(camera: CameraProcess, seconds: float) -> None:
    """From the frame's stamp to the first reading that returned it, read as fast as a reader can."""
    latencies, last, until = [], -1, time.monotonic() + seconds
    while time.monotonic() < until:
        frame = camera.newest()
        if frame is not None and frame.number != last:
            last = frame.number
            latencies.append(time.monotonic() - frame.time)
        time.sleep(0.0005)
    show("capture to reader", np.array(latencies) * 1e3, "ms")


def report_cost(camera: CameraProcess) -> None:
    """What a reading costs the loop that reads."""
    times = []
    for _ in range(2000):
        begun = time.perf_counter()
        camera.newest()
        times.append(time.perf_counter() - begun)
    show("one reading", np.array(times) * 1e6, "us")


def report_processes(cameras: list[CameraProcess], seconds: float) -> None:
    """CPU and memory while nobody reads."""
    processes = [psutil.Process(pid) for camera in cameras if (pid := pid_of(camera)) is not None]
    before = [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(seconds)
    for camera, process, used in zip(cameras, processes, before, strict=True):
        share = 100 * (sum(process.cpu_times()[:2]) - used) / seconds
        status = camera.status()
        print(
            f"{camera.name}: {share:.1f} % of a core, {process.memory_full_info().uss / 2**20:.0f} MiB of its own, "
            f"{status.rate:.1f} Hz, {status.dropped} lost"
        )


def report_restart(camera: CameraProcess) -> None:
    """From the kill to the first image of the new process."""
    times = []
    for _ in range(RESTARTS):
        pid = pid_of(camera)
        assert pid is not None
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        camera.restart()
        times.append(time.monotonic() - begun)
    show("killed to first new image", np.array(times) * 1e3, "ms")


def show(what: str, values: NDArray[np.float64], unit: str) -> None:
    p50, p99 = np.percentile(values, [50, 99])
    print(
        f"{what}: p50 {p50:.2f} {unit}, p99 {p99:.2f} {unit}, max {values.max():.2f} {unit} (n={len(values)})"
    )


if __name__ == "__main__":
    main()
