"""RealSense cameras: the colour stream, through pyrealsense2. Only this file imports the vendor's package.

A vendor recording (.db3, older ones .bag) plays in place of a device, through the same pipeline. Depth is not used.
Time stamps: with the vendor's global time the camera's clock already follows this machine's wall clock, within some
milliseconds, and is mapped to the monotonic clock on arrival; otherwise `hardware.cameras.stamps` maps it.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from pydantic import Field

from hardware.cameras import controls
from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import LiveCameraSettings
from hardware.cameras.stamps import ClockMap, plausible
from hardware.device import Device, Reading

_EXPOSURE_UNIT_MS = {"Stereo Module": 0.001}
"""Sensor -> duration of one count of the exposure option, ms; 0.1 for all others."""
_OPTIONS = {
    "white_balance": ("white_balance", "enable_auto_white_balance"),
    "gain": ("gain", ""),
}
"""Setting -> the vendor's option, and the option that makes it automatic."""
_MOST_MODES = 8  # listed in a message


class RealSenseSettings(LiveCameraSettings):
    """A RealSense camera's colour stream."""

    driver: Literal["realsense"] = "realsense"
    """Driver name."""
    serial: str = Field(default="", pattern=r"^[0-9A-Za-z]*$")
    """Serial number, as on the label; empty: the only camera connected."""
    recording: str = ""
    """A recording from the vendor's viewer (.db3) that plays in a loop in place of a camera."""

    @property
    def occupies(self) -> str:
        return f"RealSense {self.serial}" if self.serial and not self.recording else ""

    def build(self) -> Camera:
        return RealSenseCamera(self)


class RealSenseCamera(Camera):
    """One camera, or one recording."""

    def __init__(self, settings: RealSenseSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._pipeline: Any = None
        self._clock = ClockMap()

    def open(self) -> str:
        rs = _library(self.name)
        self._clock = ClockMap()
        devices = self._devices(rs)
        serial = self._choose(devices)
        pipeline = rs.pipeline()
        try:
            profile = pipeline.start(self._config(rs, serial))
        except RuntimeError as error:
            raise CameraError(self._refusal(rs, devices[serial], error)) from error
        self._pipeline = pipeline
        device = profile.get_device()
        exposure = self._set_exposure(rs, device.first_color_sensor())
        self._set_others(rs, device.first_color_sensor())
        return f"{_describe(rs, device)}; {_modes([profile.get_stream(rs.stream.color)])[0]}, {exposure}"

    def device(self) -> Device:
        rs = _library(self.name)
        device = self._pipeline.get_active_profile().get_device()
        return introduce(rs, device, self._settings)

    def read(self, timeout: float) -> Frame:
        try:
            frames = self._pipeline.wait_for_frames(round(1000 * timeout))
        except RuntimeError as error:
            raise CameraError(
                f"{self.name}: no frame for {timeout:g} s ({error}). Check its cable and that it is on a USB 3 port."
            ) from error
        arrival = time.monotonic()
        color = frames.get_color_frame()
        if not color:
            raise CameraError(
                f"{self.name}: frames arrive without colour. Unplug the camera and plug it in again."
            )
        return Frame(
            image=np.array(color.get_data(), np.uint8),
            time=self._taken(color, arrival),
            number=int(color.get_frame_number()),
        )

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        try:
            pipeline.stop()
        except RuntimeError:
            return  # it is already gone

    def _devices(self, rs: ModuleType) -> dict[str, Any]:
        """Serial -> device, for all connected devices."""
        recording = self._settings.recording
        if recording and not Path(recording).is_file():
            raise CameraError(
                f"{self.name}: there is no recording {recording}. Correct recording in the task file."
            )
        try:
            context = rs.context()  # separate: a recording cannot be in one context twice
            found = [context.load_device(recording)] if recording else list(context.query_devices())
            return {device.get_info(rs.camera_info.serial_number): device for device in found}
        except RuntimeError as error:
            raise CameraError(
                f"{self.name}: {recording or 'the cameras on USB'} cannot be read ({error}). "
                + ("Record it again." if recording else "Unplug the camera and plug it in again.")
            ) from error

    def _choose(self, devices: dict[str, Any]) -> str:
        wanted = self._settings.serial
        there = ", ".join(sorted(devices)) or "none"
        if wanted and wanted not in devices:
            raise CameraError(
                f"{self.name}: no RealSense with serial {wanted}. Plugged in: {there}. Correct serial in the task "
                "file, or plug the camera in."
            )
        if not devices:
            raise CameraError(
                f"{self.name}: no RealSense camera is plugged in. Check cable and power; a user needs the vendor's "
                "udev rules to see it."
            )
        if not wanted and len(devices) > 1:
            raise CameraError(
                f"{self.name}: several RealSense cameras are plugged in: {there}. Set serial in the task file."
            )
        return wanted or next(iter(devices))

    def _config(self, rs: ModuleType, serial: str) -> Any:
        settings = self._settings
        config = rs.config()
        if settings.recording:
            config.enable_device_from_file(settings.recording, True)
        else:
            config.enable_device(serial)
        size = settings.capture_width, settings.capture_height
        config.enable_stream(rs.stream.color, *size, rs.format.rgb8, settings.capture_fps)
        return config

    def _refusal(self, rs: ModuleType, device: Any, error: RuntimeError) -> str:
        """Why the stream did not start: an unsupported mode, or another program."""
        settings = self._settings
        modes = _modes(
            profile
            for sensor in device.query_sensors()
            for profile in sensor.get_stream_profiles()
            if profile.stream_type() == rs.stream.color and profile.format() == rs.format.rgb8
        )
        wanted = f"{settings.capture_width}x{settings.capture_height} at {settings.capture_fps} Hz"
        if wanted not in modes:
            offered = ", ".join(modes[:_MOST_MODES]) or "none"
            return f"{self.name}: it does not deliver {wanted}. Set capture_* in the task file to one of: {offered}."
        return (
            f"{self.name}: it does not start ({error}). Close other programs that use it; unplug it and plug it in "
            "again."
        )

    def _set_exposure(self, rs: ModuleType, sensor: Any) -> str:
        """Set the task's exposure; returns what the camera then reports."""
        wanted = self._settings.exposure
        if not sensor.supports(rs.option.exposure):
            if wanted:
                raise CameraError(
                    f"{self.name}: its exposure cannot be fixed. Set exposure = 0 in the task file."
                )
            return "exposure unknown"
        unit = _EXPOSURE_UNIT_MS.get(sensor.get_info(rs.camera_info.name), 0.1)
        try:
            sensor.set_option(rs.option.enable_auto_exposure, 0.0 if wanted else 1.0)
            if not wanted:
                return "automatic exposure"
            sensor.set_option(rs.option.exposure, round(wanted / unit))
        except RuntimeError as error:
            limits = sensor.get_option_range(rs.option.exposure)
            raise CameraError(
                f"{self.name}: exposure {wanted:g} ms is refused ({error}). Choose {limits.min * unit:g} to "
                f"{limits.max * unit:g} ms."
            ) from error
        return f"exposure fixed at {sensor.get_option(rs.option.exposure) * unit:g} ms"

    def _set_others(self, rs: ModuleType, sensor: Any) -> None:
        """Set the task's white balance and gain. Raises CameraError if the camera does not support them."""
        for name, value in controls.asked(self._settings).items():
            if name == "exposure":
                continue
            option, automatic = (getattr(rs.option, word, None) for word in _OPTIONS.get(name, ("", "")))
            if option is None or not sensor.supports(option):
                raise CameraError(
                    f"{self.name}: its {name} cannot be fixed. Leave {name} out of the task file."
                )
            try:
                if automatic is not None and sensor.supports(automatic):
                    sensor.set_option(automatic, 0.0)
                sensor.set_option(option, value)
            except RuntimeError as error:
                limits = sensor.get_option_range(option)
                raise CameraError(
                    f"{self.name}: {name} = {value:g} is refused ({error}). Choose {limits.min:g} to {limits.max:g}."
                ) from error

    def _taken(self, color: Any, arrival: float) -> float:
        stamp = color.get_timestamp() / 1000
        if "hardware" not in str(color.get_frame_timestamp_domain()):
            taken = stamp + arrival - time.time()
            if plausible(taken, arrival):
                return float(taken)
        return self._clock.monotonic(stamp, arrival)


def _library(name: str) -> ModuleType:
    """The vendor's package. Raises CameraError with the commands that install what is missing."""
    try:
        import pyrealsense2
    except ModuleNotFoundError as error:
        raise CameraError(
            f"{name}: RealSense cameras need the package pyrealsense2. Run: pip install 'station[realsense]'"
        ) from error
    except ImportError as error:
        raise CameraError(
            f"{name}: pyrealsense2 cannot be loaded ({error}). Run: sudo apt install libusb-1.0-0 libudev1"
        ) from error
    library: ModuleType = pyrealsense2
    return library


def _describe(rs: ModuleType, device: Any) -> str:
    info = rs.camera_info

    def of(key: Any) -> str:
        return device.get_info(key) if device.supports(key) else "unknown"

    return (
        f"{of(info.name)}, serial {of(info.serial_number)}, firmware {of(info.firmware_version)}, "
        f"USB {of(info.usb_type_descriptor)}"
    )


def introduce(rs: ModuleType, device: Any, settings: RealSenseSettings) -> Device:
    """Its identity, and its colour sensor's current settings."""
    info = rs.camera_info

    def of(key: Any) -> str:
        return str(device.get_info(key)) if device.supports(key) else ""

    found = _read_back(rs, device.first_color_sensor())
    return Device(
        model=of(info.name),
        serial=of(info.serial_number),
        firmware=of(info.firmware_version),
        port=f"USB {of(info.physical_port)}" if of(info.physical_port) else "",
        settings=controls.named(found),
        remarks=tuple(controls.deviations(controls.asked(settings), found)),
    )


def _read_back(rs: ModuleType, sensor: Any) -> dict[str, Reading]:
    """The settings that the sensor reports; unsupported ones are omitted."""
    unit = _EXPOSURE_UNIT_MS.get(sensor.get_info(rs.camera_info.name), 0.1)
    found: dict[str, Reading] = {}
    for name, words in {"exposure": ("exposure", "enable_auto_exposure"), **_OPTIONS}.items():
        option, automatic = (getattr(rs.option, word, None) for word in words)
        if not sensor.supports(option):
            continue
        left_to_it = automatic is not None and sensor.supports(automatic) and sensor.get_option(automatic)
        value = float(sensor.get_option(option))
        found[name] = controls.AUTOMATIC if left_to_it else value * unit if name == "exposure" else value
    return found


def _modes(profiles: Any) -> list[str]:
    """Modes as ``640x480 at 30 Hz``, without duplicates."""
    videos = (profile.as_video_stream_profile() for profile in profiles)
    return list(dict.fromkeys(f"{video.width()}x{video.height()} at {video.fps()} Hz" for video in videos))
