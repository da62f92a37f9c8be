"""A store that takes its time, so that kills and signals fall into commits; the station itself has no such switch."""

from __future__ import annotations

import time

import numpy as np

from datasets.episode import Episode
from datasets.store import EpisodeStore


def slow_down(seconds: float) -> None:
    """Let every commit of this process wait, `seconds` in the mean, now before and now after it reached the disk."""
    commit, rng = EpisodeStore.commit, np.random.default_rng()

    def slowly(store: EpisodeStore, episode: Episode) -> None:
        before = rng.random() < 0.5
        delay = float(rng.uniform(0.0, 2.0 * seconds))
        time.sleep(delay if before else 0.0)
        commit(store, episode)
        time.sleep(0.0 if before else delay)

    setattr(EpisodeStore, "commit", slowly)  # noqa: B010 - a method that mypy will not have assigned
