"""The source of an export: selected episodes of some stores with their labels, loaded one at a time.

Nothing here writes; labels are a snapshot from when the source was gathered.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from datasets.episode import Episode, EpisodeHeader, Outcome
from datasets.exporters.error import ExportError
from datasets.journal.journal import EpisodeStatus, Ledger
from datasets.manifest import MANIFEST
from datasets.own_files import read_bytes
from datasets.selection import PENDING, Where, facts
from datasets.spec import DataSpec
from datasets.store import EpisodeStore

VERSION = 1
"""Version of the machine-readable metadata in every export."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One episode to export."""

    store: EpisodeStore
    header: EpisodeHeader
    status: EpisodeStatus
    steps: int

    @property
    def folder(self) -> Path:
        """Folder of its committed files."""
        return self.store.root / "episodes" / self.header.id

    @property
    def outcome(self) -> str:
        """The label's name, or "pending"."""
        return PENDING if self.status.outcome is None else self.status.outcome.value

    @property
    def success(self) -> bool:
        """Whether it is labelled a success."""
        return self.status.outcome is Outcome.SUCCESS

    def load(self) -> Episode:
        """All its arrays. Raises StoreError."""
        return self.store.load(self.header.id)

    def to_json(self) -> dict[str, Any]:
        """Its metadata, in plain JSON types."""
        return {
            "id": self.header.id,
            "kind": self.header.kind.value,
            "outcome": self.outcome,
            "steps": self.steps,
            "policy_version": self.header.policy_version,
            "method": self.header.method,
            "ending": self.header.ending.value,
            "created": self.header.created,
        }


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """Episodes in the order they are written, and their provenance."""

    entries: tuple[Entry, ...]
    session: str = ""
    """The session's name."""
    instruction: str = ""
    """Task instruction."""
    where: str = ""
    """The filter that selected the episodes; empty: all."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of episodes excluded, by reason: void, empty, not selected."""

    @property
    def steps(self) -> int:
        """Total steps of all episodes."""
        return sum(entry.steps for entry in self.entries)

    @cached_property
    def starts(self) -> list[int]:
        """For each episode, the number of steps before it in the export."""
        return [0, *accumulate(entry.steps for entry in self.entries)][:-1]

    @cached_property
    def spec(self) -> DataSpec:
        """The common spec of all episodes.

        Raises:
            ExportError: they were recorded under different specs.
        """
        first = self.entries[0].header
        for entry in self.entries:
            if entry.header.spec != first.spec:
                raise ExportError(
                    f"Episode {entry.header.id} has other cameras, proprioception, actions or rate than "
                    f"{first.id}. Export them apart (--where), or in the format 'zarr', which may mix them."
                )
        return first.spec

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of everything written: the episodes' bytes, labels and metadata."""
        sha = hashlib.sha256("\n".join((self.session, self.instruction, self.where)).encode())
        for entry in self.entries:
            manifest = read_bytes(entry.folder / MANIFEST)
            sha.update(f"\n{entry.header.id} {entry.outcome} {zlib.crc32(manifest)}".encode())
        return sha.hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The machine-readable metadata in every export."""
        return {
            "version": VERSION,
            "session": self.session,
            "instruction": self.instruction,
            "where": self.where,
            "fingerprint": self.fingerprint,
            "spec": self.spec.to_json(),
        }


def gather(
    stores: Sequence[EpisodeStore],
    ledger: Ledger,
    *,
    where: Where | None = None,
    session: str = "",
    instruction: str = "",
) -> ExportSource:
    """Every episode in the journal that is not void, has at least one step and matches `where`.

    Raises:
        ExportError: no episodes match. StoreError: a header cannot be read.
    """
    left_out: Counter[str] = Counter()
    entries = []
    for store in stores:
        for name in store.ids():
            status = ledger.episodes.get(name)
            if status is None:
                continue
            reason, entry = _judge(store, status, where)
            if entry is None:
                left_out[reason] += 1
            else:
                entries.append(entry)
    if not entries:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise ExportError(f"There is nothing to export: {why or 'the session has no episodes'}.")
    return ExportSource(
        entries=tuple(entries),
        session=session,
        instruction=instruction or session,
        where=where.text if where else "",
        left_out=left_out,
    )


def _judge(store: EpisodeStore, status: EpisodeStatus, where: Where | None) -> tuple[str, Entry | None]:
    """The reason an episode is excluded, or its entry."""
    if status.void:
        return "void", None
    if status.steps == 0:
        return "empty", None
    header = store.header(status.id)
    if where is not None and not where(facts(status, header)):
        return "not chosen", None
    return "", Entry(store=store, header=header, status=status, steps=status.steps)
