"""A small session with recordings to look at: two demonstrations, three online episodes, one leftover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.settings import Settings
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from station.session.folder import SessionFolder

SPEC = DataSpec(
    cameras=(CameraSpec(name="third", height=8, width=8),),
    proprioception=("joint_1", "gripper"),
    action=ActionSpec(),
    control_hz=10.0,
)
STEPS = 20


class TinyTask(Settings):
    name: str = "tiny"


def episode(name: str, kind: EpisodeKind, ordinal: int, *, days_ago: int = 0) -> Episode:
    """Frame number n is an image of brightness 10 n."""
    frames = np.arange(STEPS + 1)
    return Episode(
        header=EpisodeHeader(
            id=name,
            kind=kind,
            ordinal=ordinal,
            spec=SPEC,
            ending=Ending.RECORDED if kind is EpisodeKind.DEMO else Ending.OPERATOR,
            created=(datetime.now(UTC) - timedelta(days=days_ago)).isoformat(),
        ),
        images={
            "third": np.broadcast_to((10 * frames)[:, None, None, None], (STEPS + 1, 8, 8, 3)).astype(
                np.uint8
            )
        },
        proprioception=np.stack([frames / 10, frames / STEPS], axis=1).astype(np.float32),
        observation_time=100 + frames / 10,
        action=np.tile(frames[:-1, None] / 100, (1, 7)).astype(np.float32),
        sent=np.tile(frames[:-1, None] / 100, (1, 7)).astype(np.float32),
        command_time=100 + frames[:-1] / 10,
    )


def recorded(path: Path) -> SessionFolder:
    """The session; online-000001 is a failure of five days ago, online-000002 one of today."""
    folder = SessionFolder.create(path, TinyTask(), task_name="tiny", seed=0)
    demos, online = EpisodeStore(folder.demos, writable=True), EpisodeStore(folder.episodes, writable=True)
    journal = Journal(folder.journal, writable=True)
    rows = [
        (demos, episode("demo-a", EpisodeKind.DEMO, 0), Outcome.SUCCESS),
        (demos, episode("demo-b", EpisodeKind.DEMO, 1), None),
        (online, episode("online-000000", EpisodeKind.ONLINE, 0), Outcome.SUCCESS),
        (online, episode("online-000001", EpisodeKind.ONLINE, 1, days_ago=5), Outcome.FAILURE),
        (online, episode("online-000002", EpisodeKind.ONLINE, 2), Outcome.FAILURE),
    ]
    for store, one, outcome in rows:
        store.commit(one)
        journal.append(EpisodeCommitted.of(one))
        if outcome is not None:
            journal.append(Labelled(episode=one.header.id, outcome=outcome, by="operator"))
    leave_partial(folder, "online-000003-20261120T120000", pieces=2)
    return folder


def leave_partial(folder: SessionFolder, name: str, *, pieces: int) -> Path:
    """What a killed engine had flushed, five steps a piece."""
    root = folder.partial / name
    root.mkdir(parents=True)
    whole = episode(name, EpisodeKind.ONLINE, 3)
    for piece in range(pieces):
        rows = slice(5 * piece, 5 * piece + 5)
        arrays: dict[str, Any] = {
            "proprioception": whole.proprioception[rows],
            "observation_time": whole.observation_time[rows],
            "action": whole.action[rows],
            "sent": whole.sent[rows],
            "command_time": whole.command_time[rows],
            "images.third": whole.images["third"][rows],
        }
        np.savez(root / f"steps-{rows.start:06d}.npz", **arrays)
    return root
