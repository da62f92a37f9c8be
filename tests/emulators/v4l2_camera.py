"""The emulated V4L2 device of `v4l2_camera.c`, for a process that preloads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_suffix(".c")


def compiled(folder: Path) -> Path:
    """The library; skips the test where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("needs: apt-get install gcc libc6-dev linux-libc-dev")
    library = folder / "camera.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, _SOURCE], check=True)
    return library


def plugged_in(library: Path, node: Path) -> dict[str, str]:
    """Environment of a process that finds the camera at `node`, which is unplugged by removing the file."""
    node.touch()
    return {"LD_PRELOAD": str(library), "EMULATED_CAMERA": str(node)}
