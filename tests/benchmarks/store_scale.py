"""What does the number of episodes cost? Appending, opening, reading and memory at 10, 1,000 and 10,000 episodes.

    python -m tests.benchmarks.store_scale [--episodes 10 1000 10000] [--folder DIR]

Episodes are real ones with small images; those that only fill the store are written without waiting for the disk,
the measured ones are committed as always. Processor time is printed beside wall time: on a busy machine only the
former can be compared.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from datasets import zarr_codec
from datasets.durable import Disk
from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import (
    CheckpointSaved,
    EpisodeCommitted,
    Labelled,
    Noted,
    RoundOpened,
    UpdateBegun,
)
from datasets.manifest import MANIFEST, manifest_of
from datasets.selection import Where
from datasets.settings import Settings
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from datasets.verify import verify
from policy.replay import ReplayBuffer
from policy.steering.interface import RecordSpec
from station.review.catalogue import Catalogue
from station.session.core.state import Rules, Verdict
from station.session.engine.resume import state_of
from station.session.folder import SessionFolder
from station.session.status import count, tally
from station.tui.session_list import card

APPENDED = 10
STEPS, CHUNKS = 40, 5
_BIRTH = "2026-11-20T12:00:00+00:00"


class BenchTask(Settings):
    """A session needs a task."""

    name: str = "bench"


class _Hasty(Disk):
    """Leaves it to the system when bytes reach the disk."""

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def append(self, path: Path, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    def sync(self, folder: Path) -> None:
        pass


def episode(ordinal: int) -> Episode:
    """One online episode with two small cameras and the features of ZPRL."""
    spec = DataSpec(
        cameras=(
            CameraSpec(name="third", height=16, width=16),
            CameraSpec(name="wrist", height=16, width=16),
        ),
        proprioception=tuple(f"joint_{index}" for index in range(7)),
        action=ActionSpec(),
        control_hz=10.0,
    )
    rng = np.random.default_rng(0)
    return Episode(
        header=EpisodeHeader(
            id=f"online-{ordinal:06d}",
            kind=EpisodeKind.ONLINE,
            ordinal=ordinal,
            spec=spec,
            ending=Ending.EPISODE_LIMIT,
            created=_BIRTH,
            base_hash="base",
        ),
        images={
            camera.name: rng.integers(0, 255, (STEPS + 1, 16, 16, 3), dtype=np.uint8)
            for camera in spec.cameras
        },
        proprioception=rng.normal(size=(STEPS + 1, 7)).astype(np.float32),
        observation_time=np.arange(STEPS + 1) / 10,
        action=rng.normal(size=(STEPS, 7)).astype(np.float32),
        sent=rng.normal(size=(STEPS, 7)).astype(np.float32),
        command_time=np.arange(STEPS) / 10,
        chunk_start=np.arange(CHUNKS) * 8,
        chunk_length=np.full(CHUNKS, 8),
        features={name: np.zeros((CHUNKS + 1, 15), np.float32) for name in ("c", "mu", "logvar", "z")},
        decisions={"dz": np.zeros((CHUNKS, 15), np.float32)},
    )


RECORD = RecordSpec(features={"c": (15,), "z": (15,)}, decisions={"dz": (15,)})


def fill(folder: SessionFolder, first: int, end: int) -> None:
    """Episodes `first` .. `end`, each with the lines of a round and its update, written without waiting."""
    hasty = _Hasty()
    EpisodeStore(folder.episodes, writable=True)
    journal = Journal(folder.journal, writable=True, disk=hasty)
    model = episode(0)
    files = zarr_codec.encode(model)
    for ordinal in range(first, end):
        name = f"online-{ordinal:06d}"
        header = replace(model.header, id=name, ordinal=ordinal)
        own = files | {"zarr.json": _renamed(files["zarr.json"], name, ordinal)}
        own[MANIFEST] = manifest_of(own, steps=STEPS, chunks=CHUNKS).to_bytes()
        for path, data in own.items():
            place = folder.episodes / "episodes" / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            hasty.write(place, data)
        kind, spent = EpisodeKind.ONLINE, {"moving": 4.1, "labelling": 1.2}
        journal.append(
            RoundOpened(
                phase="rollout", kind=kind, first=ordinal, layout=ordinal, size=1, batch=1, spent=spent
            )
        )
        journal.append(EpisodeCommitted.of(replace(model, header=header)))
        outcome = Outcome.SUCCESS if ordinal % 3 else Outcome.FAILURE
        journal.append(Labelled(episode=name, outcome=outcome, by="operator"))
        journal.append(UpdateBegun(ordinal=ordinal, through=journal.last_seq, steps=20))
        journal.append(CheckpointSaved(update=ordinal + 1, policy_version=ordinal + 1, steps=20 * ordinal))


def _renamed(data: bytes, name: str, ordinal: int) -> bytes:
    return data.replace(b'"online-000000"', f'"{name}"'.encode()).replace(
        b'"ordinal": 0', f'"ordinal": {ordinal}'.encode()
    )


@contextmanager
def measured(what: str, per: int = 1) -> Iterator[None]:
    """Print processor and wall time of the block, per one of `per`."""
    wall, processor = time.perf_counter(), time.process_time()
    yield
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    print(f"  {what:<44} {1e3 * processor / per:10.2f} ms cpu {1e3 * wall / per:10.2f} ms", flush=True)


def measure(folder: SessionFolder, episodes: int) -> None:
    """Everything that may depend on how many there are."""
    with measured("open the journal"):
        journal = Journal(folder.journal, writable=True)
    with measured("open the store for writing and sweep it"):
        store = EpisodeStore(folder.episodes, writable=True)
        store.sweep(journal.ledger())
    with measured("open the journal without its index"):
        Journal(folder.journal, whole=True)
    new = [episode(episodes + index) for index in range(APPENDED)]
    with measured("append an episode and its two lines", APPENDED):
        for one in new:
            store.commit(one)
            journal.append(EpisodeCommitted.of(one))
            journal.append(Labelled(episode=one.header.id, outcome=Outcome.SUCCESS, by="operator"))
    with measured("append a journal line", APPENDED):
        for _ in range(APPENDED):
            journal.append(Noted(text="a remark"))
    with measured("read one episode", APPENDED):
        for one in new:
            store.load(one.header.id)
    replay = ReplayBuffer(RECORD, base_hash="base")
    ledger = journal.ledger()
    with measured("rebuild the replay"):
        replay.sync(ledger, store.chunks)
    with measured("follow the journal when nothing is new"):
        replay.sync(journal.ledger(), store.chunks)
    with measured("the machine's state"):
        state = state_of(ledger, Rules(), blocks_done=0, policy_version=0, now=0.0)
    with measured("what every tick asks of it", 100):
        for _ in range(100):
            assert not state.pending and not state.open_slots
    with measured("enter and label an episode in it"):
        verdict = Verdict(kind=EpisodeKind.ONLINE, chunks=CHUNKS)
        state.verdicts.having("a", verdict).having("a", replace(verdict, outcome=Outcome.SUCCESS))
    with measured("count for the screen"):
        counts = tally(ledger, rolling_window=50)
    print(f"  {'counts as the screen gets them':<44} {len(pickle.dumps(counts)) / 1e3:10.2f} kB")
    with measured("station status"):
        count(folder)
    with measured("a row of the home screen"):
        card(folder.path)
    catalogue = Catalogue(folder)
    with measured("review: the list"):
        catalogue.items()
    with measured("review: 'failure and date>=yesterday', first"):
        catalogue.items(Where.parse("failure and date>=yesterday"))
    with measured("verify, every byte"):
        report = verify([EpisodeStore(folder.episodes)], folder.journal)
    assert report.ok and len(report.stores[0].sound) == episodes + APPENDED == counts.episodes
    assert len(replay.entries) == episodes + APPENDED


_MEMORY: dict[str, str] = {
    "journal": "[Journal(folder.journal)]",
    "journal and swept store": "[j := Journal(folder.journal), s := EpisodeStore(folder.episodes, writable=True), "
    "s.sweep(j.ledger())]",
}


def memory(folder: SessionFolder, opening: str) -> float:
    """MB that a fresh process needs more once it has opened these."""
    program = (
        "import sys, psutil; from pathlib import Path; from datasets.store import EpisodeStore;"
        "from datasets.journal.journal import Journal; from station.session.folder import SessionFolder;"
        f"folder = SessionFolder.open(Path({str(folder.path)!r})); me = psutil.Process();"
        f"before = me.memory_info().rss; kept = {opening}; print(me.memory_info().rss - before)"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(child.stdout) / 1e6


def main() -> None:
    """Fill, measure, fill on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, nargs="+", default=[10, 1000, 10000])
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=options.folder)) / "scale"
    folder = SessionFolder.create(place, BenchTask(), task_name="bench", seed=0)
    print(f"{place.parent}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
    filled = 0
    try:
        for episodes in options.episodes:
            fill(folder, filled, episodes)
            filled = episodes + APPENDED
            print(f"{episodes} episodes", flush=True)
            measure(folder, episodes)
            for what, opening in _MEMORY.items():
                print(f"  memory of {what:<34} {memory(folder, opening):10.1f} MB", flush=True)
    finally:
        shutil.rmtree(place.parent)


if __name__ == "__main__":
    main()
