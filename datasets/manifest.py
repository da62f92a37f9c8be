"""The manifest: exact contents of an episode's folder, and detection of damage.

zarr reads a missing chunk as zeros and, without a checksum codec, a flipped bit as data; the manifest detects both.
Sizes are cheap to check and are checked on every opening for writing; checksums on demand.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from datasets.own_files import open_own, read_bytes
from datasets.plain_text import from_json

MANIFEST = "MANIFEST.json"
_SCHEMA = 1
_PIECE = 2**22


class Damage(StrEnum):
    """Kinds of damage to a file."""

    TORN = "torn"
    """The manifest itself is damaged and unreadable."""
    MISSING = "missing"
    ZERO_LENGTH = "zero-length"
    TRUNCATED = "truncated"
    """The size differs from the recorded one."""
    BIT_FLIPPED = "bit-flipped"
    """The size is right but the content is not."""
    UNREADABLE = "unreadable"
    """The operating system refused to read it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One damaged file of one episode."""

    episode: str
    file: str
    damage: Damage
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All files of an episode's folder except the manifest itself."""

    files: dict[str, tuple[int, int]]
    """relative path -> (size, CRC-32)"""
    steps: int
    chunks: int

    def to_bytes(self) -> bytes:
        """Inverse of `from_bytes`; includes its own checksum."""
        content = {"schema": _SCHEMA, "steps": self.steps, "chunks": self.chunks, "files": self.files}
        body = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return json.dumps({"crc": zlib.crc32(body.encode()), "manifest": body}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Inverse of `to_bytes`.

        Raises:
            ValueError, KeyError, TypeError: the bytes are not a complete manifest.
        """
        outer = from_json(data)
        if zlib.crc32(outer["manifest"].encode()) != outer["crc"]:
            raise ValueError("its checksum is wrong")
        content = from_json(outer["manifest"])
        if content["schema"] > _SCHEMA:
            raise ValueError(f"schema {content['schema']} is newer than this program knows ({_SCHEMA})")
        files = {_inside(name): (int(size), int(crc)) for name, (size, crc) in content["files"].items()}
        return cls(files=files, steps=int(content["steps"]), chunks=int(content["chunks"]))


def _inside(name: str) -> str:
    """Return the name if it refers to a file inside the folder. Raises ValueError otherwise."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"it lists {name}, which lies outside")
    return name


def manifest_of(files: Mapping[str, bytes], *, steps: int, chunks: int) -> Manifest:
    """The manifest of files that are about to be written."""
    return Manifest(
        files={name: (len(data), zlib.crc32(data)) for name, data in files.items()},
        steps=steps,
        chunks=chunks,
    )


def inspect_folder(folder: Path, *, full: bool) -> list[Fault]:
    """All faults of one episode's folder, by size and, with `full`, by content."""
    try:
        data = read_bytes(folder / MANIFEST)
        manifest = Manifest.from_bytes(data)
    except FileNotFoundError:
        return [Fault(episode=folder.name, file=MANIFEST, damage=Damage.MISSING)]
    except OSError as error:
        return [Fault(episode=folder.name, file=MANIFEST, damage=Damage.UNREADABLE, detail=str(error))]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        damage = Damage.TORN if data else Damage.ZERO_LENGTH
        return [Fault(episode=folder.name, file=MANIFEST, damage=damage, detail=str(error) if data else "")]
    faults = (_inspect_file(folder, name, *recorded, full) for name, recorded in manifest.files.items())
    return [fault for fault in (*faults, *_strays(folder)) if fault is not None]


def _strays(folder: Path) -> Iterator[Fault]:
    """Faults for links, pipes and the like, whose targets are not part of the recording."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            if not stat.S_ISDIR(kind := path.lstat().st_mode) and not stat.S_ISREG(kind):
                what = "a link" if stat.S_ISLNK(kind) else "no file"
                file = str(path.relative_to(folder))
                yield Fault(episode=folder.name, file=file, damage=Damage.UNREADABLE, detail=f"it is {what}")


def describe(faults: list[Fault]) -> str:
    """The faults, file by file, in one line."""
    return "; ".join(f"{fault.file} {words(fault)}" for fault in faults)


def words(fault: Fault) -> str:
    """The damage in words: ``truncated (100 bytes instead of 1475)``."""
    return f"{fault.damage} ({fault.detail})" if fault.detail else str(fault.damage)


def _inspect_file(folder: Path, name: str, size: int, crc: int, full: bool) -> Fault | None:
    def fault(damage: Damage, detail: str = "") -> Fault:
        return Fault(episode=folder.name, file=name, damage=damage, detail=detail)

    path = folder / name
    try:
        found = path.lstat().st_size
        if found != size:
            damage = Damage.ZERO_LENGTH if found == 0 else Damage.TRUNCATED
            return fault(damage, f"{found} bytes instead of {size}")
        if full and _crc(path) != crc:
            return fault(Damage.BIT_FLIPPED)
    except FileNotFoundError:
        return fault(Damage.MISSING)
    except OSError as error:
        return fault(Damage.UNREADABLE, str(error))
    return None


def _crc(path: Path) -> int:
    """CRC-32 of a regular file, read in blocks so that large files need little memory."""
    crc = 0
    with open_own(path, "rb") as file:
        while piece := file.read(_PIECE):
            crc = zlib.crc32(piece, crc)
    return crc
