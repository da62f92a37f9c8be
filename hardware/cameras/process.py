"""The rest of the system's handle on a camera: a process that can be killed, and its newest frame.

The process is `hardware.cameras.worker`; frames arrive through `hardware.cameras.ring`. Reading never waits for the
camera. The cell, not this module, decides whether a frame is too old.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from datasets.plain_text import from_json
from hardware.cameras.interface import CameraError, Frame
from hardware.cameras.ring import Ring
from hardware.cameras.settings import DeviceCameraSettings
from hardware.cameras.worker import CameraState
from hardware.device import Device

_START_TIMEOUT = 30.0  # s; a camera on a slow bus takes a few, a busy machine some more
_LONGEST_CLOSING = 2.0  # s that the driver gets before the process is killed
_POLL = 0.005  # s
_HANGS_AFTER = 1.0  # s beyond the camera's own time-out without a frame or a message


@dataclass(frozen=True, kw_only=True)
class CameraStatus:
    """Live status of a camera; never recorded as ground truth."""

    name: str
    state: CameraState
    identity: str
    """Model, serial, firmware, as the driver reports; empty until opened."""
    view: str
    """How its frames are processed, e.g. ``640x480, resized to 128x128``."""
    error: str
    """Why there is no new frame, and what to do; empty without an error."""
    age: float
    """s since the newest frame was captured; infinite while there is none."""
    rate: float
    """Frames per second that arrive."""
    dropped: int
    """Frames captured by the camera that never arrived, since the process started."""
    frames: int
    """Frames that arrived, restarts included."""
    needs_restart: bool
    """Its process is gone or hung; only `CameraProcess.restart` helps."""


class CameraProcess:
    """One camera in its own process.

    ``start`` (or ``launch`` for all cameras, then ``wait_ready`` for each), ``newest`` as often as needed, ``close``.
    The process keeps reopening a camera that fails; `restart` is for a process that is gone or hung.
    """

    def __init__(self, settings: DeviceCameraSettings, *, slots: int = 8) -> None:
        """Keeps `slots` frames, so that a slow reader is not overtaken."""
        self.settings = settings
        self._slots = slots
        self._ring = Ring(height=settings.height, width=settings.width, slots=slots)
        self._process: subprocess.Popen[bytes] | None = None
        self._message: dict[str, Any] = {}
        self._count_before = 0

    @property
    def name(self) -> str:
        """The camera's name in the task file."""
        return self.settings.name

    def start(self, timeout: float = _START_TIMEOUT) -> str:
        """Start and wait for the first frame; returns the identity. Raises CameraError, leaving no process."""
        self.launch()
        return self.wait_ready(timeout)

    def launch(self) -> None:
        """Start the process and return at once; ends a running one first."""
        self._end()
        self._count_before = self._ring.count
        # a fresh interpreter: the parent's libraries (torch among them) would slow down its start
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hardware.cameras.worker", self.name],
            stdin=subprocess.PIPE,
            pass_fds=self._ring.descriptors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._send_order(self._process)

    def wait_ready(self, timeout: float = _START_TIMEOUT) -> str:
        """Wait for the first frame since `launch`; returns the identity. Raises CameraError and ends the process."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            status = self.status()
            if status.state is CameraState.STREAMING and status.frames > self._count_before:
                return status.identity
            if status.error:
                self._end()
                raise CameraError(status.error)
            time.sleep(_POLL)
        self._end()
        raise CameraError(
            f"{self.name}: no frame within {timeout:g} s. Check cable, power and port, and that no other program "
            "uses the camera."
        )

    def newest(self) -> Frame | None:
        """A copy of the newest frame, at the task's size; None while there is none. Never blocks."""
        frame = self._ring.newest()
        if frame is None:
            return None
        return Frame(image=frame.image, time=frame.time, number=frame.number)

    def taken(self) -> float | None:
        """When the newest frame was captured, s, monotonic; None while there is none. Cheaper than `newest`."""
        return self._ring.taken()

    def status(self) -> CameraStatus:
        """The live status."""
        frame = self._ring.newest()
        age = time.monotonic() - frame.time if frame else float("inf")
        message = self._heard()
        state, error = self._state(message)
        hangs = self._hangs(state, age, message)
        if hangs:
            error = (
                f"{self.name}: its process hangs and sends neither frames nor messages. Restart the camera."
            )
        return CameraStatus(
            name=self.name,
            state=state,
            identity=message.get("identity", ""),
            view=message.get("view", ""),
            error=error,
            age=age,
            rate=frame.rate if frame and state is CameraState.STREAMING and not hangs else 0.0,
            dropped=frame.dropped if frame else 0,
            frames=self._ring.count,
            needs_restart=hangs or state is CameraState.ENDED,
        )

    def device(self) -> Device:
        """The device's identity and settings; empty until opened."""
        return Device.from_json(self._heard().get("device", {}))

    def restart(self, timeout: float = _START_TIMEOUT) -> str:
        """End the process, whatever its state, and start a new one. Raises CameraError."""
        return self.start(timeout)

    def close(self) -> None:
        """End the process and release the frames; safe to call twice."""
        self._end()
        self._ring.close()

    def _send_order(self, process: subprocess.Popen[bytes]) -> None:
        kind = type(self.settings)
        order = {
            "class": f"{kind.__module__}:{kind.__qualname__}",
            "settings": self.settings.model_dump(mode="json"),
            "slots": self._slots,
            "descriptors": self._ring.descriptors,
        }
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has already exited; `status` says how
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()  # keep it open: the process exits when it is closed

    def _heard(self) -> dict[str, Any]:
        """The last message of the current process."""
        text = self._ring.heard()
        if text and self._process is not None:
            message = from_json(text)
            if message["pid"] == self._process.pid:
                self._message = message
        return self._message

    def _state(self, message: dict[str, Any]) -> tuple[CameraState, str]:
        code = self._process.poll() if self._process else None
        if self._process is None or code is not None:
            error = message.get("error", "")
            how = (
                f"was killed by signal {-code}"
                if code is not None and code < 0
                else f"ended with code {code}"
            )
            return CameraState.ENDED, error or (
                f"{self.name}: its process {how}. Restart the camera; if it happens again, check its cable."
                if code is not None
                else ""
            )
        return CameraState(message.get("state", CameraState.STARTING)), message.get("error", "")

    def _hangs(self, state: CameraState, age: float, message: dict[str, Any]) -> bool:
        """Whether its driver neither delivers frames nor fails."""
        if state is CameraState.STREAMING:
            return age > self.settings.timeout + _HANGS_AFTER
        opening = time.monotonic() - message.get("since", time.monotonic())
        return state is CameraState.STARTING and opening > _START_TIMEOUT

    def _end(self) -> None:
        """Ask the process to exit, wait, then kill it; clears its last message."""
        process, self._process = self._process, None
        self._message = {}
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(min(self.settings.timeout, _LONGEST_CLOSING) + 0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
