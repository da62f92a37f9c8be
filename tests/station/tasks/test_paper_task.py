"""The paper's own settings are not decoration: its rate, image size and networks run on the embedded cell."""

from __future__ import annotations

import pytest

from hardware.simulation.cell import SimulatedCell
from policy.base import BasePolicy
from station.session.engine.evaluation import evaluate
from station.tasks.config import load_task


@pytest.mark.slow
def test_the_papers_task_runs_at_30_hz_with_its_image_size_and_resnet() -> None:
    task = load_task("place-orange-paper")
    cell = SimulatedCell(task.simulation)
    camera = cell.spec.cameras[0]
    assert (cell.spec.control_hz, camera.height, camera.width) == (30.0, 110, 280)

    base = BasePolicy(cell.spec, task.policy, task.bottleneck).freeze()
    steering = task.steering.build(base, 0, n_action_steps=task.n_action_steps)
    (result,) = evaluate([cell], steering, "smoke", 0, 1, n_obs=task.policy.n_obs, episode_steps=32)

    assert (base.dz, result.steps, result.chunks) == (32, 32, 2)
