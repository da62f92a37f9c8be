"""Environments of other projects' readers and writers, whose requirements contradict ours; built once, elsewhere.

A reader runs as a script in its own interpreter, is given the dataset's path, and leaves what it saw in an ``.npz``; a
writer is given an ``.npz`` and leaves a dataset.
An environment that cannot be built (no network, no such version) skips its tests and says the line that brings it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One project's reader."""

    name: str
    """Of its environment."""
    script: str
    """Beside this file, or a whole path."""
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    """Installed without what they require, because that contradicts what is there."""
    shares: bool = False
    """Sees the packages of this environment behind its own: torch need not be unpacked twice."""


LEROBOT = Reader(
    name="lerobot",
    script="read_lerobot.py",
    requirements=(
        "datasets<5",
        "huggingface-hub<0.36",
        "av<16",
        "draccus==0.10",
        "jsonlines",
        "einops",
        "deepdiff",
        "termcolor",
        "pillow",
        "setuptools>=77",
    ),
    alone=("lerobot==0.4.4", "torchvision==0.28.0", "torchcodec==0.13.0", "accelerate"),
    shares=True,
)
LEROBOT_2 = replace(
    LEROBOT,
    name="lerobot2",
    requirements=("datasets<=3.6", *LEROBOT.requirements[1:]),
    alone=("lerobot==0.3.3", *LEROBOT.alone[1:]),
)
"""The last release that writes v2.1."""
LEROBOT_LOADER = replace(LEROBOT, script="time_lerobot.py")
ROBOMIMIC = Reader(
    name="robomimic",
    script="read_robomimic.py",
    requirements=("tqdm", "termcolor", "imageio"),
    alone=("robomimic==0.3.0",),
    shares=True,
)
ZARR_2 = Reader(name="zarr2", script="read_replay_buffer.py", requirements=("zarr==2.18.7", "numcodecs<0.16"))


def read(reader: Reader, dataset: Path, *arguments: str) -> dict[str, NDArray[Any]]:
    """What `reader` sees in `dataset`; fails the test with the reader's own words when it refuses."""
    found = dataset.with_name(f"{dataset.name}.{Path(reader.script).stem}.npz")
    done = run(reader, str(dataset), str(found), *arguments)
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(found) as saved:
        return dict(saved)


def write(writer: Reader, dataset: Path, *arguments: str, **given: NDArray[Any]) -> Path:
    """`dataset` as the project itself writes what is `given`; fails the test with its own words when it cannot."""
    told = dataset.with_name(f"{dataset.name}.given.npz")
    np.savez(told, allow_pickle=False, **given)
    done = run(writer, str(told), str(dataset), *arguments)
    assert done.returncode == 0, done.stderr[-4000:]
    return dataset


def run(reader: Reader, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the reader's script; isolated, because one of our folders has the name of a package it needs."""
    command = [str(_environment(reader)), "-I", str(HERE / reader.script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def _environment(reader: Reader) -> Path:
    """Its interpreter; builds the environment when it is not there."""
    recipe = repr((reader.requirements, reader.alone, reader.shares and _packages(), sys.version))
    name = f"{reader.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "station-readers"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / name
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, reader)
            (folder / "complete").touch()
    return folder / "bin" / "python"


def _build(folder: Path, reader: Reader) -> None:
    venv.create(folder, with_pip=True, symlinks=True)
    if reader.shares:
        site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (site / "behind.pth").write_text(f"{_packages()}\n")
    for options, packages in (((), reader.requirements), (("--no-deps",), reader.alone)):
        if packages:
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *options, *packages]
            done = subprocess.run(pip, capture_output=True, text=True, timeout=1200, check=False)
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                pytest.skip(f"pip install {' '.join((*options, *packages))}: {last}")


def _packages() -> str:
    torch = importlib.util.find_spec("torch")
    assert torch is not None and torch.origin is not None
    return str(Path(torch.origin).parents[1])
