"""What a real cell has recorded of an episode that is not over: flushed chunk by chunk, for the case of a crash.

A simulated episode that is cut off is run again; a real one cannot be. Its flushed steps stay in ``partial/`` for
people to look at. They enter no counter and no replay, and go away when the episode is committed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from station.session.recorder import EpisodeRecorder


@dataclass(kw_only=True)
class _Open:
    folder: Path
    flushed: int = 0


class PartialLog:
    """The ``partial/`` folder of a session."""

    def __init__(self, root: Path) -> None:
        """Nothing is written before the first flush."""
        self._root = root
        self._open: dict[str, _Open] = {}

    def flush(self, episode: str, recorder: EpisodeRecorder) -> None:
        """Write the steps since the last flush; a disk that refuses them costs the copy, not the episode."""
        if episode not in self._open:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            self._open[episode] = _Open(folder=self._root / f"{episode}-{stamp}")
        known = self._open[episode]
        if recorder.steps == known.flushed:
            return
        try:
            known.folder.mkdir(parents=True, exist_ok=True)
            arrays: dict[str, Any] = recorder.steps_since(known.flushed)
            np.savez(known.folder / f"steps-{known.flushed:06d}.npz", **arrays)
        except OSError:
            return
        known.flushed = recorder.steps

    def committed(self, episode: str) -> None:
        """The store has it whole."""
        known = self._open.pop(episode, None)
        if known is not None:
            shutil.rmtree(known.folder, ignore_errors=True)
