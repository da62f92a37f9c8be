"""What the UI costs: processor share and memory of the real UI in a pseudo-terminal, at its default refresh.

    python tests/benchmarks/ui_cpu.py SESSION --seconds 30

SESSION is prepared and is changed: its engine runs headless, as fast as it goes, with the automatic operator, so the
screen changes all the time. Prints one JSON object; shares are of one processor.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from station.session.engine.options import EngineOptions
from station.session.engine.spawn import spawn
from station.session.folder import SessionFolder
from station.session.link.client import Client

GOAL = 1_000_000
WARM_UP = 8.0
"""s until the UI has loaded and drawn everything once."""


class Screen:
    """The other end of the UI's terminal; counts what it is sent."""

    def __init__(self, descriptor: int) -> None:
        self.bytes = 0
        self._descriptor = descriptor
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self._descriptor, 65536):
                self.bytes += len(data)
        except OSError:
            os.close(self._descriptor)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--columns", type=int, default=140)
    parser.add_argument("--lines", type=int, default=45)
    given = parser.parse_args()
    options = EngineOptions(headless=True, autopilot=True, chunks=GOAL)
    engine = spawn(SessionFolder.open(given.session), options)
    try:
        Client.connect(given.session, timeout=60.0).close()
        print(json.dumps(measure(given), indent=1))
    finally:
        engine.terminate()
        engine.wait()
    return 0


def measure(given: argparse.Namespace) -> dict[str, float]:
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(given.columns), "LINES": str(given.lines), "TERM": "xterm-256color"}
    ui = subprocess.Popen(
        [sys.executable, "-m", "station", "attach", str(given.session)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **size},
    )
    os.close(theirs)
    screen, process = Screen(ours), psutil.Process(ui.pid)
    try:
        time.sleep(WARM_UP)
        before, sent, began = process.cpu_times(), screen.bytes, time.monotonic()
        time.sleep(given.seconds)
        after, passed = process.cpu_times(), time.monotonic() - began
        used = after.user + after.system - before.user - before.system
        return {
            "seconds": round(passed, 1),
            "cpu_share": round(used / passed, 3),
            "kilobytes_per_second": round((screen.bytes - sent) / passed / 1000, 1),
            "memory_mb": round(process.memory_info().rss / 1e6, 1),
        }
    finally:
        ui.kill()
        ui.wait()


if __name__ == "__main__":
    raise SystemExit(main())
