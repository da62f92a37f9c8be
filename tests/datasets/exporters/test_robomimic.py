"""What robomimic's reader expects of a file, looked at member by member."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from datasets.episode import Outcome
from datasets.exporters import exporter
from datasets.exporters.interface import ExportError, Labelled
from datasets.journal import Journal, episode_fields
from tests.datasets.conftest import MakeEpisode


def _labelled(
    tmp_path: Path, make_episode: MakeEpisode, outcomes: list[Outcome | str | None]
) -> list[Labelled]:
    journal = Journal(tmp_path / "journal.jsonl", writable=True)
    episodes = [make_episode(ordinal) for ordinal in range(len(outcomes))]
    for episode, outcome in zip(episodes, outcomes, strict=True):
        journal.append("episode", **episode_fields(episode))
        if outcome == "void":
            journal.append("void", episode=episode.header.id, by="operator")
        elif outcome is not None:
            journal.append("label", episode=episode.header.id, outcome=outcome, by="operator")
    statuses = journal.ledger().episodes
    return [(episode, statuses[episode.header.id]) for episode in episodes]


def test_the_file_has_robomimics_members_and_leaves_void_episodes_out(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    pairs = _labelled(tmp_path, make_episode, [Outcome.SUCCESS, "void", Outcome.FAILURE, None])
    seen: list[int] = []
    out = tmp_path / "out" / "session.hdf5"
    report = exporter("robomimic").export(iter(pairs), out, progress=seen.append)
    assert (report.episodes, report.steps, report.skipped, seen) == (3, 18, 1, [1, 2, 3])
    with h5py.File(out, "r") as file:
        assert file["data"].attrs["total"] == 18
        assert {"env_name", "type", "env_kwargs"} <= json.loads(file["data"].attrs["env_args"]).keys()
        assert list(file["data"]) == ["demo_0", "demo_1", "demo_2"]
        assert [demo.attrs["outcome"] for demo in file["data"].values()] == ["success", "failure", "pending"]
        assert [demo["rewards"][()].sum() for demo in file["data"].values()] == [1, 0, 0]
        demo, episode = file["data/demo_0"], pairs[0][0]
        assert demo.attrs["num_samples"] == 6
        np.testing.assert_array_equal(demo["dones"], [0, 0, 0, 0, 0, 1])
        np.testing.assert_array_equal(demo["actions"], episode.action)
        np.testing.assert_array_equal(demo["obs/third_image"], episode.images["third"][:-1])
        np.testing.assert_array_equal(demo["next_obs/third_image"], episode.images["third"][1:])
        np.testing.assert_array_equal(demo["next_obs/proprioception"], episode.proprioception[1:])
        assert file["mask/success"][()].tolist() == [b"demo_0"]
        assert file["mask/train"][()].tolist() == [b"demo_0", b"demo_1", b"demo_2"]


def test_every_tenth_demo_is_for_validation(tmp_path: Path, make_episode: MakeEpisode) -> None:
    out = tmp_path / "session.hdf5"
    exporter("robomimic").export(_labelled(tmp_path, make_episode, [Outcome.SUCCESS] * 11), out)
    with h5py.File(out, "r") as file:
        assert file["mask/valid"][()].tolist() == [b"demo_9"]
        assert len(file["mask/train"]) == 10


def test_nothing_is_overwritten_unasked_and_a_failed_export_leaves_the_old_file(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    pairs = _labelled(tmp_path, make_episode, [Outcome.SUCCESS, "void"])
    out = tmp_path / "session.hdf5"
    out.write_bytes(b"precious")
    with pytest.raises(ExportError, match="--force"):
        exporter("robomimic").export(pairs, out)
    with pytest.raises(ExportError, match="nothing to export"):
        exporter("robomimic").export(pairs[1:], out, force=True)
    assert out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    exporter("robomimic").export(pairs, out, force=True)
    assert h5py.is_hdf5(out)


def test_a_misspelt_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Did you mean 'robomimic'"):
        exporter("robomimik")
