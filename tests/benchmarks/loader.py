"""Training windows per second: ours, a DataLoader over zarr, Diffusion Policy's way and LeRobot's, side by side.

One set of episodes, one machine, one run; on a busy machine believe the windows per second of processor::

    python -m tests.benchmarks.loader [--episodes 10] [--steps 300] [--size 128] [--seconds 5]

A window is 2 observations of 2 cameras and 16 actions; batches of 64, drawn at random. Ours hands out uint8 (cropping
and scaling happen on the device); Diffusion Policy's and LeRobot's datasets hand out float32, which is part of what
they cost. Diffusion Policy's way is written here anew from its layout: replay buffer in memory, one sample at a time,
padded, scaled, collated. LeRobot is the real package, in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.exporters import exporter
from datasets.exporters.source import gather
from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCommitted, Labelled
from datasets.randomness import stream
from datasets.spec import ActionSpec, CameraSpec, DataSpec
from datasets.store import EpisodeStore
from datasets.windows import TrainingWindows
from tests.datasets.exporters.readers import environments
from tests.datasets.exporters.readers.environments import LEROBOT_LOADER

N_OBS, HORIZON, BATCH = 2, 16, 64
NAMES = ("front_image", "wrist_image", "proprioception", "action")


class ZarrWindows(Dataset[dict[str, NDArray[Any]]]):
    """Reads each window from disk when it is asked for; one chunk per step, which suits that best."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root: Any = None
        self.ends: NDArray[np.int64] = np.asarray(zarr.open_group(path, mode="r")["meta/episode_ends"])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        if self.root is None:  # in the worker: open stores do not survive a fork
            self.root = zarr.open_group(self.path, mode="r")
        episode = int(np.searchsorted(self.ends, index, side="right"))
        first, end = int(self.ends[episode - 1]) if episode else 0, int(self.ends[episode])
        past, ahead = max(first, index - N_OBS + 1), min(end, index + HORIZON)
        window = {
            name: padded(self.root[f"data/{name}"][past : index + 1], N_OBS, left=True)
            for name in ("front_image", "wrist_image", "proprioception")
        }
        return window | {"action": padded(self.root["data/action"][index:ahead], HORIZON, left=False)}


class BufferWindows(Dataset[dict[str, torch.Tensor]]):
    """The whole replay buffer in memory; each sample is cut, padded and scaled by itself."""

    def __init__(self, path: Path) -> None:
        root: Any = zarr.open_group(path, mode="r")
        self.data = {name: np.asarray(root[f"data/{name}"][:]) for name in NAMES}
        ends = np.asarray(root["meta/episode_ends"])
        self.windows = list(buffer_windows(ends))

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        first, last, before, behind = self.windows[index]
        sample = {}
        for name, values in self.data.items():
            cut = values[first:last]
            sequence = np.zeros((N_OBS - 1 + HORIZON, *values.shape[1:]), values.dtype)
            sequence[before : before + len(cut)] = cut
            sequence[:before], sequence[len(sequence) - behind :] = cut[0], cut[-1]
            sample[name] = sequence
        images = {
            name: np.moveaxis(sample[name][:N_OBS], -1, 1).astype(np.float32) / 255
            for name in ("front_image", "wrist_image")
        }
        numbers = {"proprioception": sample["proprioception"][:N_OBS], "action": sample["action"]}
        return {name: torch.from_numpy(values) for name, values in {**images, **numbers}.items()}


def buffer_windows(ends: NDArray[np.int64]) -> Iterator[tuple[int, int, int, int]]:
    """First and last row of each window, and how many rows are repeated before and behind."""
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        for start in range(int(first) - N_OBS + 1, int(end) - N_OBS + 1):
            stop = start + N_OBS - 1 + HORIZON
            low, high = max(start, int(first)), min(stop, int(end))
            yield low, high, low - start, stop - high


def padded(values: NDArray[Any], length: int, *, left: bool) -> NDArray[Any]:
    missing = length - len(values)
    edge = np.repeat(values[:1] if left else values[-1:], missing, axis=0)
    return np.concatenate([edge, values] if left else [values, edge])


def make_store(root: Path, episodes: int, steps: int, size: int) -> EpisodeStore:
    spec = DataSpec(
        cameras=tuple(CameraSpec(name=name, height=size, width=size) for name in ("front", "wrist")),
        proprioception=tuple(f"joint_{number}" for number in range(1, 8)),
        action=ActionSpec(),
        control_hz=10.0,
    )
    store = EpisodeStore(root / "episodes", writable=True)
    journal = Journal(root / "journal.jsonl", writable=True)
    for ordinal in range(episodes):
        episode = make_episode(spec, ordinal, steps)
        store.commit(episode)
        journal.append(EpisodeCommitted.of(episode))
        journal.append(Labelled(episode=episode.header.id, outcome=Outcome.SUCCESS, by="operator"))
    return store


def make_episode(spec: DataSpec, ordinal: int, steps: int) -> Episode:
    """Moving waves under sensor noise: compresses about as badly as a camera's image."""
    rng = stream(0, "loader benchmark", ordinal)
    rows, columns = np.mgrid[: spec.cameras[0].height, : spec.cameras[0].width]
    images = {}
    for camera in spec.cameras:
        frames = np.empty((steps + 1, camera.height, camera.width, 3), np.uint8)
        for index in range(steps + 1):
            wave = 127 + 90 * np.sin(columns / 11 + index / 5) * np.cos(rows / 13 - index / 7)
            noise = rng.normal(0, 3, (camera.height, camera.width, 3))
            frames[index] = np.clip(wave[..., None] + noise, 0, 255)
        images[camera.name] = frames
    time_line = np.arange(steps + 1) * spec.dt
    return Episode(
        header=EpisodeHeader(
            id=f"demo-{ordinal:06d}",
            kind=EpisodeKind.DEMO,
            ordinal=ordinal,
            spec=spec,
            ending=Ending.RECORDED,
            created="2026-11-20T12:00:00+00:00",
        ),
        images=images,
        proprioception=rng.normal(size=(steps + 1, spec.proprioception_dim)).astype(np.float32),
        observation_time=np.asarray(time_line, np.float64),
        action=rng.normal(size=(steps, spec.da)).astype(np.float32),
        sent=rng.normal(size=(steps, spec.da)).astype(np.float32),
        command_time=np.asarray(time_line[:-1], np.float64),
    )


def write_by_frame(source: Path, target: Path) -> None:
    """A replay buffer's arrays again, each step in a chunk of its own."""
    given: Any = zarr.open_group(source, mode="r")
    root = zarr.open_group(target, mode="w", zarr_format=3)
    for name in (*(f"data/{name}" for name in NAMES), "meta/episode_ends"):
        values = np.asarray(given[name][:])
        chunks = (1, *values.shape[1:]) if name.endswith("_image") else values.shape
        array = root.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)
        array[...] = values


def rates(batches: Iterator[Any], seconds: float) -> tuple[float, float]:
    """Windows per second, and per second of this process's processor; without the first batch (start of workers)."""
    next(batches)
    begun, worked, count = time.perf_counter(), time.process_time(), 0
    for _ in batches:
        count += BATCH
        if time.perf_counter() - begun > seconds:
            break
    return count / (time.perf_counter() - begun), count / (time.process_time() - worked)


def ours(windows: TrainingWindows) -> Iterator[Any]:
    rng = stream(0, "loader benchmark rows")
    while True:
        yield windows.batch(rng.integers(len(windows), size=BATCH))


def torch_loader(dataset: Dataset[Any], workers: int) -> Iterator[Any]:
    while True:
        yield from DataLoader(
            dataset,
            batch_size=BATCH,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=False,
        )


def lerobot(dataset: Path, seconds: float, workers: int) -> str:
    numbers = (seconds, workers, N_OBS, HORIZON, BATCH)
    done = environments.run(LEROBOT_LOADER, str(dataset), *(str(number) for number in numbers))
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    wall, processor = json.loads(done.stdout.splitlines()[-1])
    return f"{wall:>8.0f} {f'{processor:.0f}' if not workers else '':>12}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    store = make_store(folder, options.episodes, options.steps, options.size)
    source = gather([store], Journal(folder / "journal.jsonl").ledger(), session="benchmark")
    exporter("diffusion-policy").export(source, folder / "buffer.zarr")
    exporter("lerobot").export(source, folder / "lerobot")
    print(f"{options.episodes} episodes of {options.steps} steps, 2 cameras of {options.size} px,")
    print(f"{N_OBS} observations, {HORIZON} actions, batch {BATCH}, load {os.getloadavg()[0]:.1f}\n")

    def report(what: str, batches: Iterator[Any], workers: int = 0) -> None:
        wall, processor = rates(batches, options.seconds)
        show(what, f"{wall:>8.0f} {f'{processor:.0f}' if not workers else '':>12}")

    print(f"{'':<58} windows/s  per CPU second")
    for what, limit in (("in memory", 2**62), ("mapped from a file", 0)):
        begun = time.perf_counter()
        windows = TrainingWindows.from_store(store, store.ids(), N_OBS, HORIZON, folder=folder, limit=limit)
        report(f"ours, uint8, {what} (ready in {time.perf_counter() - begun:.1f} s)", ours(windows))
    write_by_frame(folder / "buffer.zarr", folder / "frames.zarr")
    buffer = BufferWindows(folder / "buffer.zarr")
    for workers in (0, 2):
        streamed = torch_loader(ZarrWindows(folder / "frames.zarr"), workers)
        report(f"DataLoader over zarr, uint8, {workers} workers", streamed, workers)
    for workers in (0, 2):
        sampled = torch_loader(buffer, workers)
        report(f"Diffusion Policy's sampler, float32, {workers} workers", sampled, workers)
    for workers in (0, 2):
        show(
            f"LeRobot, from video, float32, {workers} workers",
            lerobot(folder / "lerobot", options.seconds, workers),
        )


def show(what: str, figures: str) -> None:
    print(f"{what:<58} {figures}", flush=True)


if __name__ == "__main__":
    main()
