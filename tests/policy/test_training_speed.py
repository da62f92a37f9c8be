"""What a step of training costs."""

from __future__ import annotations

import pytest

from policy.bottleneck import BottleneckSettings
from policy.training_speed import time_step
from tests.policy.test_pretrain import SHORT
from tests.policy.toys import SPEC, TINY


@pytest.mark.slow
def test_a_step_of_twice_the_batch_has_twice_the_operations() -> None:
    bottleneck = BottleneckSettings(dz=4, hidden=32)
    small, large = (
        time_step(SPEC, TINY, bottleneck, SHORT.model_copy(update={"batch": batch}), steps=2)
        for batch in (8, 16)
    )
    assert large.gflop == pytest.approx(2 * small.gflop, rel=0.01)
    assert small.seconds > 0 and small.processor_seconds > 0
    assert small.gflops == pytest.approx(small.gflop / small.seconds)
    # the first convolution alone, forward and for its weights: 22x22 positions at stride 2, 3x3x3 -> 8, 8 images
    assert small.gflop > 2 * 2 * 8 * 11 * 11 * 27 * 8 / 1e9
