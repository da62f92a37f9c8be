"""Recordings of a RealSense that never was: librealsense's own software device, through its own recorder.

What plays them is the real pipeline; what a USB bus does to a real camera (unplugging, bandwidth, its clock) is not
in them. The recorder keeps the times at which frames were handed to it, so a recording takes as long as it lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyrealsense2 as rs
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def record(
    path: Path,
    image: Callable[[int], Pixels],
    numbers: Sequence[int],
    *,
    serial: str = "012345678901",
    fps: int = 30,
    first_stamp: float = 1000.0,
) -> None:
    """Write a .db3 in which frame `number` shows ``image(number)``, uint8 RGB [height, width, 3].

    A number that is left out is a frame that was lost; stamps are of the camera's own clock, s.
    """
    height, width, _ = image(numbers[0]).shape
    device = rs.software_device()
    device.register_info(rs.camera_info.serial_number, serial)
    device.register_info(rs.camera_info.name, "Emulated RealSense")
    device.register_info(rs.camera_info.firmware_version, "5.15.1.55")
    sensor = device.add_sensor("RGB Camera")
    profile = sensor.add_video_stream(_stream(width, height, fps))
    recorder = rs.recorder(str(path), device)
    recorded = recorder.query_sensors()[0]
    recorded.open(recorded.get_stream_profiles()[0])
    recorded.start(rs.frame_queue(len(numbers)))
    begun = time.monotonic()
    for number in numbers:
        due = (number - numbers[0]) / fps
        time.sleep(max(0.0, begun + due - time.monotonic()))
        sensor.on_video_frame(_frame(profile, image(number), number, first_stamp + due))
    recorded.stop()
    recorded.close()


def _stream(width: int, height: int, fps: int) -> Any:
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.bpp = rs.stream.color, rs.format.rgb8, 3
    stream.index, stream.uid = 0, 0
    stream.width, stream.height, stream.fps = width, height, fps
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = width, height
    intrinsics.fx = intrinsics.fy = float(width)
    intrinsics.ppx, intrinsics.ppy = width / 2, height / 2
    stream.intrinsics = intrinsics
    return stream


def _frame(profile: Any, pixels: Pixels, number: int, stamp: float) -> Any:
    frame = rs.software_video_frame()
    frame.pixels = np.ascontiguousarray(pixels)
    frame.bpp, frame.stride = 3, 3 * pixels.shape[1]
    frame.timestamp, frame.domain = 1000 * stamp, rs.timestamp_domain.hardware_clock
    frame.frame_number = number
    frame.profile = profile.as_video_stream_profile()
    return frame
