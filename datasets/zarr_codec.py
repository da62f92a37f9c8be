"""Encoding of an episode as the files of a zarr v3 group, and decoding.

Each array is one chunk, so it is read whole in one disk access; every chunk ends in a CRC-32C. The group's attributes
hold the header. The store handles manifest, commit and quarantine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, MemoryStore

from datasets.episode import Episode, EpisodeHeader
from datasets.image_memory import free_memory
from datasets.observation import FloatArray
from datasets.plain_text import from_json

SCHEMA = 1

_PLAIN = (
    "proprioception",
    "observation_time",
    "action",
    "sent",
    "command_time",
    "chunk_start",
    "chunk_length",
)
_CODECS = {BytesCodec, ZstdCodec, Crc32cCodec}
"""The codecs that `encode` uses; any other codec named by a foreign file is refused."""
_GROUPS = ("images", "features", "decisions")


@dataclass(frozen=True, kw_only=True)
class ChunkRecord:
    """An episode's decisions and features, without images; the input of a replay."""

    header: EpisodeHeader
    steps: int
    """T"""
    chunk_start: NDArray[np.int64]
    """[K] step of each decision."""
    chunk_length: NDArray[np.int64]
    """[K] executed steps of each chunk."""
    features: dict[str, FloatArray]
    """[K+1, ...]"""
    decisions: dict[str, FloatArray]
    """[K, ...]"""


def encode(episode: Episode) -> dict[str, bytes]:
    """relative path -> content, for every file of the group."""
    files: dict[str, Buffer] = {}
    attributes = {
        "schema": SCHEMA,
        "header": episode.header.to_json(),
        "steps": episode.steps,
        "chunks": episode.chunks,
        **{group: list(getattr(episode, group)) for group in _GROUPS},
    }
    root = zarr.create_group(store=MemoryStore(files), zarr_format=3, attributes=attributes)
    for name in _PLAIN:
        _add(root, name, getattr(episode, name))
    for group in _GROUPS:
        for name, values in getattr(episode, group).items():
            _add(root, f"{group}/{name}", values, compress=group == "images")
    return {name: buffer.to_bytes() for name, buffer in files.items()}


def decode(folder: Path) -> Episode:
    """The whole episode in a group's folder.

    Raises:
        OSError, KeyError, ValueError, TypeError, RuntimeError: the folder does not hold a complete episode.
    """
    root = _open(folder)
    fields: dict[str, Any] = {name: _array(root, name) for name in _PLAIN}
    fields.update({group: _read(root, group) for group in _GROUPS})
    return Episode(header=_header(root), **fields)


def decode_chunks(read: Callable[[str], bytes]) -> ChunkRecord:
    """The chunk record alone, without reading images or trajectories.

    `read` returns the verified bytes of a file of the group. Rebuilding a replay reads every episode, and zarr itself
    would be ten times slower on these small files, so only the plain layout written by `encode` is supported.

    Raises:
        OSError, KeyError, ValueError, TypeError: the files do not hold a chunk record.
    """
    attributes = from_json(read("zarr.json"))["attributes"]
    _check_schema(attributes["schema"])
    return ChunkRecord(
        header=EpisodeHeader.from_json(attributes["header"]),
        steps=int(attributes["steps"]),
        chunk_start=_plain(read, "chunk_start"),
        chunk_length=_plain(read, "chunk_length"),
        features={name: _plain(read, f"features/{name}") for name in attributes["features"]},
        decisions={name: _plain(read, f"decisions/{name}") for name in attributes["decisions"]},
    )


def _plain(read: Callable[[str], bytes], name: str) -> NDArray[Any]:
    """An array stored as one uncompressed chunk; the last four bytes are zarr's checksum."""
    facts = from_json(read(f"{name}/zarr.json"))
    shape, kind = tuple(facts["shape"]), np.dtype(facts["data_type"]).newbyteorder("<")
    codecs = [codec["name"] for codec in facts["codecs"]]
    if codecs != ["bytes", "crc32c"] or facts["codecs"][0].get("configuration") != {"endian": "little"}:
        raise ValueError(f"'{name}' is stored as {codecs}, which is not the layout of a chunk record")
    if 0 in shape:
        return np.zeros(shape, kind.newbyteorder("="))
    data = read(f"{name}/{'.'.join(['c', *('0' for _ in shape)])}")
    return np.frombuffer(data[:-4], kind).reshape(shape).astype(kind.newbyteorder("="))


def _check_schema(schema: object) -> None:
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"its layout {schema} is newer than this program knows ({SCHEMA})")


def _add(root: zarr.Group, name: str, values: NDArray[Any], *, compress: bool = False) -> None:
    array = root.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=tuple(max(1, size) for size in values.shape),
        compressors=[ZstdCodec(level=1), Crc32cCodec()] if compress else [Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        # write chunks of zeros too, so a missing file always means damage
        config={"write_empty_chunks": True},
    )
    array[...] = values


def _open(folder: Path) -> zarr.Group:
    root = zarr.open_group(LocalStore(folder, read_only=True), mode="r", zarr_format=3)
    _check_schema(root.attrs["schema"])
    return root


def _header(root: zarr.Group) -> EpisodeHeader:
    header: Any = root.attrs["header"]
    return EpisodeHeader.from_json(header)


def _read(root: zarr.Group, group: str) -> dict[str, Any]:
    """All arrays of a group, in the episode's original order."""
    names: Any = root.attrs[group]
    return {name: _array(root, f"{group}/{name}") for name in names}


def _array(root: zarr.Group, name: str) -> NDArray[Any]:
    array = root[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"'{name}' is no array")
    codecs = {type(codec) for codec in getattr(array.metadata, "codecs", ())}
    if not codecs <= _CODECS or array.dtype.kind not in "biuf":
        raise ValueError(f"'{name}' is not stored as this station stores arrays of numbers")
    # zarr allocates the declared size before reading, and fills missing chunks with zeros
    if array.chunks != tuple(max(1, size) for size in array.shape):
        raise ValueError(f"'{name}' is stored in other pieces than the station's one")
    if array.nbytes > free_memory():
        raise ValueError(f"'{name}' claims {array.nbytes / 2**30:.1f} GiB, more than there is memory")
    return np.asarray(array[...])
