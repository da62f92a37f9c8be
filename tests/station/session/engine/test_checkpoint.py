"""Checkpoints are whole or not there."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from station.session.engine.checkpoint import (
    BEST,
    NEWEST,
    PREVIOUS,
    CheckpointError,
    CheckpointFacts,
    Checkpoints,
)

OLDER = base64.b64decode(
    "OAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJkaWdlc3QiOiI4MmI5ZjVjNWM5NDg3YTc1ODBlNWRlMDg3YzI3NjZkYTFjY2IwZGQ0"
    "OGNlYmE0ZmQ3ZjYxODNmZWMyYTllNmY5IiwiZmFjdHMiOiJ7XCJiYXNlX2hhc2hcIjogXCJiXCIsIFwibWV0aG9kXCI6IFwibVwi"
    "LCBcInBvbGljeV92ZXJzaW9uXCI6IDEsIFwic3RlcHNcIjogMywgXCJ1cGRhdGVcIjogMX0ifSwiY291bnQiOnsiZHR5cGUiOiJJ"
    "NjQiLCJzaGFwZSI6W10sImRhdGFfb2Zmc2V0cyI6WzAsOF19LCJ3Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsyLDNdLCJkYXRh"
    "X29mZnNldHMiOls4LDMyXX19ICAHAAAAAAAAAAAAwD8AAMA/AADAPwAAwD8AAMA/AADAPw=="
)
"""A checkpoint of an earlier version, whose digest was made in another way."""
FACTS = CheckpointFacts(method="m", base_hash="b", update=1, policy_version=1, steps=3)


def state(value: float) -> dict[str, torch.Tensor]:
    return {
        "w": torch.full((2, 3), value),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "half": torch.tensor(0.5, dtype=torch.float64),
    }


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    made = Checkpoints(tmp_path)
    made.save(state(1.0), FACTS)
    made.save(state(2.0), replace(FACTS, update=2))
    return made


def test_what_was_saved_comes_back_and_the_one_before_is_kept(checkpoints: Checkpoints) -> None:
    for name, value, update in ((NEWEST, 2.0, 2), (PREVIOUS, 1.0, 1)):
        tensors, facts = checkpoints.load(name)
        assert facts.update == update
        for key, tensor in state(value).items():
            assert torch.equal(tensors[key], tensor) and tensors[key].dtype == tensor.dtype


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    older = Checkpoints(tmp_path)
    older.path(NEWEST).write_bytes(OLDER)
    tensors, facts = older.load(NEWEST)
    assert torch.equal(tensors["w"], torch.full((2, 3), 1.5)) and facts.update == 1
    older.path(NEWEST).write_bytes(OLDER[:-1] + b"\0")
    with pytest.raises(CheckpointError):
        older.load(NEWEST)


@pytest.mark.parametrize("place", [3, 40, 200, -1])
def test_a_flipped_bit_is_found_wherever_it_is(checkpoints: Checkpoints, place: int) -> None:
    path = checkpoints.path(NEWEST)
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.load(NEWEST)


def test_a_truncated_file_is_found(checkpoints: Checkpoints) -> None:
    path = checkpoints.path(NEWEST)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError):
        checkpoints.load(NEWEST)


def test_the_best_stays_when_newer_ones_come(checkpoints: Checkpoints) -> None:
    checkpoints.mark_best()
    checkpoints.save(state(3.0), replace(FACTS, update=3))
    assert checkpoints.load(BEST)[1].update == 2
