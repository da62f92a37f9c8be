"""The learner on disk: newest, previous and best, one file each, whole or absent.

Independent of the method. A file that fails its digest is skipped, never repaired.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch import Tensor

from datasets.durable import Disk, full_disk_named
from datasets.errors import StationError
from datasets.own_files import make_folder
from policy import weights

NEWEST, PREVIOUS, BEST = "newest", "previous", "best"


class CheckpointError(StationError):
    """A checkpoint that cannot be used; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """What a checkpoint belongs to."""

    method: str
    base_hash: str
    update: int
    """Update blocks done."""
    policy_version: int
    """Update blocks done that took at least one step."""
    steps: int
    """Gradient steps done."""


class Checkpoints:
    """The ``steering/`` folder of a session."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        """`folder` is created on the first save."""
        self.folder = folder
        self._disk = disk or Disk()

    def path(self, name: str) -> Path:
        """File of `newest`, `previous` or `best`."""
        return self.folder / f"{name}.safetensors"

    def save(self, state: Mapping[str, Tensor], facts: CheckpointFacts) -> None:
        """Write the new one, then let newest become previous; a crash anywhere leaves a whole newest or previous.

        Raises DiskFullError, having changed nothing.
        """
        make_folder(self.folder, parents=False)
        data = weights.encode(state, asdict(facts))
        newest, fresh = self.path(NEWEST), self.folder / ".fresh.partial"
        with full_disk_named("a checkpoint", self.folder):
            self._disk.write(fresh, data)
            if newest.exists():
                self._also_as(newest, PREVIOUS)
            fresh.replace(newest)
            self._disk.sync(self.folder)

    def mark_best(self) -> None:
        """The newest one is the best so far."""
        if self.path(NEWEST).exists():
            self._also_as(self.path(NEWEST), BEST)
            self._disk.sync(self.folder)

    def load(self, name: str) -> tuple[dict[str, Tensor], CheckpointFacts]:
        """One checkpoint. Raises CheckpointError, FileNotFoundError."""
        path = self.path(name)
        try:
            loaded = weights.decode(weights.read_whole(path), path)
            known = {field.name for field in fields(CheckpointFacts)}
            facts = CheckpointFacts(**{name: value for name, value in loaded.facts.items() if name in known})
        except (weights.WeightsError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged ({error}).") from error
        return loaded.tensors, facts

    def _also_as(self, path: Path, name: str) -> None:
        link = self.folder / f".{name}.link"
        link.unlink(missing_ok=True)
        os.link(path, link)
        link.replace(self.path(name))
