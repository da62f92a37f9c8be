"""OpenCV's capture class: how it is asked, what it really delivers, and what is said when it does not.

There is no V4L2 device here. Reading, read-back and time-outs run against a real stream on the loopback network;
that a device obeys its settings, and what unplugging looks like, only hardware shows.
"""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from hardware.cameras.interface import Camera, CameraError
from hardware.cameras.usb import UsbCameraSettings

PICTURES = 20


class Streamer(http.server.BaseHTTPRequestHandler):
    """A network camera: JPEGs one after the other, then silence."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for _ in range(PICTURES):
            data = cv2.imencode(".jpg", np.full((48, 64, 3), (0, 0, 200), np.uint8))[1].tobytes()
            self.wfile.write(
                b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                + data
                + b"\r\n"
            )
            time.sleep(0.01)
        self.server.silent.wait(10.0)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Streamer)
    server.silent = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield f"http://127.0.0.1:{server.server_port}/scene.mjpg"
    server.silent.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def camera(device: str, **settings: Any) -> Camera:
    usual = {"name": "third", "capture_width": 64, "capture_height": 48, "timeout": 0.3}
    return UsbCameraSettings.model_validate({**usual, "device": device, **settings}).build()


def test_a_network_camera_says_what_it_delivers_and_delivers_it_in_rgb(address: str) -> None:
    reading = camera(address)
    assert "64x48 MJPG" in reading.open()
    frames = [reading.read(0.3) for _ in range(10)]
    reading.close()
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert np.diff([frame.time for frame in frames]).min() > 0
    red, green, blue = frames[0].image.reshape(-1, 3).mean(0)
    assert red > 190 and max(green, blue) < 10


def test_a_stream_that_falls_silent_is_an_error_within_the_time_out(address: str) -> None:
    reading = camera(address)
    reading.open()
    for _ in range(PICTURES):
        reading.read(0.3)
    begun = time.monotonic()
    with pytest.raises(CameraError, match=r"no picture for 0\.3 s\. Check address"):
        reading.read(0.3)
    assert time.monotonic() - begun < 1.0
    reading.close()
    reading.close()


def test_another_size_than_the_tasks_is_refused_since_crops_would_cut_elsewhere(address: str) -> None:
    reading = camera(address, capture_width=640, capture_height=480)
    with pytest.raises(CameraError, match=r"it delivers 64x48, not 640x480\. Set capture_width"):
        reading.open()
    reading.close()


def test_an_exposure_that_cannot_be_set_is_refused_instead_of_ignored(address: str) -> None:
    with pytest.raises(CameraError, match="set a network camera's exposure at the camera"):
        camera(address, exposure=8.0).open()


def test_an_address_where_nothing_streams_is_refused() -> None:
    with pytest.raises(CameraError, match="nothing streams at"):
        camera("http://127.0.0.1:9/scene").open()


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("/dev/v4l/by-id/usb-nowhere", "there is no /dev/v4l/by-id/usb-nowhere. Cameras here: "),
        ("/dev/null", "/dev/null does not open as a camera. Close other programs"),
    ],
)
def test_a_device_that_is_no_camera_is_named_with_those_that_are_there(device: str, sentence: str) -> None:
    with pytest.raises(CameraError) as error:
        camera(device).open()
    assert sentence in str(error.value)
