"""Named tensors on disk: written whole or not at all, with a digest that a damaged file cannot pass.

Knows no network; the base policy and its training keep their state through it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from datasets.durable import Disk, full_disk_named
from datasets.errors import StationError
from datasets.own_files import make_folder, read_bytes
from datasets.plain_text import from_json

_MOST = 2**36
"""Bytes of a file of tensors; memory is what limits them."""
_RESTORE = "Restore it from a copy or train again."

KEPT = 2
"""Numbered files that stay: the newest, and the one before in case the newest is damaged."""


class WeightsError(StationError):
    """A file of tensors that cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """One file of tensors, checked."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """Plain JSON that was saved beside the tensors."""
    refused: tuple[str, ...] = field(default=())
    """Why newer files were not used, one sentence each."""


def digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """sha256 over names, shapes, types, bytes and facts; equal exactly when all of them are equal."""
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def encode(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """A safetensors file with `facts` (plain JSON) and a digest of both."""
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    return to_bytes(copies, {"facts": json.dumps(facts, sort_keys=True), "digest": digest(copies, facts)})


def decode(data: bytes, path: Path) -> Loaded:
    """What `encode` was given, checked; `path` is named in the error.

    Raises:
        WeightsError: it is cut off, or not what was written.
    """
    try:
        size = struct.unpack_from("<Q", data)[0]
        metadata = from_json(data[8 : 8 + size])["__metadata__"]
        tensors = from_bytes(data)
        facts, stored = from_json(metadata["facts"]), metadata["digest"]
    except (
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        MemoryError,
        struct.error,
    ) as error:
        raise WeightsError(f"{path} cannot be read ({error}).", remedy=_RESTORE) from error
    if stored not in (digest(tensors, facts), _digest_of_older_checkpoints(tensors, metadata["facts"])):
        raise WeightsError(f"{path} is damaged: its checksum differs.", remedy=_RESTORE)
    return Loaded(tensors=tensors, facts=facts)


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace `path` by these tensors, durably.

    Raises:
        DiskFullError: there is no room; the old file still stands.
    """
    make_folder(path.parent)
    with full_disk_named("weights", path):
        Disk().replace(path, encode(tensors, facts))


def read(path: Path) -> Loaded:
    """Read and check a file of `write`.

    Raises:
        WeightsError: it is missing, cut off, or not what was written.
    """
    try:
        data = read_bytes(path, _MOST)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error}).", remedy=_RESTORE) from error
    return decode(data, path)


def _digest_of_older_checkpoints(tensors: Mapping[str, Tensor], facts: str) -> str:
    """What steering checkpoints of earlier versions carry."""
    sha = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def write_numbered(
    folder: Path, ordinal: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write ``state-<ordinal>``; only once it is safe, files older than the one before it are deleted."""
    write(folder / f"state-{ordinal:09d}.safetensors", tensors, facts)
    for old in numbered(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def read_newest(folder: Path) -> Loaded | None:
    """The newest undamaged numbered file, saying what it had to skip; None when there is none."""
    refused: list[str] = []
    for path in reversed(numbered(folder)):
        try:
            loaded = read(path)
        except WeightsError as error:
            refused.append(f"{error} The state before it is used.")
        else:
            return Loaded(tensors=loaded.tensors, facts=loaded.facts, refused=tuple(refused))
    return None


def numbered(folder: Path) -> list[Path]:
    """The numbered files of a folder, oldest first."""
    return sorted(folder.glob("state-*.safetensors"))
