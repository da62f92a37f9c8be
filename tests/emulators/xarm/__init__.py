"""An emulated xArm-6 or xArm-7 that the vendor's SDK takes for real, in a process of its own.

`XArmEmulator` starts it and injects faults. Wire facts come from the vendor's SDK; nothing here imports the station.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CONTROL_PORT = 502
UNPRIVILEGED_CONTROL_PORT = 10502
REPORT_PORTS = (30001, 30002, 30003)

_ROOT = Path(__file__).resolve().parents[3]


class XArmEmulator:
    """One emulated arm; use it as a context."""

    def __init__(
        self,
        *,
        axes: int = 6,
        tool: str = "robotiq",
        address: str = "",
        control_port: int = 0,
        firmware: str = "v2.5.0",
    ) -> None:
        self.axes = axes
        self.control_port = control_port or _control_port()
        self.address = address or _free_address(self.control_port)
        self._arguments = ["--axes", str(axes), "--tool", tool, "--firmware", firmware]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process, e.g. to suspend it."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        where = ["--address", self.address, "--port", str(self.control_port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.emulators.xarm", "--orders", *where, *self._arguments],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def stop(self) -> None:
        """End it; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()

    def order(self, name: str, **arguments: Any) -> Any:
        """Inject a fault or ask a question; see the server's table of orders."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": name, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer().get("answer")

    def truth(self) -> dict[str, Any]:
        """How the arm really is."""
        answer: dict[str, Any] = self.order("truth")
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the emulated arm at {self.address} has ended; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _control_port() -> int:
    """The vendor's port where this user may take it, else one that anybody may."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", CONTROL_PORT))
        except PermissionError:
            return UNPRIVILEGED_CONTROL_PORT
        except OSError:
            return CONTROL_PORT
    return CONTROL_PORT


def _free_address(control_port: int) -> str:
    """A loopback address on which all ports are free, so that several test runs do not meet."""
    chance = random.Random()
    for _ in range(50):
        address = f"127.{chance.randint(1, 250)}.{chance.randint(1, 250)}.{chance.randint(2, 250)}"
        if all(_free(address, port) for port in (control_port, *REPORT_PORTS)):
            return address
    raise RuntimeError("no free loopback address for an emulated arm; only Linux has as many as it needs")


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
