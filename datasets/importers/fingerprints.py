"""Content fingerprints, so nothing is imported twice, regardless of name and location.

Small files are hashed whole. For large ones, the size and 256 evenly spread blocks are hashed: recordings with equal
blocks are equal, because camera noise never repeats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from datasets.importers.recording import Array

DIGITS = 16
WHOLE = 64 * 2**20
"""Maximum bytes of a file that is hashed whole."""
BLOCK = 2**16
BLOCKS = 256


def episode_id(fingerprint: str) -> str:
    """Id of the first episode of a content."""
    return f"demo-{fingerprint}"


def of_file(path: Path, key: str = "") -> str:
    """Fingerprint of a file's content and, if it holds several episodes, the key. Raises OSError."""
    return of_files([path], key)


def of_files(paths: Iterable[Path], key: str = "") -> str:
    """Fingerprint of several files that belong together, in order. Raises OSError."""
    digests = [_digest(path) for path in paths]
    if len(digests) == 1 and not key:
        return digests[0][:DIGITS]
    return hashlib.sha256("/".join([*digests, key]).encode()).hexdigest()[:DIGITS]


def of_arrays(format_name: str, arrays: dict[str, Array]) -> str:
    """Fingerprint of an episode's numbers, for files to which episodes are appended: existing ones keep theirs."""
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
