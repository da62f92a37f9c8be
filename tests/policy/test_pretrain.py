from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.windows import TrainingWindows
from policy import weights
from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from policy.pretrain import Pretraining, PretrainingError, Stage, TrainingProgress, TrainingSettings
from policy.processes import ALONE, Processes
from policy.training_stages import split
from tests.policy.toys import SPEC, TINY, episode, target, window

SHORT = TrainingSettings(
    iterations=30,
    batch=8,
    parts=1,
    learning_rate=1e-3,
    warmup=5,
    bottleneck_iterations=30,
    bottleneck_batch=16,
    bottleneck_crops=2,
    patience=40,
    check_every=10,
    report_every=5,
    checkpoint_every=10,
)

UNEVEN = SHORT.model_copy(update={"batch": 7, "bottleneck_batch": 15, "parts": 2})


def windows(count: int = 6) -> TrainingWindows:
    return TrainingWindows.from_episodes(
        [episode(i) for i in range(count)], TINY.n_obs, TINY.prediction_horizon
    )


def pretraining(
    folder: Path, settings: TrainingSettings = SHORT, seed: int = 3, processes: Processes = ALONE
) -> Pretraining:
    base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=seed)
    return Pretraining(base, windows(), settings, seed, folder, processes=processes)


def complete(training: Pretraining) -> list[TrainingProgress]:
    return list(training)


def killed_after(folder: Path, reports: int) -> None:
    """Work for a number of reports, then be gone without a word."""
    steps = iter(pretraining(folder))
    for _ in range(reports):
        next(steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "reports", [3, *(pytest.param(count, marks=pytest.mark.slow) for count in (6, 8, 12))]
)
def test_killed_and_continued_training_gives_the_same_weights_and_curve(tmp_path: Path, reports: int) -> None:
    whole = pretraining(tmp_path / "whole")
    complete(whole)
    killed_after(tmp_path / "killed", reports)
    killed_after(tmp_path / "killed", 4)
    continued = pretraining(tmp_path / "killed")
    complete(continued)
    assert continued.base.hash == whole.base.hash
    curves = [(tmp_path / name / "curve.jsonl").read_text() for name in ("whole", "killed")]
    assert curves[0] == curves[1]


def test_saving_before_leaving_loses_no_iteration(tmp_path: Path) -> None:
    training = pretraining(tmp_path)
    steps = iter(training)
    for _ in range(3):
        left = next(steps)
    training.save()
    assert next(iter(pretraining(tmp_path))).iteration == left.iteration + SHORT.report_every


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path: Path) -> None:
    complete(whole := pretraining(tmp_path / "whole"))
    killed_after(tmp_path / "killed", 5)
    newest = weights.numbered(tmp_path / "killed")[-1]
    newest.write_bytes(newest.read_bytes()[:-10])
    continued = pretraining(tmp_path / "killed")
    assert newest.name in continued.warnings[0]
    complete(continued)
    assert continued.base.hash == whole.base.hash


@pytest.mark.slow
def test_when_it_is_over_the_folder_holds_the_policy_and_no_half_work(tmp_path: Path) -> None:
    training = pretraining(tmp_path)
    last = complete(training)[-1]
    assert last.finished and BasePolicy.load(tmp_path).hash == training.base.hash
    assert weights.numbered(tmp_path) == []
    assert [report.stage for report in training.reports] == [Stage.JOINT, Stage.BOTTLENECK]
    again = pretraining(tmp_path)
    assert again.finished and [p.finished for p in again] == [True]
    assert again.base.hash == training.base.hash


@pytest.mark.slow
def test_a_damaged_report_is_named_with_what_brings_training_back(tmp_path: Path) -> None:
    complete(pretraining(tmp_path))
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(PretrainingError, match=r"training\.json is damaged .*'station verify' move it away"):
        pretraining(tmp_path)


@pytest.mark.slow
def test_a_folder_of_another_training_is_refused_untouched(tmp_path: Path) -> None:
    killed_after(tmp_path, 5)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(PretrainingError, match="other settings"):
        pretraining(tmp_path, seed=4)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_the_curve_tells_stage_iteration_and_every_term(tmp_path: Path) -> None:
    complete(pretraining(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [*range(5, 31, 5), *range(5, 31, 5)]
    assert {"total", "imitation", "flow", "kl", "reconstruction"} <= set(lines[0])
    assert sum("held_out" in line for line in lines) == 6


@pytest.mark.slow
def test_the_bottlenecks_own_stage_leaves_encoder_and_flow_as_they_were(tmp_path: Path) -> None:
    alone = SHORT.model_copy(update={"bottleneck_iterations": 0})
    complete(first := pretraining(tmp_path / "first", alone))
    complete(both := pretraining(tmp_path / "both"))
    for part in ("encoder", "flow"):
        expected, found = getattr(first.base, part).state_dict(), getattr(both.base, part).state_dict()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(first.base.bottleneck.parameters(), both.base.bottleneck.parameters(), strict=True)
    )


@pytest.mark.slow
def test_the_bottleneck_stops_when_more_training_is_useless(tmp_path: Path) -> None:
    lazy = SHORT.model_copy(
        update={"bottleneck_iterations": 10_000, "bottleneck_learning_rate": 1e-9, "patience": 20}
    )
    complete(training := pretraining(tmp_path, lazy))
    assert training.reports[1].converged
    assert training.reports[1].iterations == 30


def test_whole_episodes_are_held_out_and_always_the_same_ones() -> None:
    data = windows(10)
    rows, held = split(data, 0.2, seed=5)
    assert len(set(data.episode[held])) == 2
    assert not set(data.episode[held]) & set(data.episode[rows])
    assert np.array_equal(held, split(data, 0.2, seed=5)[1])
    everything, same = split(data, 0.0, seed=5)
    assert len(everything) == len(same) == len(data)


@pytest.mark.slow
@pytest.mark.parametrize("prediction", ["velocity", "sample"])
def test_a_policy_learns_to_look_and_reach_on_both_paths(tmp_path: Path, prediction: str) -> None:
    settings = TINY.model_validate({**TINY.model_dump(), "prediction": prediction})
    base = BasePolicy(SPEC, settings, BottleneckSettings(dz=8, hidden=64), seed=0)
    training = SHORT.model_copy(
        update={
            "iterations": 300 if prediction == "sample" else 500,
            "batch": 32,
            "learning_rate": 3e-3,
            "bottleneck_iterations": 250,
            "bottleneck_batch": 64,
            "checkpoint_every": 1000,
            "joint_bottleneck": False,
        }
    )
    data = TrainingWindows.from_episodes(
        [episode(i, steps=2) for i in range(150)], 1, settings.prediction_horizon
    )
    complete(Pretraining(base, data, training, 0, tmp_path))
    dots = [(x, y) for x in (0.15, 0.35, 0.65, 0.85) for y in (0.2, 0.5, 0.8)]
    c = base.embed(window(dots))
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((len(dots), 4, 7)).astype(np.float32))
    wanted = np.stack([target(x, y) for x, y in dots])[:, None, :2]
    for path in (c, base.bottleneck.decode(base.bottleneck.encode(c)[0])):
        error = np.abs(base.decode(path, noise).numpy()[:, :, :2] - wanted)
        assert error.mean() < 0.03  # m, where targets span 0.2 m
