"""A cache of a journal's ledger up to some line, so opening the journal reads only the lines after it.

``journal.index`` sits beside ``journal.jsonl``. It is used only if its own checksums hold and the journal still begins
with the same bytes as when it was written; otherwise, the whole journal is read. It holds nothing that is not in the
journal and may be deleted at any time.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from datasets.journal.ledger import INDEXED, ROW, Episodes, Ledger
from datasets.journal.lines import Places
from datasets.own_files import open_own
from datasets.plain_text import from_json

_FORMAT = 1
_PIECE = 1 << 20
_ROOM = 1 << 20
"""Bytes by which an unpacked index may exceed twice the size of its journal."""
_TABLES = [[word for word in words if word is not None] for words in INDEXED.values()]
"""The words behind a row's numbers, as the index names them."""
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    OverflowError,
    AttributeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise on damaged bytes."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """A journal's in-memory state after its first `end` bytes."""

    ledger: Ledger
    places: Places
    end: int
    """Bytes of the journal that the index covers."""
    crc: int
    """CRC-32 of those bytes."""


def save(index: Index) -> None:
    """Write it beside its journal. Failures are ignored: the index is only a cache."""
    journal, ledger, places = index.places.path, index.ledger, index.places
    facts = {
        "format": _FORMAT,
        "tables": _TABLES,
        "end": index.end,
        "crc": index.crc,
        "through": ledger.through,
        "orphans": ledger.orphans,
        "ops": places.ops,
        "words": ledger.episodes.words,
        "names": ledger.episodes.names,
    }
    partial = journal.with_name(f".{_path(journal).name}.partial")
    with suppress(OSError):
        try:
            with open_own(partial, "wb") as file:
                np.savez(
                    file,
                    facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
                    rows=ledger.episodes.rows,
                    offsets=np.array(places.offsets),
                    codes=np.array(places.codes),
                )
            partial.replace(_path(journal))
        finally:
            partial.unlink(missing_ok=True)


def load(journal: Path) -> Index | None:
    """The index beside a journal; None unless it is valid."""
    try:
        with (
            open_own(_path(journal), "rb") as data,
            np.load(data, allow_pickle=False) as file,
        ):
            _require_small(data, journal)
            facts = from_json(file["facts"].tobytes())
            rows, offsets, codes = file["rows"], file["offsets"], file["codes"]
        if facts["format"] != _FORMAT or facts["tables"] != _TABLES:
            return None
        if rows.dtype != ROW or len(offsets) != facts["through"]:
            return None
        if _crc(journal, facts["end"]) != facts["crc"]:
            return None
        _require_sense(facts, rows, offsets, codes)
        ledger = Ledger(
            through=facts["through"],
            episodes=Episodes(facts["names"], rows, facts["words"]),
            orphans=facts["orphans"],
        )
        places = Places(
            journal,
            offsets=offsets.astype(np.int64).tobytes(),
            codes=codes.astype(np.int16).tobytes(),
            ops=facts["ops"],
        )
    except _UNREADABLE:
        return None
    return Index(ledger=ledger, places=places, end=facts["end"], crc=facts["crc"])


def _require_small(data: BinaryIO, journal: Path) -> None:
    """Reject an index that unpacks to more than its journal could explain. Raises ValueError."""
    with zipfile.ZipFile(data) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _ROOM + 2 * journal.stat().st_size:
        raise ValueError("it is larger than its journal")


def _require_sense(facts: Any, rows: NDArray[Any], offsets: NDArray[Any], codes: NDArray[Any]) -> None:
    """Raises ValueError: the index refers to something that does not exist."""
    names, words, orphans = facts["names"], facts["words"], facts["orphans"]
    texts = set(map(type, (*names, *words, *facts["ops"]))) <= {str}
    sensible = (
        texts
        and len(set(names)) == len(names) == len(rows)
        and set(map(type, orphans)) <= {int}
        and len(codes) == len(offsets)
        and _within(offsets, facts["end"])
        and _within(codes, len(facts["ops"]))
        and _within(rows["by"], len(words))
        and all(_within(rows[name], len(words)) for name, words in INDEXED.items())
    )
    if not sensible:
        raise ValueError("it refers to something missing")


def _within(values: NDArray[Any], end: int) -> bool:
    return bool(((values >= 0) & (values < end)).all())


def _path(journal: Path) -> Path:
    return journal.with_suffix(".index")


def _crc(path: Path, size: int) -> int | None:
    """CRC-32 of the first `size` bytes; None if the file is shorter."""
    crc = 0
    with open_own(path, "rb") as file:
        while size > 0:
            piece = file.read(min(size, _PIECE))
            if not piece:
                return None
            crc, size = zlib.crc32(piece, crc), size - len(piece)
    return crc
