"""What is expensive to make and the same for all tests: made once per state of the code, kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PRODUCT = ("datasets", "hardware", "policy", "station")
_STATES = 3
"""States of the code whose results are kept."""


def kept(config: pytest.Config, name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled. Not to be changed; made again once any code or the machine's software changes.

    A run without pytest's cache makes it for itself.
    """
    place = _place(config, name)
    folder = place / state()
    finished = folder / "finished"
    with _alone(place / "lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            finished.touch()
            older = sorted(place.glob("*/finished"), key=lambda path: path.stat().st_mtime)[:-_STATES]
            for each in older:
                shutil.rmtree(each.parent)
    return folder


@cache
def state() -> str:
    """Digest of the product's code and of what computes with it."""
    digest = hashlib.sha256(
        f"{platform.python_version()} {platform.processor()} {torch.__version__}".encode()
    )
    files = (path for part in PRODUCT for path in (ROOT / part).rglob("*") if path.suffix in (".py", ".toml"))
    for path in (
        *sorted(files),
        ROOT / "constraints.txt",
        *sorted(Path(__file__).parent.rglob("conftest.py")),
    ):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _place(config: pytest.Config, name: str) -> Path:
    if config.pluginmanager.hasplugin("cacheprovider") and config.cache is not None:
        return config.cache.mkdir(f"kept-{name}")
    return Path(tempfile.mkdtemp(prefix=f"kept-{name}-"))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Workers that want the same thing wait for the one that makes it."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
