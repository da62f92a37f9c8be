"""What a step of offline training costs on this computer: floating-point operations, and the time they take.

It trains a fresh base on noise, in a folder that is deleted. It prints nothing and judges nothing.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from datasets.spec import DataSpec
from datasets.windows import TrainingWindows
from policy.base import BasePolicy, PolicySettings
from policy.bottleneck import BottleneckSettings
from policy.gradients import gradients, keep_freed_memory
from policy.pretrain import Pretraining
from policy.training_stages import BaseTraining, TrainingSettings, moved

_FRAMES = 256
_WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One step of the first stage: batch, loss, gradient, optimizer, EMA."""

    gflop: float
    """Products of forward and backward pass, 10^9 operations."""
    seconds: float
    """The quickest of the steps measured: other programs on the computer slow down the rest."""
    processor_seconds: float
    """Of all cores together, in the step that took least."""

    @property
    def gflops(self) -> float:
        """10^9 operations per second."""
        return self.gflop / self.seconds


def time_step(
    spec: DataSpec,
    policy: PolicySettings,
    bottleneck: BottleneckSettings,
    training: TrainingSettings,
    *,
    device: torch.device | None = None,
    cores: int = 1,
    steps: int = 20,
) -> StepCost:
    """The cost of a step with a task's settings, on `device` (the CPU if None) and so many CPU `cores`.

    Raises:
        RuntimeError: the device fails; `policy.devices.failure` has words for it.
    """
    keep_freed_memory()
    windows = _noise(spec, policy)
    base = BasePolicy(spec, policy, bottleneck).to(device or torch.device("cpu"))
    settings = training.model_copy(
        update={"iterations": steps + _WARM_UP + 1, "report_every": 1, "check_every": 1_000_000}
    )
    with TemporaryDirectory() as folder:
        run = Pretraining(base, windows, settings, 0, Path(folder), cores=cores)
        marks = [(time.perf_counter(), time.process_time()) for _ in itertools.islice(run, steps + _WARM_UP)][
            _WARM_UP - 1 :
        ]
    spent = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(marks)]
    return StepCost(
        gflop=_gflop(base, windows, settings),
        seconds=min(wall for wall, _ in spent),
        processor_seconds=min(processor for _, processor in spent),
    )


def _gflop(base: BasePolicy, windows: TrainingWindows, settings: TrainingSettings) -> float:
    stage = BaseTraining(base, base, windows, settings, 0)
    counter = FlopCounterMode(display=False)
    with gradients(stage, parts=1, cores=1) as gradient, counter:
        gradient(moved(stage.draw(0), base.device))
    return float(counter.get_total_flops()) / 1e9


def _noise(spec: DataSpec, policy: PolicySettings) -> TrainingWindows:
    rng = np.random.default_rng(0)
    frame = np.arange(_FRAMES, dtype=np.int64)[:, None]
    return TrainingWindows(
        spec=spec,
        images={
            camera.name: rng.integers(0, 256, (_FRAMES, camera.height, camera.width, 3), np.uint8)
            for camera in spec.cameras
        },
        proprioception=rng.standard_normal((_FRAMES, spec.proprioception_dim), np.float32),
        actions=rng.standard_normal((_FRAMES, spec.da), np.float32),
        observed=np.maximum(frame + np.arange(1 - policy.n_obs, 1), 0),
        followed=np.minimum(frame + np.arange(policy.prediction_horizon), _FRAMES - 1),
        episode=np.repeat(np.arange(2, dtype=np.int64), _FRAMES // 2),
    )
