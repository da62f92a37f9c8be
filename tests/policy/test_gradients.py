"""A batch in parts: what depends on their number, and what does not."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch

from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from policy.gradients import gradients
from policy.training_stages import BaseTraining
from tests.policy.test_pretrain import SHORT, complete, pretraining, windows
from tests.policy.toys import SPEC, TINY

PARTS = 3


def gradient(parts: int, cores: int) -> tuple[dict[str, float], torch.Tensor]:
    """Loss terms of the first joint step, and its gradient as one vector."""
    base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=3)
    base.fit_normalizers(windows())
    stage = BaseTraining(base, copy.deepcopy(base), windows(), SHORT, seed=3)
    with gradients(stage, parts, cores) as compute:
        terms = compute(stage.draw(0))
        terms = compute(stage.draw(0))  # nothing is left over from the step before
    grads = [weight.grad.flatten() for weight in stage.trained(base) if weight.grad is not None]
    return {name: float(value) for name, value in terms.items()}, torch.cat(grads)


def test_the_gradient_of_unequal_parts_is_that_of_the_batch() -> None:
    whole, parts = gradient(1, cores=1), gradient(PARTS, cores=1)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    assert parts[1].shape == whole[1].shape
    assert torch.allclose(parts[1], whole[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cores", [2, 4])
def test_the_number_of_cores_changes_no_bit(cores: int) -> None:
    alone, together = gradient(PARTS, cores=1), gradient(PARTS, cores)
    assert alone[0] == together[0]
    assert torch.equal(alone[1], together[1])


@pytest.mark.slow
def test_a_run_that_has_begun_keeps_its_number_of_parts(tmp_path: Path) -> None:
    one, two = (SHORT.model_copy(update={"parts": parts}) for parts in (1, 2))
    complete(whole := pretraining(tmp_path / "whole", one))
    complete(other := pretraining(tmp_path / "other", two))
    assert other.base.hash != whole.base.hash
    for _ in itertools.islice(pretraining(tmp_path / "killed", one), 5):
        pass
    complete(continued := pretraining(tmp_path / "killed", two))
    assert continued.base.hash == whole.base.hash
