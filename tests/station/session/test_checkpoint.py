"""Checkpoints are whole or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from station.session.checkpoint import (
    BEST,
    NEWEST,
    PREVIOUS,
    CheckpointError,
    CheckpointFacts,
    Checkpoints,
)

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
