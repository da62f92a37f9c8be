"""A small store with labels, and what exporters make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.episode import Episode, Outcome
from datasets.exporters.source import ExportSource, gather
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled, Voided
from datasets.selection import Where
from datasets.store import EpisodeStore
from tests.datasets.conftest import MakeEpisode

MakeSource = Callable[..., ExportSource]


def content(path: Path) -> dict[str, bytes]:
    """Every file but the card, which says when it was written; of videos only that they are there.

    One in hundreds of encodings of the same images, as narrow as those of tests, has other bytes.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {
        str(file.relative_to(path)): b"a video" if file.suffix == ".mp4" else file.read_bytes()
        for file in files
        if file.name not in ("README.md", "journal.jsonl")
    }


def smooth(episode: Episode) -> Episode:
    """The same with images as cameras see them: neighbours are alike, so a video codec loses little."""
    images = {}
    for camera in episode.header.spec.cameras:
        rows, columns = np.mgrid[: camera.height, : camera.width]
        time = np.arange(episode.steps + 1)[:, None, None] + episode.header.ordinal
        colours = [
            np.broadcast_to(127 + 100 * wave, (episode.steps + 1, camera.height, camera.width))
            for wave in (
                np.sin(columns / 19 + time / 5),
                np.cos(rows / 17 - time / 4),
                np.sin((rows + columns) / 23 + time / 3),
            )
        ]
        images[camera.name] = np.stack(colours, -1).astype(np.uint8)
    return replace(episode, images=images)


@pytest.fixture
def make_source(tmp_path: Path, make_episode: MakeEpisode) -> MakeSource:
    def make(
        outcomes: Sequence[Outcome | str | None] = (Outcome.SUCCESS,),
        *,
        where: str = "",
        change: Callable[[Episode], Episode] = lambda episode: episode,
        steps: int = 6,
        name: str = "session",
    ) -> ExportSource:
        store = EpisodeStore(tmp_path / name / "episodes", writable=True)
        journal = Journal(tmp_path / name / "journal.jsonl", writable=True)
        for ordinal, outcome in enumerate(outcomes):
            episode = change(make_episode(ordinal, steps=steps + ordinal))
            if episode.header.id not in store:
                store.commit(episode)
                journal.append(EpisodeCommitted.of(episode))
            if outcome == "void":
                journal.append(Voided(episode=episode.header.id, by="operator"))
            elif outcome is not None:
                journal.append(Labelled(episode=episode.header.id, outcome=Outcome(outcome), by="operator"))
        return gather(
            [store],
            journal.ledger(),
            where=Where.parse(where),
            session=name,
            instruction="Place the orange on the juicer",
        )

    return make
