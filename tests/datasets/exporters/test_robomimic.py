"""What robomimic's reader expects of a file, looked at member by member."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from datasets.episode import Outcome
from datasets.exporters import exporter
from tests.datasets.exporters.conftest import MakeSource


def test_the_file_has_robomimics_members_and_leaves_void_episodes_out(
    tmp_path: Path, make_source: MakeSource
) -> None:
    source = make_source([Outcome.SUCCESS, "void", Outcome.FAILURE, None])
    out = tmp_path / "out" / "session.hdf5"
    report = exporter("robomimic").export(source, out)
    assert (report.episodes, report.steps) == (3, 6 + 8 + 9)
    with h5py.File(out, "r") as file:
        assert file["data"].attrs["total"] == 23
        assert {"env_name", "type", "env_kwargs"} <= json.loads(file["data"].attrs["env_args"]).keys()
        assert list(file["data"]) == ["demo_0", "demo_1", "demo_2"]
        assert [demo.attrs["outcome"] for demo in file["data"].values()] == ["success", "failure", "pending"]
        assert [demo["rewards"][()].sum() for demo in file["data"].values()] == [1, 0, 0]
        demo, episode = file["data/demo_0"], source.entries[0].load()
        assert demo.attrs["num_samples"] == 6
        np.testing.assert_array_equal(demo["dones"], [0, 0, 0, 0, 0, 1])
        np.testing.assert_array_equal(demo["actions"], episode.action)
        np.testing.assert_array_equal(demo["obs/third_image"], episode.images["third"][:-1])
        np.testing.assert_array_equal(demo["next_obs/third_image"], episode.images["third"][1:])
        np.testing.assert_array_equal(demo["next_obs/proprioception"], episode.proprioception[1:])
        np.testing.assert_array_equal(demo["station/observation_time"], episode.observation_time)
        np.testing.assert_array_equal(demo["station/sent"], episode.sent)
        assert file["mask/success"][()].tolist() == [b"demo_0"]
        assert file["mask/train"][()].tolist() == [b"demo_0", b"demo_1", b"demo_2"]


@pytest.mark.slow
def test_every_tenth_demo_is_for_validation_and_demos_count_beyond_nine(
    tmp_path: Path, make_source: MakeSource
) -> None:
    out = tmp_path / "session.hdf5"
    source = make_source([Outcome.SUCCESS] * 11)
    exporter("robomimic").export(source, out)
    with h5py.File(out, "r") as file:
        assert file["mask/valid"][()].tolist() == [b"demo_9"]
        assert len(file["mask/train"]) == 10
        np.testing.assert_array_equal(file["data/demo_10/actions"], source.entries[10].load().action)
