"""Any camera that OpenCV reads: V4L2 devices (webcams, capture cards), and network cameras by their address.

Prefer a device's persistent path in /dev/v4l/by-id or /dev/v4l/by-path; /dev/video0 may be another camera after the
next boot. V4L2 time stamps are the kernel's, on the monotonic clock; OpenCV passes on no V4L2 frame counter, so a gap
between stamps counts as lost frames. Frames of a network camera are stamped on arrival.
"""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from datasets.observation import Image
from hardware.cameras import controls
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import LiveCameraSettings
from hardware.cameras.stamps import plausible
from hardware.device import Device, Reading

_LASTING_NAMES = Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path")
_KERNEL = Path("/sys/class/video4linux")
"""The kernel's description of each /dev/videoN."""
_PASSING_NAME = re.compile(r"/dev/video\d+")
_MANUAL, _AUTOMATIC = 1.0, 3.0  # V4L2_EXPOSURE_MANUAL, V4L2_EXPOSURE_APERTURE_PRIORITY
_EXPOSURE_UNIT_MS = 0.1  # of V4L2_CID_EXPOSURE_ABSOLUTE
_OPEN_TIMEOUT_MS = 5000
_CONTROLS: dict[str, tuple[int, int | None]] = {
    "white_balance": (cv2.CAP_PROP_WB_TEMPERATURE, cv2.CAP_PROP_AUTO_WB),
    "gain": (cv2.CAP_PROP_GAIN, None),
    "focus": (cv2.CAP_PROP_FOCUS, cv2.CAP_PROP_AUTOFOCUS),
}
"""Setting -> its property, and the property that makes it automatic."""


class UsbCameraSettings(LiveCameraSettings):
    """A V4L2 camera, or a network camera."""

    driver: Literal["usb"] = "usb"
    """Driver name."""
    device: str = Field(min_length=1)
    """Its path, preferably in /dev/v4l/by-id; or an address (rtsp://..., http://...)."""
    pixel_format: str = Field(default="MJPG", pattern=r"^[A-Z0-9]{4}$")
    """Four letters: MJPG leaves bandwidth for two cameras on USB 2, YUYV is uncompressed."""
    buffers: int = Field(default=2, ge=1, le=10)
    """Frames that the kernel may queue; with 1 many cameras deliver at half their rate."""

    @property
    def occupies(self) -> str:
        # a network camera serves several programs
        return "" if "://" in self.device else f"camera {Path(self.device).resolve()}"

    @property
    def advice(self) -> str:
        if not _PASSING_NAME.fullmatch(self.device):
            return ""
        lasting = lasting_names(Path(self.device))
        names = " or ".join(f"'{name}'" for name in lasting)
        remedy = (
            f"Set device = {names}."
            if lasting
            else "Name it by its path in /dev/v4l/by-id or /dev/v4l/by-path once it is plugged in."
        )
        return f"{self.device} may be another camera after the next start of the machine. {remedy}"

    def build(self) -> Camera:
        return UsbCamera(self)


class UsbCamera(Camera):
    """One device, or one address."""

    def __init__(self, settings: UsbCameraSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._on_network = "://" in settings.device
        self._capture = cv2.VideoCapture()
        self._number = 0
        self._last_stamp: float | None = None

    def open(self) -> str:
        self._number, self._last_stamp = 0, None
        if self._on_network:
            self._open_address()
        else:
            self._open_device()
        return self._read_back()

    def device(self) -> Device:
        found = {} if self._on_network else self._controls()
        who = (
            Device(model="network camera", port=self._settings.device)
            if self._on_network
            else who_is(Path(self._settings.device))
        )
        remarks = [*controls.deviations(controls.asked(self._settings), found), self._settings.advice]
        return replace(who, settings=controls.named(found), remarks=tuple(filter(None, remarks)))

    def read(self, timeout: float) -> Frame:
        try:
            arrived, image = self._network_frame() if self._on_network else self._device_frame(timeout)
        except cv2.error as error:
            raise CameraError(f"{self.name}: the camera has gone ({error.err}). {self._check()}") from error
        if not arrived or image is None:
            raise CameraError(f"{self.name}: no frame for {timeout:g} s. {self._check()}")
        arrival = time.monotonic()
        stamp = arrival if self._on_network else self._stamp(arrival)
        self._number += self._passed(stamp)
        self._last_stamp = stamp
        return Frame(image=np.asarray(image[..., ::-1], np.uint8), time=stamp, number=self._number)

    def close(self) -> None:
        self._capture.release()

    def _open_device(self) -> None:
        device = Path(self._settings.device)
        if not device.exists():
            raise CameraError(
                f"{self.name}: there is no {device}. Cameras here: {', '.join(_devices()) or 'none'}. Plug it in, or "
                "correct device in the task file."
            )
        if not os.access(device, os.R_OK | os.W_OK):
            raise CameraError(
                f"{self.name}: {device} may not be opened. Run: sudo usermod -aG video $USER, then log in again."
            )
        # OpenCV's time-out for the first frame; it reads the variable once, and this process has one camera
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(math.ceil(self._settings.timeout))
        if not self._capture.open(str(device.resolve()), cv2.CAP_V4L2):
            raise CameraError(
                f"{self.name}: {device} does not open as a camera. Close other programs that use it; many cameras "
                f"have a second node that delivers no frames, so try the others: {', '.join(_devices()) or 'none'}."
            )
        self._configure()

    def _configure(self) -> None:
        """Set the capture mode; order matters: the format determines the available sizes, the size the rates."""
        settings, capture = self._settings, self._capture
        capture.set(cv2.CAP_PROP_FOURCC, _four_letters(settings.pixel_format))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.capture_width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.capture_height)
        capture.set(cv2.CAP_PROP_FPS, settings.capture_fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, settings.buffers)
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL if settings.exposure else _AUTOMATIC)
        if settings.exposure and not capture.set(
            cv2.CAP_PROP_EXPOSURE, round(settings.exposure / _EXPOSURE_UNIT_MS)
        ):
            raise CameraError(
                f"{self.name}: an exposure of {settings.exposure:g} ms is refused. `v4l2-ctl -d {settings.device} -L` "
                "shows the range; or set exposure = 0."
            )
        for name, value in controls.asked(settings).items():
            if name in _CONTROLS:
                self._fix(name, value)

    def _fix(self, name: str, value: float) -> None:
        """Make one setting manual and set it. Raises CameraError if it is refused."""
        key, automatic = _CONTROLS[name]
        if automatic is not None:
            self._capture.set(automatic, 0.0)
        if not self._capture.set(key, value):
            raise CameraError(
                f"{self.name}: {name} = {value:g} is refused. `v4l2-ctl -d {self._settings.device} -L` shows what it "
                f"takes; or leave {name} out of the task file."
            )

    def _controls(self) -> dict[str, Reading]:
        """The camera's current settings; unsupported ones are omitted."""
        get = self._capture.get
        found: dict[str, Reading] = {}
        if get(cv2.CAP_PROP_AUTO_EXPOSURE) == _MANUAL:
            found["exposure"] = round(get(cv2.CAP_PROP_EXPOSURE) * _EXPOSURE_UNIT_MS, 4)
        else:
            found["exposure"] = controls.AUTOMATIC
        for name, (key, automatic) in _CONTROLS.items():
            value = get(key)
            if automatic is not None and get(automatic) > 0:
                found[name] = controls.AUTOMATIC
            elif value >= 0:
                found[name] = value
        return found

    def _open_address(self) -> None:
        timeouts = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(1000 * self._settings.timeout),
        ]
        if not self._capture.open(self._settings.device, cv2.CAP_FFMPEG, timeouts):
            raise CameraError(
                f"{self.name}: nothing streams at {self._settings.device}. Check address, network and power."
            )
        for name in controls.asked(self._settings):
            instead = "here exposure = 0" if name == "exposure" else f"leave {name} out here"
            raise CameraError(f"{self.name}: set a network camera's {name} at the camera; {instead}.")

    def _read_back(self) -> str:
        """The actual settings, in words. Raises CameraError if the size differs: a crop would be misplaced."""
        settings, capture = self._settings, self._capture
        width, height = (
            round(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if (width, height) != (settings.capture_width, settings.capture_height):
            raise CameraError(
                f"{self.name}: it delivers {width}x{height}, not {settings.capture_width}x{settings.capture_height}. "
                "Set capture_width and capture_height in the task file to a size that it has (`v4l2-ctl "
                "--list-formats-ext` shows them)."
            )
        letters = round(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1").strip("\0")
        said = f"{settings.device}; {width}x{height} {letters} at {capture.get(cv2.CAP_PROP_FPS):g} Hz"
        if self._on_network:
            return said
        if settings.exposure:
            return f"{said}, exposure fixed at {capture.get(cv2.CAP_PROP_EXPOSURE) * _EXPOSURE_UNIT_MS:g} ms"
        return f"{said}, automatic exposure"

    def _device_frame(self, timeout: float) -> tuple[bool, Image | None]:
        ready, _ = cv2.VideoCapture.waitAny([self._capture], round(timeout * 1e9))
        return self._retrieved() if ready else (False, None)

    def _network_frame(self) -> tuple[bool, Image | None]:
        return self._retrieved() if self._capture.grab() else (False, None)

    def _retrieved(self) -> tuple[bool, Image | None]:
        arrived, image = self._capture.retrieve()
        return arrived, np.asarray(image, np.uint8) if arrived else None

    def _stamp(self, arrival: float) -> float:
        """The kernel's time stamp, unless its driver uses another clock."""
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return stamp if plausible(stamp, arrival) else arrival

    def _passed(self, stamp: float) -> int:
        """Frames that the camera has captured since the last one, estimated from its rate."""
        if self._on_network or self._last_stamp is None:
            return 1
        return max(1, round((stamp - self._last_stamp) * self._settings.capture_fps))

    def _check(self) -> str:
        return "Check address, network and power." if self._on_network else "Check cable and port."


def _devices() -> list[str]:
    """Every camera by its persistent path; by its number where there are none."""
    for folder in _LASTING_NAMES:
        if folder.is_dir() and (found := sorted(str(path) for path in folder.iterdir())):
            return found
    return sorted(str(path) for path in Path("/dev").glob("video*"))


def lasting_names(device: Path) -> list[str]:
    """The links in /dev/v4l that currently point to this node, by-id first."""
    node = device.resolve()
    links = [link for folder in _LASTING_NAMES if folder.is_dir() for link in sorted(folder.iterdir())]
    return [str(link) for link in links if link.resolve() == node]


def who_is(device: Path) -> Device:
    """The camera behind a node, as the kernel describes it: model, and for USB serial, version and port."""
    entry = _KERNEL / device.resolve().name
    usb = (entry / "device").resolve().parent if (entry / "device").exists() else entry
    is_usb = (usb / "idVendor").is_file()
    return Device(
        model=_text(entry / "name"),
        serial=_text(usb / "serial") if is_usb else "",
        firmware=_text(usb / "bcdDevice") if is_usb else "",
        port=f"USB {usb.name}" if is_usb else "",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _four_letters(text: str) -> int:
    return int.from_bytes(text.encode("latin-1"), "little")
