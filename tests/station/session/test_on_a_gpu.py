"""A session on a GPU, as far as a machine without one can tell: training, rollouts, learning, checkpoints.

Nothing crosses between the devices unless the code says so, and the numbers are those of the CPU.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from datasets.journal.journal import Journal
from datasets.journal.records import UpdateBegun
from datasets.store import EpisodeStore
from hardware.latch import StopLatch
from policy import devices, replay
from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from policy.pretrain import Pretraining
from station.errors import refusal
from station.session.engine.checkpoint import NEWEST, Checkpoints
from station.session.engine.engine import Engine
from station.session.engine.factory import compose
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from tests.policy.pretend_gpu import GPU, pretend_gpu
from tests.policy.test_pretrain import SHORT, windows
from tests.policy.toys import SPEC, TINY

EPISODES = 6


def _roll(folder: SessionFolder, device: str, episodes: int = EPISODES) -> None:
    options = EngineOptions(headless=True, autopilot=True, episodes=episodes, device=device)
    latch = StopLatch(folder.latch)
    with folder.writing():
        parts = compose(folder, options, latch)
        with Engine(folder, parts, options, latch=latch) as engine:
            engine.run()


def _weights(folder: SessionFolder) -> dict[str, torch.Tensor]:
    return Checkpoints(folder.steering).load(NEWEST)[0]


@pytest.mark.slow
def test_a_session_learns_there_what_it_learns_on_the_cpu(
    session: SessionFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SessionFolder.open(shutil.copytree(session.path, tmp_path / "gpu"))
    _roll(session, "cpu")
    with pretend_gpu(monkeypatch) as traffic:
        _roll(other, "auto")
    assert traffic.replays > traffic.captures >= len(("embed", "encode", "act", "the actor"))
    mine, theirs = _weights(session), _weights(other)
    assert mine.keys() == theirs.keys() and int(mine["updates"]) > 0
    assert all(tensor.device.type == "cpu" and type(tensor) is torch.Tensor for tensor in theirs.values())
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    blocks = Journal(other.journal).ledger().lines_of(UpdateBegun)
    assert {line.record.device for line in blocks} == {str(GPU)}


@pytest.mark.slow
def test_a_session_goes_on_where_the_gpu_is_gone(
    session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretend_gpu(monkeypatch):
        _roll(session, "cuda", episodes=3)
    _roll(session, "cpu")
    blocks = Journal(session.journal).ledger().lines_of(UpdateBegun)
    assert [line.record.device for line in blocks] == [str(GPU)] * 3 + ["cpu"] * 3
    assert len(EpisodeStore(session.episodes).ids()) == EPISODES


@pytest.mark.slow
def test_rows_beyond_the_limit_stay_in_main_memory(
    session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "DEVICE_LIMIT", 0)
    with pretend_gpu(monkeypatch) as traffic:
        _roll(session, "cuda")
    steps = int(_weights(session)["updates"])
    assert traffic.up > 8 * steps, "each of a batch's arrays goes up"


@pytest.mark.slow
def test_offline_training_gives_the_cpus_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(name: str, device: torch.device) -> str:
        base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=3).to(device)
        training = Pretraining(base, windows(), SHORT, 3, tmp_path / name)
        for _ in range(3):
            next(iter(training))
        training.save()
        base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=3).to(device)
        for _ in Pretraining(base, windows(), SHORT, 3, tmp_path / name):
            pass
        return base.hash

    on_cpu = train("cpu", torch.device("cpu"))
    with pretend_gpu(monkeypatch):
        assert train("gpu", GPU) == on_cpu
        assert BasePolicy.load(tmp_path / "gpu", GPU).device == GPU
    assert BasePolicy.load(tmp_path / "gpu").hash == on_cpu


def test_a_gpu_that_fails_is_a_sentence_with_a_remedy(
    session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pretend_gpu(monkeypatch):
        monkeypatch.setattr(replay.ReplayBuffer, "sample", fail)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            _roll(session, "cuda")
    known = refusal(caught.value)
    assert known is not None and "--device cpu" in known.message and "[steering] batch" in known.message
    assert devices.failure(ValueError("no")) == ""
