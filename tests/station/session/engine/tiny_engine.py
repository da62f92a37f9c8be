"""A session engine of fakes in its own process.

``python -m tests.station.session.engine.tiny_engine SESSION EPISODES``

With ``--slow-commits`` a file called committing lies in the session while an episode is on its way to the store.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from datasets.episode import Episode
from datasets.store import EpisodeStore
from station.session.engine.launch import serve
from station.session.engine.options import EngineOptions
from tests.station.session.fakes import make_parts


def main(path: Path, episodes: int, *, headless: bool = True) -> int:
    torch.set_num_threads(1)
    options = EngineOptions(headless=headless, autopilot=headless, mistakes=0.2, episodes=episodes)
    return serve(path, options, lambda folder, latch: make_parts(folder, 2, latch=latch))


def commit_slowly(path: Path, seconds: float = 0.3) -> None:
    """Long enough for a signal to fall into it."""
    commit, committing = EpisodeStore.commit, path / "committing"

    def slowly(store: EpisodeStore, episode: Episode) -> None:
        committing.touch()
        time.sleep(seconds)
        commit(store, episode)
        committing.unlink()

    setattr(EpisodeStore, "commit", slowly)  # noqa: B010 - a method that mypy will not have assigned


if __name__ == "__main__":
    if "--slow-commits" in sys.argv:
        commit_slowly(Path(sys.argv[1]))
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), headless="--attended" not in sys.argv))
