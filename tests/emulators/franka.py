"""Frankas that answer the real franky over FCI: franky-sim in a process of its own, with faults to order.

franky-sim brings the wire, the physics and the hand; it knows neither reflexes nor the stop button, accepts any
command in any state, applies the last torques for ever when commands cease, and never answers a hand's command that was
overtaken. Those are added here. It imposes no limits: a target five metres away is followed. Imports nothing from
`hardware`.

By hand: ``python -m tests.emulators.franka --robots 2``, then commands as lines of JSON on the standard input.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

READY = (0.0, -0.7854, 0.0, -2.3562, 0.0, 1.5708, 0.7854)
"""rad, the posture in which the arms start."""
SPACING = 1.6
"""m between two bases along y: out of each other's reach at the front."""
_START = 60.0


class FrankaEmulator:
    """Handle of the emulator's process; the robots answer at `addresses` once `start` has returned."""

    def __init__(self, robots: int = 1) -> None:
        self._count = robots
        self._process: subprocess.Popen[str] | None = None
        self._frozen = False
        self.addresses: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Start anew, at the same addresses as before."""
        self.close()
        wanted = [flag for address in self.addresses for flag in ("--address", address)]
        root = Path(__file__).resolve().parents[2]
        self._frozen = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.emulators.franka", "--robots", str(self._count), *wanted],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        )
        self.addresses = self._answer(_START)["addresses"]

    def kill(self) -> None:
        """As if the control box lost its power."""
        self._running().kill()
        self._running().wait(10.0)

    def freeze(self, *, on: bool = True) -> None:
        """As if the control box hung: connections are taken and never answered, and time stands still."""
        self._running().send_signal(signal.SIGSTOP if on else signal.SIGCONT)
        self._frozen = on

    @property
    def lives(self) -> bool:
        """Whether time goes on and orders are answered."""
        return not self._frozen and self._running().poll() is None

    def order(self, command: str, robot: int = 0, **details: Any) -> dict[str, Any]:
        """Give one order, such as a fault, and wait for the answer."""
        stdin = self._running().stdin
        assert stdin is not None
        stdin.write(json.dumps({"command": command, "robot": robot, **details}) + "\n")
        stdin.flush()
        return self._answer(10.0)

    def truth(self, robot: int = 0) -> dict[str, Any]:
        """What the physics say: time s, rested s, position [3] m, joints [7] rad, speeds [7] rad/s, width m, mode."""
        return self.order("truth", robot)

    def close(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10.0)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process = None

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "start the emulator first"
        return self._process

    def _answer(self, patience: float) -> dict[str, Any]:
        stdout = self._running().stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], patience)
        line = stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(f"the Franka emulator did not answer within {patience:g} s")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Run robots until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--robots", type=int, default=1)
    parser.add_argument("--address", action="append", default=[], help="loopback address of the next robot")
    options = parser.parse_args(arguments)
    # a control box has a computer of its own; where the user may not ask for precedence, it has to share
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    from tests.emulators.franka_cell import FrankaCell

    with FrankaCell(options.robots, options.address) as cell:
        say({"addresses": cell.addresses})
        run(cell)


def run(cell: Any) -> None:
    """One millisecond after the other, as near to the wall's clock as the machine allows."""
    due = time.perf_counter()
    pending = b""
    while True:
        cell.tick()
        if select.select([sys.stdin.fileno()], [], [], 0.0)[0]:
            chunk = os.read(sys.stdin.fileno(), 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                say(cell.obey(json.loads(line)))
        due = max(due + 0.001, time.perf_counter() - 0.02)
        time.sleep(max(0.0, due - time.perf_counter()))


def say(answer: Mapping[str, Any]) -> None:
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
