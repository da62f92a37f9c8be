"""What a test of a key device needs from the machine, and the line that brings it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

HOTKEYS = "pip install 'station[hotkeys]' (evdev is compiled: apt install gcc python3-dev linux-libc-dev)"


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X server of our own."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is missing: apt install xvfb")
    ours, theirs = os.pipe()
    command = ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(theirs,), stderr=subprocess.DEVNULL) as server:
        os.close(theirs)
        with os.fdopen(ours) as number:
            name = f":{number.readline().strip()}"
        assert server.poll() is None, "Xvfb did not start"
        yield name
        server.terminate()


def eventually(holds: object, seconds: float = 20.0) -> bool:
    """Whether `holds()` becomes true in time."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(holds())
