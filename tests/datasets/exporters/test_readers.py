"""What other projects' own readers see in our exports: every action, label and length, and every image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.episode import Episode, Outcome
from datasets.exporters import exporter
from datasets.exporters.source import ExportSource
from tests.datasets.exporters.conftest import MakeSource, smooth
from tests.datasets.exporters.readers import environments
from tests.datasets.exporters.readers.environments import LEROBOT, ROBOMIMIC, ZARR_2, read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OUTCOMES = [Outcome.SUCCESS, Outcome.FAILURE, "void", None, Outcome.SUCCESS, *[Outcome.TIMEOUT] * 6]
CODEC_MEAN, CODEC_MOST = 3.0, 40
"""Grey values of 255 that an image may be off, on average and at its worst pixel."""


@pytest.fixture
def source(make_source: MakeSource) -> ExportSource:
    return make_source(OUTCOMES, change=smooth, steps=12)


def _all(source: ExportSource, field: str) -> NDArray[Any]:
    """A field of all episodes end to end; of observations, those on which an action was taken."""
    return np.concatenate([getattr(e, field)[: e.steps] for e in _episodes(source)])


def _images(source: ExportSource, camera: str, first: int = 0) -> NDArray[np.uint8]:
    return np.concatenate([e.images[camera][first : first + e.steps] for e in _episodes(source)])


def _episodes(source: ExportSource) -> list[Episode]:
    return [entry.load() for entry in source.entries]


def _lengths(source: ExportSource) -> list[int]:
    return [entry.steps for entry in source.entries]


def _on_last_steps(source: ExportSource) -> NDArray[np.bool_]:
    """True on the last step of each success."""
    return np.concatenate(
        [(np.arange(entry.steps) == entry.steps - 1) & entry.success for entry in source.entries]
    )


def _alike(seen: NDArray[np.uint8], recorded: NDArray[np.uint8]) -> None:
    assert seen.shape == recorded.shape
    difference = np.abs(seen.astype(int) - recorded)
    assert (difference.mean(), difference.max()) < (CODEC_MEAN, CODEC_MOST)
    # an image that was shifted by one step would be further off than the codec allows
    assert np.abs(seen[1:].astype(int) - recorded[:-1]).mean() > 2 * difference.mean()


@pytest.mark.parametrize("decoder", ["own", "pyav"])
def test_lerobots_dataset_gives_back_every_step(tmp_path: Path, source: ExportSource, decoder: str) -> None:
    for package in ("pyarrow", "av"):
        pytest.importorskip(package, reason="pip install 'station[formats]'")
    if decoder == "own" and environments.run(LEROBOT, "--own-decoder").returncode != 0:
        pytest.skip("LeRobot's own video decoder needs FFmpeg's libraries: apt-get install ffmpeg")
    out = tmp_path / "dataset"
    exporter("lerobot").export(source, out)
    seen = read(LEROBOT, out, decoder)
    assert int(seen["episodes"]) == len(source.entries)
    assert np.bincount(seen["episode_index"]).tolist() == _lengths(source)
    for column, field in (
        ("action", "action"),
        ("sent", "sent"),
        ("observation.state", "proprioception"),
        ("time.observation", "observation_time"),
        ("time.command", "command_time"),
    ):
        np.testing.assert_array_equal(seen[column], _all(source, field).astype(seen[column].dtype))
    np.testing.assert_array_equal(seen["next.success"], _on_last_steps(source))
    np.testing.assert_array_equal(seen["next.reward"], _on_last_steps(source))
    assert seen["next.done"].sum() == len(source.entries)
    np.testing.assert_array_equal(seen["index"], np.arange(source.steps))
    np.testing.assert_allclose(seen["timestamp"], seen["frame_index"] / 10.0, rtol=1e-6)
    assert set(seen["task"]) == {"Place the orange on the juicer"}
    assert {"action", "observation.state", "observation.images.third"} <= set(seen["stats"])
    for camera in ("third", "wrist"):
        _alike(seen[f"observation.images.{camera}"], _images(source, camera))
    np.testing.assert_array_equal(seen["window/action"][0], _episodes(source)[0].action[:3])
    assert seen["window/action_is_pad"][source.starts[1] - 1].tolist() == [False, True, True]
    _alike(seen["window/observation.images.wrist"][:, 1], _images(source, "wrist"))


def test_robomimics_dataset_gives_back_every_step_and_its_masks(tmp_path: Path, source: ExportSource) -> None:
    out = tmp_path / "dataset.hdf5"
    exporter("robomimic").export(source, out)
    seen = read(ROBOMIMIC, out, "third_image", "wrist_image")
    np.testing.assert_array_equal(seen["actions"], _all(source, "action"))
    np.testing.assert_array_equal(seen["obs/proprioception"], _all(source, "proprioception"))
    np.testing.assert_array_equal(seen["rewards"], _on_last_steps(source))
    last = np.flatnonzero(seen["dones"]) + 1
    assert np.diff([0, *last]).tolist() == _lengths(source)
    for camera in ("third", "wrist"):
        np.testing.assert_array_equal(seen[f"obs/{camera}_image"], _images(source, camera))
        np.testing.assert_array_equal(seen[f"next_obs/{camera}_image"], _images(source, camera, first=1))
    lengths = _lengths(source)
    assert seen["mask/valid"].tolist() == [1, lengths[9]]
    assert seen["mask/train"].tolist() == [9, sum(lengths) - lengths[9]]
    assert seen["mask/success"].tolist() == [2, lengths[0] + lengths[3]]
    np.testing.assert_array_equal(seen["window"], _episodes(source)[0].action[:3])


def test_zarr_2_gives_back_a_replay_buffer_with_every_step(tmp_path: Path, source: ExportSource) -> None:
    out = tmp_path / "dataset.zarr"
    exporter("diffusion-policy").export(source, out)
    seen = read(ZARR_2, out)
    assert np.diff([0, *seen["meta/episode_ends"]]).tolist() == _lengths(source)
    assert seen["meta/episode_ends"].dtype == np.int64
    assert seen["meta/success"].tolist() == [1, 0, -1, 1, 0, 0, 0, 0, 0, 0]
    for name in ("action", "sent", "proprioception", "observation_time", "command_time"):
        np.testing.assert_array_equal(seen[f"data/{name}"], _all(source, name))
    for camera in ("third", "wrist"):
        np.testing.assert_array_equal(seen[f"data/{camera}_image"], _images(source, camera))
        final = np.stack([episode.images[camera][-1] for episode in _episodes(source)])
        np.testing.assert_array_equal(seen[f"meta/final_{camera}_image"], final)
    assert str(seen["session"]) == "session"
