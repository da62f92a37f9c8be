"""A LeRobotDataset v3.0: numbers as parquet, images as H.264 video, many episodes per file.

Columns: observation.state [proprioception_dim], action [da], sent [da], next.reward, next.done, next.success and the
five standard ones. ``timestamp`` is frame_index / fps, because readers look up images by it; the true times are in
``time.observation`` and ``time.command``. ``meta/final.parquet`` holds the observation after each last action,
``meta/station.json`` the metadata this project needs. Video compression is slightly lossy; latents and features are not
exported. Needs pyarrow and PyAV.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from datasets.episode import Episode
from datasets.exporters import lerobot_tables as tables
from datasets.exporters import statistics, video
from datasets.exporters.error import ExportError
from datasets.exporters.interface import Exporter
from datasets.exporters.lerobot_tables import Placed
from datasets.exporters.source import ExportSource
from datasets.exporters.staging import Workplace, whole

if TYPE_CHECKING:
    from datasets.observation import Image

_VIDEO_MB = 200
"""Maximum size of a video file, as in other tools."""


class LeRobotExporter(Exporter):
    """LeRobotDataset v3.0."""

    name: ClassVar[str] = "lerobot"
    description: ClassVar[str] = "a LeRobotDataset v3.0 folder: parquet, H.264 video, statistics"
    single: ClassVar[bool] = False
    front_matter: ClassVar[str] = (
        "tags:\n- LeRobot\nconfigs:\n- config_name: default\n  data_files: data/*/*.parquet\n"
    )
    reading: ClassVar[str] = """```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset
LeRobotDataset("local/{name}", root="{name}", delta_timestamps={{"action": [0.0]}})
```

`timestamp` is the frame index divided by the rate; the true times are `time.observation` and `time.command`."""

    def check(self, source: ExportSource) -> None:
        """Require the packages and a single spec."""
        missing = [name for name in ("pyarrow", "av") if importlib.util.find_spec(name) is None]
        if missing:
            raise ExportError(
                f"The LeRobot format needs {' and '.join(missing)}: pip install 'station[formats]'."
            )
        super().check(source)

    def add(self, work: Workplace, source: ExportSource, index: int) -> None:
        """Encode one episode's videos and write its rows."""
        entry, episode = source.entries[index], source.entries[index].load()
        with whole(work.part(index)) as part:
            part.mkdir(parents=True)
            for camera, frames in episode.images.items():
                video.encode(frames[: episode.steps], part / f"{camera}.mp4", _rate(source))
            _save_histograms(part / "histograms.npz", episode)
            rows = tables.rows(episode, index, source.starts[index], success=entry.success)
            tables.write(part / "data.parquet", rows, tables.schema(source.spec))
            final = _final(episode, index)
            tables.write(part / "final.parquet", final, tables.final_schema(source.spec))

    def finish(self, work: Workplace, source: ExportSource) -> None:
        """Join clips and tables, and write their metadata."""
        shutil.rmtree(work.payload, ignore_errors=True)
        parts = [work.part(index) for index in range(len(source.entries))]
        placed = {
            tables.image_key(camera.name): _join_videos(work.payload, parts, camera.name, source)
            for camera in source.spec.cameras
        }
        placed["data"] = tables.join(
            work.payload / "data", [part / "data.parquet" for part in parts], tables.schema(source.spec)
        )
        tables.join_into(
            work.payload / "meta" / "final.parquet",
            [part / "final.parquet" for part in parts],
            tables.final_schema(source.spec),
        )
        tables.write_meta(work.payload, source, placed, [part / "histograms.npz" for part in parts])
        episodes = [entry.to_json() for entry in source.entries]
        facts = json.dumps({**source.to_json(), "episodes": episodes}, indent=1)
        (work.payload / "meta" / "station.json").write_text(facts)


def _rate(source: ExportSource) -> Fraction:
    return Fraction(source.spec.control_hz).limit_denominator(1001)


def _save_histograms(path: Path, episode: Episode) -> None:
    counts: dict[str, Any] = {
        camera: statistics.histogram(frames[: episode.steps]) for camera, frames in episode.images.items()
    }
    np.savez(path, **counts)


def _final(episode: Episode, index: int) -> dict[str, Any]:
    """The last observation, with images as PNG, because a single frame can be stored losslessly."""
    return {
        "episode_index": [index],
        "observation.state": [episode.proprioception[-1].tolist()],
        "time.observation": [float(episode.observation_time[-1])],
        **{tables.image_key(camera): [_png(frames[-1])] for camera, frames in episode.images.items()},
    }


def _png(image: Image) -> bytes:
    written, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not written:
        raise ExportError("An image could not be written as PNG.")
    return data.tobytes()


def _join_videos(payload: Path, parts: list[Path], camera: str, source: ExportSource) -> list[Placed]:
    """Join clips into files below the maximum size; returns where each episode begins in its file."""
    clips = [part / f"{camera}.mp4" for part in parts]
    rate = _rate(source)
    groups = tables.groups([clip.stat().st_size for clip in clips], _VIDEO_MB * 2**20)
    placed: list[Placed] = []
    for number, members in enumerate(groups):
        where = tables.place(number)
        path = payload / "videos" / tables.image_key(camera) / where.path(".mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        video.join([clips[member] for member in members], path, rate)
        first = source.starts[members[0]]
        placed += [
            tables.place(number, begin=float((source.starts[member] - first) / rate)) for member in members
        ]
    return placed
