"""Named tensors on disk, written atomically, with a digest that detects damage.

Independent of any network; the base policy and its training save their state with it.
"""

from __future__ import annotations

import hashlib
import json
import os
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
from datasets.own_files import make_folder, open_own
from datasets.plain_text import from_json

_LIST = 2**24
"""Maximum bytes of the list of tensors at the beginning of a file."""
_RESTORE = "Restore it from a copy or train again."

KEPT = 2
"""Numbered files to keep: the newest, and the previous one in case the newest is damaged."""


class WeightsError(StationError):
    """A tensor file is unusable; the message names the file, the reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The verified content of a tensor file."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """Plain JSON saved with the tensors."""
    refused: tuple[str, ...] = field(default=())
    """Why newer files were skipped, one sentence each."""


def digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """SHA-256 over names, shapes, types, bytes and facts; equal exactly when all of them are equal."""
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
    """Inverse of `encode`, verified; errors name `path`.

    Raises:
        WeightsError: the data is truncated or damaged.
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
    if stored != digest(tensors, facts) and stored != _digest_of_older_checkpoints(
        tensors, metadata["facts"]
    ):
        raise WeightsError(f"{path} is damaged: its checksum differs.", remedy=_RESTORE)
    return Loaded(tensors=tensors, facts=facts)


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Atomically and durably replace `path` with these tensors.

    Raises:
        DiskFullError: no space; the old file is intact.
    """
    make_folder(path.parent)
    with full_disk_named("weights", path):
        Disk().replace(path, encode(tensors, facts))


def read(path: Path) -> Loaded:
    """Read and verify a file written by `write`.

    Raises:
        WeightsError: the file is missing, truncated or damaged.
    """
    try:
        data = read_whole(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error}).", remedy=_RESTORE) from error
    return decode(data, path)


def read_whole(path: Path) -> bytes:
    """A tensor file's bytes, if there are as many as its list of tensors says: `decode` verifies them.

    Raises:
        WeightsError: it is shorter or longer. OSError.
    """
    with open_own(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            begin = file.read(8)
            length = struct.unpack("<Q", begin)[0]
            if length > _LIST:
                raise ValueError(f"its list of tensors would have {length} bytes")
            listed = file.read(length)
            tensors = [facts for name, facts in from_json(listed).items() if name != "__metadata__"]
            end = 8 + length + max((int(facts["data_offsets"][1]) for facts in tensors), default=0)
            if end != size:
                raise ValueError(f"{size} bytes instead of {end}")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
            raise WeightsError(f"{path} is damaged ({error}).", remedy=_RESTORE) from error
        return begin + listed + file.read()


def _digest_of_older_checkpoints(tensors: Mapping[str, Tensor], facts: str) -> str:
    """The digest that steering checkpoints of earlier versions carry."""
    sha = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def write_numbered(
    folder: Path, ordinal: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write ``state-<ordinal>``; once it is safely on disk, delete all but the newest `KEPT` files."""
    write(folder / f"state-{ordinal:09d}.safetensors", tensors, facts)
    for old in numbered(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def read_newest(folder: Path) -> Loaded | None:
    """The newest undamaged numbered file, with reasons for those skipped; None if there is none."""
    refused: list[str] = []
    for path in reversed(numbered(folder)):
        try:
            loaded = read(path)
        except WeightsError as error:
            refused.append(f"{error} The previous state is used.")
        else:
            return Loaded(tensors=loaded.tensors, facts=loaded.facts, refused=tuple(refused))
    return None


def numbered(folder: Path) -> list[Path]:
    """The numbered files of a folder, oldest first."""
    return sorted(folder.glob("state-*.safetensors"))
