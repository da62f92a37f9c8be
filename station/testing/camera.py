"""The check of a camera's driver, on the device or on anything that plays it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.cameras.settings import DeviceCameraSettings
from hardware.device import Device
from station.testing.contract import Contract, closed_after, require_settings

_TIMEOUT = 10.0  # s; a busy machine is no broken driver


def check_camera(
    settings: DeviceCameraSettings,
    *,
    absent: DeviceCameraSettings | None = None,
    unreachable: Callable[[], AbstractContextManager[object]] | None = None,
    frames: int = 10,
) -> None:
    """Check the camera that `settings` build: open, read `frames` frames, close, and all of it again.

    `absent`: the same settings for a camera that is not there. `unreachable`: a context in which the open camera
    delivers nothing.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    camera = settings.build()
    contract = Contract(subject=type(camera).__name__, interface="hardware.cameras.interface.Camera")
    require_settings(contract, settings)
    contract.require(
        camera.name == settings.name, f"its name is '{camera.name}', in the task '{settings.name}'"
    )
    contract.calm(camera.close, "before open", "close")
    with closed_after(camera):
        for attempt in ("opened", "closed and opened again"):
            said = camera.open()
            contract.require(isinstance(said, str) and said, f"open returns {said!r}, no identity", "open")
            _require_device(contract, camera)
            shown = [camera.read(_TIMEOUT) for _ in range(frames)]
            _require_frames(contract, shown, attempt)
            contract.calm(camera.close, "once", "close")
            contract.calm(camera.close, "twice", "close")
        camera.open()
        if unreachable is not None:
            with unreachable():
                _require_silence(contract, camera)
    if absent is not None:
        missing = absent.build()
        error = contract.refuses(CameraError, missing.open, "of a camera that is not there", "open")
        contract.require(absent.name in str(error), f"open says '{error}', not which camera", "open")
        contract.calm(missing.close, "after it failed to open", "close")


def _require_device(contract: Contract, camera: Camera) -> None:
    device = camera.device()
    contract.require(isinstance(device, Device), f"device returns {type(device).__name__}", "device")
    contract.calm(
        lambda: json.dumps(device.to_json(), allow_nan=False), "must be plain finite JSON:", "device"
    )


def _require_frames(contract: Contract, frames: list[Frame], attempt: str) -> None:
    before: Frame | None = None
    for frame in frames:
        image = frame.image
        contract.require(
            isinstance(image, np.ndarray)
            and image.dtype == np.uint8
            and image.ndim == 3
            and image.shape[2] == 3,
            f"an image is {getattr(image, 'dtype', type(image))} {list(np.shape(image))}, not uint8 [height, width, 3]",
            "read",
        )
        contract.recent(frame.time, "read")
        if before is not None:
            contract.require(image.shape == before.image.shape, "images change their size", "read")
            contract.require(
                frame.time > before.time,
                f"{attempt}, a frame is stamped {before.time - frame.time:.6f} s before the last one or equal to it",
                "read",
            )
            contract.require(
                frame.number > before.number,
                f"{attempt}, frame {before.number} is followed by {frame.number}; numbers count upwards",
                "read",
            )
            contract.require(
                not np.shares_memory(image, before.image),
                "two frames share their memory; the next one would overwrite the last one",
                "read",
            )
        before = frame


def _require_silence(contract: Contract, camera: Camera) -> None:
    def read_on() -> None:
        for _ in range(1000):  # what had been captured before
            camera.read(0.2)

    error = contract.refuses(CameraError, read_on, "while nothing arrives", "read")
    contract.require(camera.name in str(error), f"read says '{error}', not which camera", "read")
