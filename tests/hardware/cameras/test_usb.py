"""OpenCV's capture class: how it is asked, what it really delivers, and what is said when it does not.

V4L2: OpenCV's own backend in a camera process that preloads an emulated device. Network cameras: a real stream on the
loopback network. What only hardware shows: MJPG over a shared USB bus, and how well a device keeps its rate.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.cameras import usb
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.process import CameraProcess, CameraStatus
from hardware.cameras.usb import UsbCameraSettings
from hardware.cameras.worker import CameraState
from tests.emulators.network_camera import IMAGES, SILENT, streaming
from tests.emulators.v4l2_camera import compiled, plugged_in

pytestmark = pytest.mark.realtime

Plug = Callable[..., CameraProcess]


@pytest.fixture
def address() -> Iterator[str]:
    with streaming() as address:
        yield address


def camera(device: str, **settings: Any) -> Camera:
    usual = {"name": "third", "capture_width": 64, "capture_height": 48, "timeout": 0.3}
    return UsbCameraSettings.model_validate({**usual, "device": device, **settings}).build()


def test_a_network_camera_says_what_it_delivers_and_delivers_it_in_rgb(address: str) -> None:
    reading = camera(address, timeout=5.0)
    assert "64x48 MJPG" in reading.open()
    frames = [reading.read(5.0) for _ in range(10)]
    reading.close()
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert np.diff([frame.time for frame in frames]).min() > 0
    red, green, blue = frames[0].image.reshape(-1, 3).mean(0)
    assert red > 190 and max(green, blue) < 10


def test_a_stream_that_falls_silent_is_an_error_within_the_time_out(address: str) -> None:
    reading = camera(address, timeout=1.0)
    reading.open()
    for _ in range(IMAGES):
        reading.read(1.0)
    begun = time.monotonic()
    with pytest.raises(CameraError, match=r"no frame for 1 s\. Check address"):
        reading.read(1.0)
    assert time.monotonic() - begun < SILENT, "the stream itself ends only then"
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


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("v4l2"))


@pytest.fixture
def video0(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A camera's node; it is unplugged by removing it."""
    node = tmp_path / "video0"
    for name, value in plugged_in(library, node).items():
        monkeypatch.setenv(name, value)
    return node


@pytest.fixture
def plug(video0: Path) -> Iterator[Plug]:
    processes: list[CameraProcess] = []

    def make(**settings: Any) -> CameraProcess:
        usual = {"name": "third", "device": str(video0), "pixel_format": "YUYV", "height": 48, "width": 64}
        processes.append(CameraProcess(UsbCameraSettings.model_validate({**usual, **settings})))
        return processes[-1]

    yield make
    for process in processes:
        process.close()


def once(process: CameraProcess, seen: Callable[[CameraStatus], bool]) -> CameraStatus:
    deadline = time.monotonic() + 20
    while not seen(status := process.status()):
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
    return status


def test_a_device_says_what_was_really_set_and_stamps_by_the_kernel(plug: Plug) -> None:
    process = plug(exposure=8.0, capture_fps=60)
    assert "640x480 YUYV at 60 Hz, exposure fixed at 8 ms" in process.start()
    once(process, lambda status: status.frames > 20)
    frames: list[Frame] = []
    while len(frames) < 5:
        frame = process.newest()
        if frame is not None and (not frames or frame.number > frames[-1].number):
            frames.append(frame)
    assert all(0 < time.monotonic() - frame.time < 5.0 for frame in frames)
    ticks = np.diff([f.time for f in frames]) / np.diff([f.number for f in frames])
    assert np.allclose(ticks, 1 / 60, atol=1e-4), "arrivals would jitter"
    assert process.status().dropped < process.status().frames


def test_a_device_without_the_wanted_format_says_which_it_uses(plug: Plug) -> None:
    assert "640x480 YUYV" in plug(pixel_format="MJPG").start()


def test_what_was_set_in_a_device_is_read_back_and_what_it_did_not_take_is_said(plug: Plug) -> None:
    process = plug(exposure=8.0, white_balance=4600.0, gain=18.0, focus=30.0, warm_up=3)
    process.start()
    device = process.device()
    assert device.settings == {
        "exposure, ms": 8.0,
        "white_balance, K": 4600.0,
        "gain": 16.0,
        "focus": 30.0,
    }
    [said] = device.remarks
    assert "gain is 16, not 18 as in the task file" in said


def test_what_the_task_leaves_to_a_device_is_recorded_as_it_is(plug: Plug) -> None:
    process = plug()
    process.start()
    assert process.device().settings == {
        "exposure, ms": "automatic",
        "white_balance, K": "automatic",
        "gain": 16.0,
        "focus": "automatic",
    }
    assert process.device().remarks == ()


def test_images_from_before_the_camera_has_settled_are_not_shown(plug: Plug) -> None:
    process = plug(warm_up=20)
    process.start()
    frame = process.newest()
    assert frame is not None and frame.number > 20


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cameras as udev and the kernel show them; the second has no serial number."""
    links, kernel, bus = tmp_path / "by-id", tmp_path / "video4linux", tmp_path / "bus"
    for number, (serial, port) in enumerate((("4F2A", "1-2"), ("", "1-3.1"))):
        node = tmp_path / f"video{number}"
        node.touch()
        stick = bus / port
        (stick / f"{port}:1.0").mkdir(parents=True)
        (stick / "idVendor").write_text("046d\n")
        (stick / "bcdDevice").write_text("0012\n")
        if serial:
            (stick / "serial").write_text(f"{serial}\n")
        entry = kernel / node.name
        entry.mkdir(parents=True)
        (entry / "name").write_text("HD Pro Webcam C920\n")
        (entry / "device").symlink_to(stick / f"{port}:1.0")
        links.mkdir(exist_ok=True)
        (links / f"usb-046d_C920_{serial or number}-video-index0").symlink_to(node)
    monkeypatch.setattr(usb, "_LASTING_NAMES", (links,))
    monkeypatch.setattr(usb, "_KERNEL", kernel)
    monkeypatch.setattr(usb, "_PASSING_NAME", re.compile(r".*/video\d+"))
    return tmp_path


def test_a_usb_camera_is_known_by_its_serial_number_or_its_port(tree: Path) -> None:
    first, second = (
        usb.who_is(tree / "by-id" / "usb-046d_C920_4F2A-video-index0"),
        usb.who_is(tree / "video1"),
    )
    assert (first.model, first.serial, first.firmware) == ("HD Pro Webcam C920", "4F2A", "0012")
    assert (second.serial, second.port) == ("", "USB 1-3.1")
    assert second.is_another(usb.who_is(tree / "video0"))


def test_a_name_that_may_be_another_cameras_after_a_start_draws_the_lasting_one(tree: Path) -> None:
    passing = UsbCameraSettings(name="wrist", device=str(tree / "video0"))
    assert "may be another camera after the next start" in passing.advice
    assert f"Set device = '{tree}/by-id/usb-046d_C920_4F2A-video-index0'." in passing.advice
    lasting = tree / "by-id" / "usb-046d_C920_4F2A-video-index0"
    assert UsbCameraSettings(name="wrist", device=str(lasting)).advice == ""


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"white_balance": 9000.0}, r"white_balance = 9000 is refused\. `v4l2-ctl -d .*video0 -L`"),
        (
            {"capture_width": 800, "capture_height": 600},
            r"it delivers 640x480, not 800x600\. Set capture_width",
        ),
        ({"exposure": 500.0}, r"an exposure of 500 ms is refused\. `v4l2-ctl -d .*video0 -L`"),
    ],
)
def test_what_a_device_cannot_do_is_refused(plug: Plug, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CameraError, match=sentence):
        plug(**settings).start()


def test_an_unplugged_device_is_named_and_comes_back_when_it_is_plugged_in(plug: Plug, video0: Path) -> None:
    process = plug(timeout=0.3)
    process.start()
    video0.unlink()
    status = once(process, lambda status: "there is no" in status.error)
    assert f"there is no {video0}. Cameras here: " in status.error
    assert not status.needs_restart
    video0.touch()
    status = once(process, lambda status: status.state is CameraState.STREAMING)
    assert status.error == ""
