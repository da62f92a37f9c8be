"""Training in several processes gives what one process gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from datasets.errors import UsageError
from policy.base import BasePolicy
from policy.pretrain import PretrainingError
from policy.processes import Processes
from tests.policy.test_pretrain import UNEVEN, complete, pretraining

_T = TypeVar("_T")
TOLERANCE = 1e-5
"""Of weights of about 0.1, after 60 steps. One process in as many parts adds in the same order; a CPU need not."""


def two_processes(*words: object) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    module = ["-m", "tests.policy.one_of_several", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        torchrun + module, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.mark.slow
def test_two_processes_give_the_weights_and_the_curve_of_one(tmp_path: Path) -> None:
    complete(alone := pretraining(tmp_path / "alone", UNEVEN))
    done = two_processes(tmp_path / "shared")
    assert done.returncode == 0, done.stderr
    shared, other = BasePolicy.load(tmp_path / "shared"), BasePolicy.load(tmp_path / "other")
    assert shared.hash == other.hash, "each process keeps the same average"
    for name, weight in alone.base.state_dict().items():
        assert torch.allclose(shared.state_dict()[name], weight, rtol=0, atol=TOLERANCE), name
    curves = [
        [json.loads(line) for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        for name in ("alone", "shared")
    ]
    for expected, found in zip(*curves, strict=True):
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_with_a_sentence_and_one_goes_on_alone(tmp_path: Path) -> None:
    ended = two_processes(tmp_path / "shared", 5)
    assert ended.returncode != 0
    assert "Another process of this training ended" in ended.stderr
    complete(continued := pretraining(tmp_path / "shared", UNEVEN))
    complete(alone := pretraining(tmp_path / "alone", UNEVEN))
    for name, weight in alone.base.state_dict().items():
        assert torch.allclose(continued.base.state_dict()[name], weight, rtol=0, atol=TOLERANCE), name


class Told(Processes):
    """The second of two processes, of which the first says something else."""

    def from_first(self, make: Callable[[], _T]) -> _T:
        return "something else"  # type: ignore[return-value]


def test_a_process_that_reads_other_data_than_the_first_ends(tmp_path: Path) -> None:
    with pytest.raises(PretrainingError, match="Process 1 of this training reads other demonstrations"):
        pretraining(tmp_path, processes=Told(rank=1, count=2))
    assert list(tmp_path.iterdir()) == []


def test_processes_share_no_gpu() -> None:
    with pytest.raises(UsageError, match="2 processes cannot share cuda:1"):
        Processes(rank=1, count=2).device("cuda:1")


def test_every_row_belongs_to_one_process() -> None:
    rows = [row for rank in range(3) for row in range(8)[Processes(rank=rank, count=3).rows(8)]]
    assert rows == list(range(8))
