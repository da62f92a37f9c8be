"""The camera's own process: ``python -m hardware.cameras.worker NAME``, started by `CameraProcess`.

Opens the driver, converts every frame to the task's size and publishes it. A camera that fails is reported and
reopened, for ever; an error other than `CameraError` is reported and ends the process. Standard input carries the
settings; when it closes, the parent wants no more frames or is gone, and this process exits whatever its driver does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum

import cv2

from datasets.plain_text import from_json
from hardware.cameras.interface import CameraError, Frame
from hardware.cameras.ring import PublishedFrame, Ring
from hardware.cameras.settings import DeviceCameraSettings, LiveCameraSettings
from hardware.cameras.view import View
from hardware.device import Device

_AGAIN = "It is reopened automatically; if that does not help, unplug the camera and plug it in again."
REOPEN_DELAY = 0.5
"""s between a failure and the next attempt."""
_PRIORITY = 10  # of 1 .. 99 real-time priorities: above ordinary work, below the arms' controllers
_NOTHING_NEW = 0.002  # s before polling again a driver that returns repeats without waiting
_RATE_WINDOW = 31  # frames over which the rate is computed
_LONGEST_ERROR = 800  # characters
_LAST_WORDS = 2.0  # s that a driver gets to close


class CameraState(StrEnum):
    """What the process is doing."""

    STARTING = "starting"
    STREAMING = "streaming"
    FAILING = "failing"
    """The camera does not deliver; it is reopened repeatedly."""
    ENDED = "ended"
    """There is no process."""


class Watch:
    """Detects lost frames and a frozen stream; one per opening."""

    def __init__(self, settings: DeviceCameraSettings, frozen: int | None = None) -> None:
        """`frozen` is the checksum of the frame at which the stream last froze."""
        self._settings = settings
        self._times: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._number: int | None = None
        self._checksum = self.frozen = frozen
        self._changed = self._renewed = time.monotonic()
        self.lost = 0
        """Frames missing in the camera's own count."""

    @property
    def rate(self) -> float:
        """Recent frames per second."""
        passed = self._times[-1] - self._times[0] if self._times else 0.0
        return (len(self._times) - 1) / passed if passed > 0 else 0.0

    def is_new(self, frame: Frame) -> bool:
        """Whether the camera delivered a new frame.

        Raises:
            CameraError: it has been delivering the same frame for too long.
        """
        now = time.monotonic()
        if frame.number == self._number:
            if now - self._renewed > self._settings.timeout:
                self.frozen = self._checksum if self._settings.frozen_after else None
                raise CameraError(
                    f"{self._settings.name}: the same frame has come for {now - self._renewed:.1f} s. {_AGAIN}"
                )
            return False
        if self._number is not None:
            self.lost += max(0, frame.number - self._number - 1)
        self._number, self._renewed = frame.number, now
        self._times.append(frame.time)
        return True

    def lives(self, checksum: int) -> bool:
        """Whether the frame may be published: not if identical to the one at which the stream froze.

        Raises:
            CameraError: they have not changed for too long.
        """
        now = time.monotonic()
        if checksum != self._checksum:
            self._checksum, self._changed, self.frozen = checksum, now, None
        elif 0 < self._settings.frozen_after < now - self._changed:
            self.frozen = checksum
            raise CameraError(
                f"{self._settings.name}: no pixel has changed for {now - self._changed:.1f} s. "
                f"Is the lens covered, or the light off? {_AGAIN}"
            )
        return self.frozen is None


class Worker:
    """One camera, from opening to closing, over and over."""

    def __init__(self, settings: DeviceCameraSettings, ring: Ring, leaving: threading.Event) -> None:
        self._settings = settings
        self._ring = ring
        self._leaving = leaving
        self._camera = settings.build()
        self._view = View(settings)
        self._identity = ""
        self._device = Device()
        self._described = ""
        self._lost = 0
        self._error = ""
        self._frozen: int | None = None

    def run(self) -> None:
        """Run until asked to stop."""
        try:
            while not self._leaving.is_set():
                self._attempt()
        except Exception as error:
            self._say(CameraState.ENDED, f"{self._settings.name}: {type(error).__name__}: {error}")
            raise

    def _attempt(self) -> None:
        try:
            self._say(CameraState.STARTING)
            self._device = Device()
            self._identity = self._camera.open()
            self._stream()
        except CameraError as error:
            self._say(CameraState.FAILING, str(error))
            self._leaving.wait(REOPEN_DELAY)
        finally:
            self._camera.close()

    def _stream(self) -> None:
        watch = Watch(self._settings, self._frozen)
        lost_before = self._lost
        streaming = False
        warming_up = self._settings.warm_up if isinstance(self._settings, LiveCameraSettings) else 0
        try:
            while not self._leaving.is_set():
                frame = self._camera.read(self._settings.timeout)
                if not watch.is_new(frame):
                    time.sleep(_NOTHING_NEW)
                    continue
                self._lost = lost_before + watch.lost
                if warming_up > 0:
                    warming_up -= 1
                    continue
                if not streaming:
                    # published before the first frame, so that a reader always knows which camera a frame is from
                    self._device = self._camera.device()
                    self._say(CameraState.STARTING)
                if self._publish(frame, watch) and not streaming:
                    streaming = True
                    self._described = self._view.describe(frame.image)
                    self._say(CameraState.STREAMING)
        finally:
            self._frozen = watch.frozen

    def _publish(self, frame: Frame, watch: Watch) -> bool:
        image = self._view.apply(frame.image)
        if not watch.lives(zlib.crc32(image.data)):
            return False
        self._ring.put(
            PublishedFrame(
                image=image, time=frame.time, number=frame.number, dropped=self._lost, rate=watch.rate
            )
        )
        return True

    def _say(self, state: CameraState, error: str = "") -> None:
        """Publish the state; while the camera is being reopened, the last error stays."""
        self._error = self._error if state is CameraState.STARTING else error
        message = {
            "pid": os.getpid(),
            "state": state,
            "since": time.monotonic(),
            "error": self._error[:_LONGEST_ERROR],
            "identity": self._identity,
            "view": self._described,
            "device": replace(self._device, said=self._identity).to_json(),
        }
        self._ring.say(json.dumps(message, ensure_ascii=False))


def main() -> int:
    """Run one camera until its parent asks it to stop, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine handles a Ctrl-C at the terminal
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_ERROR
    )  # drivers report in sentences what OpenCV would warn about
    order = from_json(_first_line())
    settings = _settings_class(order["class"]).model_validate(order["settings"])
    descriptors: tuple[int, int] = tuple(order["descriptors"])
    ring = Ring(height=settings.height, width=settings.width, slots=order["slots"], descriptors=descriptors)
    leaving = threading.Event()
    threading.Thread(target=_leave_with_parent, args=(leaving,), daemon=True).start()
    with suppress(PermissionError):  # where the system allows it, a busy machine delays no frame
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    Worker(settings, ring, leaving).run()
    return 0


def _first_line() -> bytes:
    """Read unbuffered: the thread that waits for end of input must not hold a buffer when Python exits."""
    line = b""
    while not line.endswith(b"\n") and (data := os.read(0, 1)):
        line += data
    return line


def _settings_class(path: str) -> type[DeviceCameraSettings]:
    module, _, name = path.partition(":")
    found: type[DeviceCameraSettings] = getattr(importlib.import_module(module), name)
    return found


def _leave_with_parent(leaving: threading.Event) -> None:
    while os.read(0, 1):
        pass
    leaving.set()
    time.sleep(_LAST_WORDS)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
