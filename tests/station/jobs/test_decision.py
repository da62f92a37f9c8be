"""The doctor measures a decision of the task's own networks against its control period."""

from __future__ import annotations

import pytest
import torch

from hardware.robot.settings import RobotCellSettings
from station.benchmark.rates import flops
from station.jobs import decision
from station.jobs.decision_speed import decision_speeds
from station.session.folder import SessionFolder
from station.tasks.config import Task, load_task


def test_a_tiny_policy_decides_in_time_with_random_weights_and_with_the_sessions(
    session: SessionFolder,
) -> None:
    task = load_task("place-orange-tiny")
    for folder in (None, session):
        check = decision.check_decision(task, folder, device="cpu")
        assert check.ok and not check.remedy
        assert check.detail.endswith("of 100 ms, on the CPU with 1 thread")


def test_a_decision_longer_than_the_control_period_is_noted_with_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decision, "decision_times", lambda *_: [0.25, 0.15, 0.2])
    check = decision.check_decision(load_task("place-orange-tiny"), device="cpu")
    assert not check.ok and check.detail.startswith("200 ms (longest 250) of 100 ms")
    assert "n_action_steps" in check.remedy and "--device cuda" in check.remedy


def test_with_an_overlap_a_decision_may_take_as_long_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("place-orange-tiny")
    wider = task.policy.model_copy(update={"prediction_horizon": 2 * task.n_action_steps})
    overlapping = task.model_copy(update={"overlap": 3, "policy": wider})
    monkeypatch.setattr(decision, "decision_times", lambda *_: [0.25])
    check = decision.check_decision(overlapping, device="cpu")
    assert check.ok and check.detail.startswith("250 ms (longest 250) of 300 ms")


@pytest.mark.parametrize(
    ("seconds", "overlap", "words"),
    [
        (0.15, 0, "slows down for 150 ms. It does not stop: at full speed, coming to rest takes 274 ms"),
        (
            0.29,
            0,
            "stops: it comes to rest within 274 ms of its last pose, and the next plan comes after 290 ms",
        ),
        (0.29, 4, "slows down for 90 ms"),
        (6.0, 0, "stale_plan = 5 s"),
    ],
)
def test_what_the_arm_does_meanwhile_is_told(seconds: float, overlap: int, words: str) -> None:
    task = _with_limits(velocity=0.25, acceleration=1.5).model_copy(update={"overlap": overlap})
    assert words in decision.between_chunks(task, seconds)


def test_a_fast_arm_whose_plan_runs_out_brakes_with_a_fault() -> None:
    assert "brakes with a fault" in decision.between_chunks(_with_limits(velocity=1.0, acceleration=1.5), 0.4)
    assert "not set yet" in decision.between_chunks(_with_limits(), 0.4)


def _with_limits(**limits: float) -> Task:
    task = load_task("franka-open-box")
    assert isinstance(task.cell, RobotCellSettings)
    safety = task.cell.safety.model_copy(update=limits)
    return task.model_copy(update={"cell": task.cell.model_copy(update={"safety": safety})})


def test_the_products_of_a_decision_are_counted_as_torch_counts_them() -> None:
    task = load_task("place-orange-tiny")
    base = decision._base(task, None, torch.device("cpu"))
    (speed,) = decision_speeds(decision.decider(task, base), base, threads=[1], rounds=1)
    assert speed.flop == flops(decision.decider(task, base)) > 0
    assert min(speed.decision, speed.products, speed.square) > 0


def test_what_keeps_it_from_being_measured_is_said() -> None:
    check = decision.check_decision(load_task("place-orange-tiny"), device="cuda")
    assert not check.ok and "finds no CUDA GPU" in check.remedy
