"""Safe reading of untrusted zarr stores (v2 or v3, folder or zip), and detection of rows that are not stored.

Arrays are opened only after their metadata passes a check: known codecs, plain numbers. zarr reads a missing chunk as
the fill value, whether its file was lost or its writer skipped a chunk that held nothing else (zarr 3 skips unless
``write_empty_chunks=True``, zarr 2 only with ``False``). Both cases look alike in the store.
"""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numcodecs.registry import register_codec
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.errors import BaseZarrError
from zarr.storage import LocalStore, ZipStore

from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.files.optional import needed
from datasets.importers.files.pointers import missing_content
from datasets.importers.interface import Unstored
from datasets.plain_text import from_json
from datasets.vr_recording import RecordingError

DESCRIPTION = "zarr.json"
"""Metadata file of every v3 group and array."""
_CODECS = (
    "blosc",
    "zlib",
    "gzip",
    "lz4",
    "zstd",
    "bz2",
    "lzma",
    "crc32",
    "delta",
    "shuffle",
    "fixedscaleoffset",
)
"""Allowed compressors and filters; others, such as pickle, can do more than decode numbers."""
_CODECS_OF_V3 = ("bytes", "blosc", "zstd", "gzip", "crc32c", "transpose", "sharding_indexed")
_JPEGXL = "imagecodecs_jpegxl"
_DAMAGE = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, AttributeError, SystemError,
    EOFError, NotImplementedError, RecursionError, zipfile.BadZipFile, BaseZarrError,
)  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[zarr.Group]:
    """Open a store's root group; whatever zarr raises on damage becomes a refusal.

    Raises:
        RefusedError: not zarr, damaged or truncated.
    """
    store = None
    try:
        store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
        yield zarr.open_group(store, mode="r", zarr_format=_version(path))
    except RecordingError:
        raise
    except _DAMAGE as error:
        raise missing_content(path) or RefusedError(
            Defect.UNREADABLE,
            f"unreadable, the zarr data are damaged or cut off; copy them again ({why(error)})",
        ) from error
    finally:
        if store is not None:
            # closing a zip that never opened raises a misleading error
            with suppress(AttributeError):
                store.close()


def _version(path: Path) -> Literal[2, 3]:
    """2, unless only v3 metadata is present."""
    if path.is_dir():
        found = {name for name in (".zgroup", DESCRIPTION) if (path / name).is_file()}
    else:
        with zipfile.ZipFile(path) as packed:
            found = set(packed.namelist())
    return 3 if ".zgroup" not in found and DESCRIPTION in found else 2


def array(root: zarr.Group, name: str) -> zarr.Array[Any]:
    """Open an array after checking its metadata.

    Raises:
        RefusedError: missing, or not plain numbers in known codecs.
    """
    _require_harmless(root, name)
    member = root.get(name)
    if not isinstance(member, zarr.Array):
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    return member


def dimensions(root: zarr.Group, name: str) -> int:
    """Number of dimensions of an array, from its metadata alone."""
    shape = _described(root, name).get("shape")
    return len(shape) if isinstance(shape, list) else 0


def names(root: zarr.Group, group: str) -> list[str]:
    """Names of a group's arrays, from the files present rather than from consolidated metadata."""

    async def listed() -> list[str]:
        return [name async for name in root.store.list_dir(group)]

    return [name for name in sync(listed()) if not name.startswith(".") and name != DESCRIPTION]


def unstored(root: zarr.Group, name: str, first: int, end: int) -> Unstored | None:
    """The missing part of the rows `first` to `end` of an array; None if all of it is stored.

    Raises:
        RefusedError: as `array`.
    """
    member = array(root, name)
    missing = _missing(root, member, name, first, end)
    if not missing:
        return None
    rows = _stretches([row for row, _ in missing], _height(member), first, end)
    shown = ", ".join(f"{start} to {stop - 1}" for start, stop in rows[:_MOST_NAMED])
    more = f" and {len(rows) - _MOST_NAMED} more stretches" if len(rows) > _MOST_NAMED else ""
    group, _, own = name.rpartition("/")
    is_lost = _writes_every_chunk(root, member, name)
    return Unstored(
        where=f"rows {shown}{more} of '{own}' are missing (there is no {missing[0][1]})",
        fill=f"{_fill(member):g}",
        is_lost=is_lost,
        evidence="" if is_lost else "; ".join(_evidence(root, group, own, rows[0], (first, end))),
    )


def _evidence(
    root: zarr.Group, group: str, own: str, rows: tuple[int, int], within: tuple[int, int]
) -> Iterator[str]:
    """Evidence for a loss: neighbouring rows with other values, and other columns that are complete."""
    member = array(root, f"{group}/{own}")
    beside = [row for row in (rows[0] - 1, rows[1]) if within[0] <= row < within[1]]
    if beside:
        values = np.asarray(member[beside[0]], np.float64).reshape(-1)[:_MOST_NAMED]
        if (values != _fill(member)).any():
            yield f"row {beside[0]} beside them says {', '.join(f'{value:.3g}' for value in values)}"
    for other in sorted(names(root, group)):
        with suppress(RefusedError):
            if other != own and dimensions(root, f"{group}/{other}") in (1, 2):
                found = array(root, f"{group}/{other}")
                if _writes_every_chunk(root, found, f"{group}/{other}"):
                    yield f"of '{other}' chunks of nothing but {_fill(found):g} are stored"
                    return


_MOST_NAMED = 3


def first_missing(root: zarr.Group, name: str, first: int, end: int) -> tuple[int, str] | None:
    """The first of the rows `first` to `end` that is not stored, and its missing file; None if all are stored.

    Raises:
        RefusedError: as `array`.
    """
    member = array(root, name)
    for row, file in _missing(root, member, name, first, end):
        return row * _height(member), file
    return None


def _missing(
    root: zarr.Group, member: zarr.Array[Any], name: str, first: int, end: int
) -> list[tuple[int, str]]:
    """Indices of chunk rows with missing files, each with the first such file."""
    if member.ndim == 0 or not member.size or first >= end:
        return []
    size = _height(member)
    found = []
    for row in range(first // size, -(-end // size)):
        lost = next((key for key, _ in _files(root, member, name, row) if not _is_stored(root, key)), None)
        if lost is not None:
            found.append((row, lost))
    return found


def _files(
    root: zarr.Group, member: zarr.Array[Any], name: str, row: int
) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """Each file of one row of chunks (or shards), with the slices of the array it holds."""
    sizes = tuple(int(size) for size in member.shards or member.chunks)
    before, separator = _chunk_names(root, name)
    across = [range(-(-length // size)) for length, size in zip(member.shape[1:], sizes[1:], strict=True)]
    for rest in itertools.product(*across):
        place = (row, *rest)
        held = tuple(slice(n * size, (n + 1) * size) for n, size in zip(place, sizes, strict=True))
        yield f"{name}/{before}{separator.join(map(str, place))}", held


def _height(member: zarr.Array[Any]) -> int:
    """Number of rows in one file."""
    return int((member.shards or member.chunks)[0])


def _stretches(rows: list[int], size: int, first: int, end: int) -> list[tuple[int, int]]:
    """Merge adjacent chunk rows into ranges of array rows, clipped to the requested range."""
    pieces = np.split(np.asarray(rows), np.flatnonzero(np.diff(rows) > 1) + 1)
    return [(max(first, int(piece[0]) * size), min(end, (int(piece[-1]) + 1) * size)) for piece in pieces]


def _is_stored(root: zarr.Group, key: str) -> bool:
    """Whether a file exists and is not empty; zarr treats an empty shard as missing."""
    if isinstance(root.store, LocalStore):
        try:
            return (root.store.root / key).stat().st_size > 0
        except OSError:
            return False
    start = sync(root.store.get(key, default_buffer_prototype(), RangeByteRequest(0, 1)))
    return start is not None and len(start) > 0


def _fill(member: zarr.Array[Any]) -> float:
    """The value zarr reads where a file is missing."""
    return float(np.asarray(0 if member.fill_value is None else member.fill_value).item())


def _writes_every_chunk(root: zarr.Group, member: zarr.Array[Any], name: str) -> bool:
    """Whether some stored file of an array holds nothing but the fill value.

    If so, its writer stores every chunk, and a missing one was lost.
    """
    if member.ndim == 0:
        return False
    rows = range(-(-member.shape[0] // _height(member)))
    files = itertools.chain.from_iterable(_files(root, member, name, row) for row in rows)
    for key, held in itertools.islice(files, _MOST_FILES):
        if _is_stored(root, key):
            values = np.asarray(member[held])
            # bitwise, as zarr compares: a chunk of negative zeros is never skipped
            if values.tobytes() == np.full_like(values, _fill(member)).tobytes():
                return True
    return False


_MOST_FILES = 4096
"""Maximum files of one array read to find out whether its writer skips chunks."""


def read_bytes(root: zarr.Group, name: str) -> bytes | None:
    """Raw bytes of a file in the store; None if it is missing."""
    buffer = sync(root.store.get(name, default_buffer_prototype()))
    return None if buffer is None else buffer.to_bytes()


def _described(root: zarr.Group, name: str) -> dict[str, Any]:
    """An array's own metadata; empty if there is none."""
    file = DESCRIPTION if root.metadata.zarr_format == 3 else ".zarray"
    facts = from_json(read_bytes(root, f"{name}/{file}") or b"{}")
    return facts if isinstance(facts, dict) else {}


def _chunk_names(root: zarr.Group, name: str) -> tuple[str, str]:
    """Prefix and separator of the indices in chunk file names."""
    facts = _described(root, name)
    if root.metadata.zarr_format == 2:
        return "", str(facts.get("dimension_separator", "."))
    encoding = facts.get("chunk_key_encoding", {})
    usual = "/" if encoding.get("name") == "default" else "."
    separator = str(encoding.get("configuration", {}).get("separator", usual))
    return (f"c{separator}" if encoding.get("name") == "default" else ""), separator


def _require_harmless(root: zarr.Group, name: str) -> None:
    """Check an array's metadata before any library acts on it."""
    if root.metadata.zarr_format == 3:
        _require_harmless_v3(root, name)
        return
    described = read_bytes(root, f"{name}/.zarray")
    if described is None:
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    facts = from_json(described)
    dtype = facts.get("dtype")
    if not isinstance(dtype, str) or dtype[1:2] not in "fiub" or not dtype[2:].isdigit():
        raise RefusedError(Defect.UNREADABLE, f"'{name}' holds {dtype}, no numbers")
    codecs = [facts.get("compressor"), *(facts.get("filters") or ())]
    for codec in codecs:
        if codec is not None and codec.get("id") == _JPEGXL:
            with needed("formats"):
                from imagecodecs.numcodecs import Jpegxl

                register_codec(Jpegxl)
        elif codec is not None and codec.get("id") not in _CODECS:
            raise RefusedError(
                Defect.UNREADABLE, f"'{name}' is packed with '{codec.get('id')}', which is not read"
            )


def _require_harmless_v3(root: zarr.Group, name: str) -> None:
    described = read_bytes(root, f"{name}/{DESCRIPTION}")
    if described is None:
        raise RefusedError(Defect.MISSING_MEMBER, f"'{name}' is missing")
    facts = from_json(described)
    dtype = facts.get("data_type")
    if not isinstance(dtype, str) or re.fullmatch(r"bool|(u?int|float)\d{1,2}", dtype) is None:
        raise RefusedError(Defect.UNREADABLE, f"'{name}' holds {dtype}, no numbers")
    for codec in _codecs_of_v3(facts):
        if codec not in _CODECS_OF_V3 and codec.removeprefix("numcodecs.") not in _CODECS:
            raise RefusedError(Defect.UNREADABLE, f"'{name}' is packed with '{codec}', which is not read")
    if facts.get("storage_transformers"):
        raise RefusedError(Defect.UNREADABLE, f"'{name}' is stored in a way that is not read")


def _codecs_of_v3(facts: dict[str, Any]) -> Iterator[str]:
    """Names of all codecs, including those inside shards."""
    for key in ("codecs", "index_codecs"):
        for codec in facts.get(key) or ():
            known = codec if isinstance(codec, dict) else {"name": codec}
            yield str(known.get("name"))
            inner = known.get("configuration")
            if isinstance(inner, dict):
                yield from _codecs_of_v3(inner)
