"""The doctor measures a decision of the task's own networks against its control period."""

from __future__ import annotations

import pytest

from station.jobs import decision
from station.session.folder import SessionFolder
from station.tasks.config import load_task


def test_a_tiny_policy_decides_in_time_with_random_weights_and_with_the_sessions(
    session: SessionFolder,
) -> None:
    task = load_task("place-orange-tiny")
    for folder in (None, session):
        check = decision.check_decision(task, folder, device="cpu")
        assert check.ok and not check.remedy
        assert check.detail.endswith("of 100 ms, on the CPU")


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


def test_what_keeps_it_from_being_measured_is_said() -> None:
    check = decision.check_decision(load_task("place-orange-tiny"), device="cuda")
    assert not check.ok and "finds no CUDA GPU" in check.remedy
