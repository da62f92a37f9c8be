"""Names for content, so that nothing is imported twice, whatever it is called and wherever it lies.

Small files are hashed whole. Of large ones the size and 256 blocks spread evenly over them are hashed: two recordings
with equal blocks differ nowhere, because cameras never see the same noise twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from datasets.importers.recording import Array

DIGITS = 16
WHOLE = 64 * 2**20
"""Bytes up to which a file is hashed whole."""
BLOCK = 2**16
BLOCKS = 256


def episode_id(fingerprint: str) -> str:
    """What the first episode of a content is called."""
    return f"demo-{fingerprint}"


def of_file(path: Path, key: str = "") -> str:
    """Of a file's content and, where it holds several episodes, which one. Raises OSError."""
    return of_files([path], key)


def of_files(paths: Iterable[Path], key: str = "") -> str:
    """Of several files that belong together, in order. Raises OSError."""
    digests = [_digest(path) for path in paths]
    if len(digests) == 1 and not key:
        return digests[0][:DIGITS]
    return hashlib.sha256("/".join([*digests, key]).encode()).hexdigest()[:DIGITS]


def of_arrays(format_name: str, arrays: dict[str, Array]) -> str:
    """Of an episode's numbers, for files that grow by episodes: what was in them keeps its name."""
    digest = hashlib.sha256(format_name.encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"{name}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:DIGITS]


def _digest(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for number in range(BLOCKS):
            file.seek(number * (size - BLOCK) // (BLOCKS - 1))
            digest.update(file.read(BLOCK))
        return digest.hexdigest()
