"""What goes out and comes in again through our own import is what it was, but for the images of a video codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.episode import Episode, Outcome
from datasets.exporters import EXPORTERS, exporter
from datasets.spec import DataSpec
from tests.datasets.exporters.conftest import MakeSource, smooth
from tests.datasets.importers.desk import Desk

OUTCOMES = [Outcome.SUCCESS, Outcome.FAILURE, None, Outcome.TIMEOUT]
CODEC_MEAN = 3.0
"""Grey values of 255 that an image may be off on average."""

EPOCH = 1_795_000_000.0


def since_1970(episode: Episode) -> Episode:
    """As an import of a recorder with such a clock leaves it; single precision would know the minute at best."""
    return replace(
        smooth(episode),
        observation_time=episode.observation_time + EPOCH,
        command_time=episode.command_time + EPOCH,
    )


@pytest.mark.slow
@pytest.mark.parametrize("format_name", sorted(EXPORTERS))
def test_every_number_and_label_comes_back_as_it_was(
    tmp_path: Path, make_source: MakeSource, spec: DataSpec, format_name: str
) -> None:
    if format_name == "lerobot":
        for package in ("pyarrow", "av"):
            pytest.importorskip(package, reason="pip install 'station[formats]'")
    source = make_source(OUTCOMES, change=since_1970, steps=12)
    out = tmp_path / ("out.hdf5" if exporter(format_name).single else "out")
    exporter(format_name).export(source, out)
    desk = Desk(tmp_path / "desk", spec)
    results = desk.run(out)
    assert [result.refused for result in results] == [None] * len(OUTCOMES)
    statuses = desk.journal.ledger().episodes
    for entry, result in zip(source.entries, results, strict=True):
        assert result.episode is not None
        before, after = entry.load(), desk.store.load(result.episode)
        assert statuses[result.episode].outcome is entry.status.outcome
        for field in ("action", "sent", "proprioception", "observation_time", "command_time"):
            np.testing.assert_array_equal(getattr(after, field), getattr(before, field), err_msg=field)
        for camera, frames in before.images.items():
            difference = np.abs(after.images[camera].astype(int) - frames)
            # the last observation has no place in a video and is kept without loss
            assert difference[-1].max() == 0
            assert difference.mean() < (CODEC_MEAN if format_name == "lerobot" else 1e-9)
