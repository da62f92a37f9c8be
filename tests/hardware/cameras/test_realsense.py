"""RealSense: recordings of librealsense's software device, played through its real pipeline.

What only hardware shows: unplugging, the bandwidth of several cameras on one bus, exposure, and the camera's clock.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware.cameras.interface import Camera, CameraError
from hardware.cameras.process import CameraProcess
from hardware.cameras.realsense import RealSenseCamera, RealSenseSettings, introduce
from hardware.cameras.worker import CameraState
from hardware.device import Device

pytest.importorskip(
    "pyrealsense2",
    reason="needs: pip install 'station[realsense]' and apt-get install libusb-1.0-0",
    exc_type=ImportError,
)

import pyrealsense2 as rs

from tests.emulators.recorded_camera import record  # only where pyrealsense2 loads

pytestmark = pytest.mark.realtime

SERIAL = "012345678901"
FPS = 60


def shaded(number: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), number * 3 % 256, np.uint8)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 numbers at 60 Hz, of which 20 to 24 were lost."""
    path = tmp_path_factory.mktemp("realsense") / "scene.db3"
    record(path, shaded, [number for number in range(1, 61) if not 20 <= number < 25], serial=SERIAL, fps=FPS)
    return path


@pytest.fixture
def opened() -> Iterator[Callable[..., Camera]]:
    cameras: list[Camera] = []

    def make(recording: Path | None, **settings: Any) -> Camera:
        cameras.append(RealSenseSettings.model_validate(settings_of(recording, **settings)).build())
        cameras[-1].open()
        return cameras[-1]

    yield make
    for camera in cameras:
        camera.close()


def settings_of(recording: Path | None, **settings: Any) -> dict[str, Any]:
    usual = {"name": "third", "capture_width": 64, "capture_height": 48, "capture_fps": FPS}
    return {**usual, "recording": str(recording or ""), **settings}


def test_images_come_with_their_numbers_in_rgb(opened: Callable[..., Camera], recording: Path) -> None:
    camera = opened(recording)
    frames = [camera.read(1.0) for _ in range(10)]
    assert all((frame.image == shaded(frame.number)).all() for frame in frames)
    assert (np.diff([frame.number for frame in frames]) > 0).all()


def test_stamps_are_the_cameras_own_on_the_monotonic_clock(
    opened: Callable[..., Camera], recording: Path
) -> None:
    camera = opened(recording)
    frames = []
    for _ in range(15):
        frames.append(camera.read(1.0))
        assert 0 <= time.monotonic() - frames[-1].time < 5.0
    ticks = np.diff([f.time for f in frames]) / np.diff([f.number for f in frames])
    assert abs(np.median(ticks) - 1 / FPS) < 0.002


def test_the_identity_names_model_serial_firmware_and_mode(recording: Path) -> None:
    camera = RealSenseSettings.model_validate(settings_of(recording, serial=SERIAL)).build()
    try:
        said = camera.open()
    finally:
        camera.close()
    assert f"Emulated RealSense, serial {SERIAL}, firmware 5.15.1.55" in said
    assert f"64x48 at {FPS} Hz" in said


def test_a_wrong_serial_is_refused_with_those_that_are_there(
    opened: Callable[..., Camera], recording: Path
) -> None:
    with pytest.raises(
        CameraError, match=f"no RealSense with serial 999. Plugged in: {SERIAL}. Correct serial"
    ):
        opened(recording, serial="999")


def test_a_mode_that_it_has_not_is_refused_with_those_it_has(
    opened: Callable[..., Camera], recording: Path
) -> None:
    with pytest.raises(CameraError, match=f"does not deliver 640x480 at 30 Hz.*one of: 64x48 at {FPS} Hz"):
        opened(recording, capture_width=640, capture_height=480, capture_fps=30)


def test_an_exposure_that_cannot_be_fixed_is_refused(opened: Callable[..., Camera], recording: Path) -> None:
    with pytest.raises(CameraError, match="its exposure cannot be fixed"):
        opened(recording, exposure=8.0)


def test_without_a_camera_it_says_so(opened: Callable[..., Camera]) -> None:
    with pytest.raises(CameraError, match=r"no RealSense camera is plugged in|several RealSense"):
        opened(None)


def test_a_damaged_recording_is_refused(opened: Callable[..., Camera], tmp_path: Path) -> None:
    broken = tmp_path / "broken.db3"
    broken.write_bytes(b"nothing")
    with pytest.raises(CameraError, match="cannot be read"):
        opened(broken)
    with pytest.raises(CameraError, match="there is no recording"):
        opened(tmp_path / "none.db3")


def test_lost_frames_are_counted_in_its_process(recording: Path) -> None:
    process = CameraProcess(RealSenseSettings.model_validate(settings_of(recording)))
    try:
        process.start()
        deadline = time.monotonic() + 30
        while process.status().frames < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.status().dropped >= 5, process.status()
    finally:
        process.close()


def test_a_frozen_stream_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "frozen.db3"
    record(path, lambda number: shaded(min(number, 5)), range(1, 60), fps=FPS)
    settings = settings_of(path, frozen_after=0.3, timeout=2.0)
    process = CameraProcess(RealSenseSettings.model_validate(settings))
    try:
        process.launch()
        deadline = time.monotonic() + 30
        while (status := process.status()).state is not CameraState.FAILING and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "no pixel has changed" in status.error
    finally:
        process.close()


@pytest.mark.slow
def test_a_stream_that_stops_is_an_error_within_the_time_out(tmp_path: Path) -> None:
    """Two frames with a long pause between them: the pipeline waits, and the driver does not."""
    path = tmp_path / "pause.db3"
    record(path, shaded, [1, 2, 3, 3 + 3 * FPS], fps=FPS)
    camera = RealSenseSettings.model_validate(settings_of(path)).build()
    try:
        camera.open()
        while camera.read(1.0).number < 3:
            pass
        begun = time.monotonic()
        with pytest.raises(CameraError, match=r"no frame for 0\.3 s"):
            camera.read(0.3)
        assert time.monotonic() - begun < 2.5, "the next frame comes after three seconds"
    finally:
        camera.close()


def test_a_missing_package_is_a_sentence_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(CameraError, match=r"pip install 'station\[realsense\]'"):
        RealSenseSettings(name="third").build().open()


def _word(member: Any) -> str:
    """The vendor's word for an option or a fact, as the code writes it."""
    return str(member).rpartition(".")[2].lower().replace(" ", "_")


class Sensor:
    """A colour sensor that keeps its options: gain in steps of ten, an exposure that no playback has."""

    def __init__(self, *without: str) -> None:
        self.values = {
            "exposure": 156.0,
            "enable_auto_exposure": 1.0,
            "white_balance": 4600.0,
            "enable_auto_white_balance": 1.0,
            "gain": 64.0,
        }
        for name in without:
            del self.values[name]

    def supports(self, option: Any) -> bool:
        return _word(option) in self.values

    def get_option(self, option: Any) -> float:
        return self.values[_word(option)]

    def set_option(self, option: Any, value: float) -> None:
        if _word(option) == "white_balance" and value > 6500:
            raise RuntimeError("out of range")
        self.values[_word(option)] = 10.0 * (value // 10) if _word(option) == "gain" else value

    def get_option_range(self, option: Any) -> Any:
        return SimpleNamespace(min=2800.0, max=6500.0)

    def get_info(self, _: Any) -> str:
        return "RGB Camera"


class Fixture:
    """A device with one colour sensor."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        self.said = {"name": "D435", "serial_number": SERIAL, "firmware_version": "5.15"}

    def supports(self, info: Any) -> bool:
        return _word(info) in self.said

    def get_info(self, info: Any) -> str:
        return self.said[_word(info)]

    def first_color_sensor(self) -> Sensor:
        return self.sensor


def configured(sensor: Sensor, **asked: float) -> Device:
    """The device after a driver has set what was asked."""
    settings = RealSenseSettings.model_validate(settings_of(None, **asked))
    driver = RealSenseCamera(settings)
    driver._set_exposure(rs, sensor)
    driver._set_others(rs, sensor)
    return introduce(rs, Fixture(sensor), settings)


def test_white_balance_and_gain_are_set_and_read_back() -> None:
    device = configured(Sensor(), exposure=8.0, white_balance=4200.0, gain=65.0)
    assert (device.model, device.serial, device.firmware) == ("D435", SERIAL, "5.15")
    assert device.settings == {"exposure, ms": 8.0, "white_balance, K": 4200.0, "gain": 60.0}
    [said] = device.remarks
    assert "gain is 60, not 65 as in the task file" in said


def test_what_is_left_to_the_camera_is_recorded_as_automatic() -> None:
    device = configured(Sensor())
    assert device.settings == {"exposure, ms": "automatic", "white_balance, K": "automatic", "gain": 64.0}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"focus": 3.0}, "its focus cannot be fixed. Leave focus out"),
        ({"gain": 10.0}, "its gain cannot be fixed. Leave gain out"),
        ({"white_balance": 9000.0}, "white_balance = 9000 is refused (out of range). Choose 2800 to 6500"),
    ],
)
def test_an_option_that_a_realsense_does_not_have_is_refused(asked: dict[str, float], sentence: str) -> None:
    with pytest.raises(CameraError, match=re.escape(sentence)):
        configured(Sensor("gain"), **asked)
