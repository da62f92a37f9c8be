"""Named tensors on disk: written whole or not at all, with a digest that a damaged file cannot pass.

Knows no network; the base policy and its training keep their state through it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from datasets.durable import Disk, full_disk_named
from datasets.own_files import make_folder, open_own
from datasets.plain_text import from_json

KEPT = 2
"""Numbered files that stay: the newest, and the one before in case the newest is damaged."""


class WeightsError(Exception):
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


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace `path` by these tensors, durably.

    Raises:
        DiskFullError: there is no room; the old file still stands.
    """
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"facts": json.dumps(facts, sort_keys=True), "digest": digest(copies, facts)}
    make_folder(path.parent)
    with full_disk_named("weights", path):
        Disk().replace(path, to_bytes(copies, metadata))


def read(path: Path) -> Loaded:
    """Read and check a file of `write`.

    Raises:
        WeightsError: it is missing, cut off, or not what was written.
    """
    try:
        open_own(path, "rb").close()  # a pipe would be waited for
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
        facts = from_json(metadata["facts"])
        stored = metadata["digest"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise WeightsError(
            f"{path} cannot be read ({error}). Restore it from a copy or train anew."
        ) from error
    if digest(tensors, facts) != stored:
        raise WeightsError(f"{path} is damaged: its checksum differs. Restore it from a copy or train anew.")
    return Loaded(tensors=tensors, facts=facts)


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
