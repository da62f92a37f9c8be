"""The batches of a stage, one after the other; on a GPU, they are ready before it asks.

A thread draws the next ones and pins them, so that their copies run beside the GPU's computations. On a CPU a batch is
drawn when it is needed: that takes a hundredth of a step, and the cores are busy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from policy.training_stages import Batch, StageTraining, moved

AHEAD = 3
"""Batches that wait for the GPU."""


def batches(stage: StageTraining, first: int, part: slice, device: torch.device) -> Iterator[Batch]:
    """This process's rows, `part`, of the batches from iteration `first` to the stage's last one, on `device`."""
    if device.type == "cpu":
        for iteration in range(first, stage.total):
            yield stage.draw(iteration, part)
        return

    def pinned(iteration: int) -> Batch:
        return {name: tensor.pin_memory() for name, tensor in stage.draw(iteration, part).items()}

    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "loader") as pool:
        for iteration in range(first, stage.total):
            waiting.append(pool.submit(pinned, iteration))
            if len(waiting) > AHEAD:
                yield moved(waiting.popleft().result(), device)
        while waiting:
            yield moved(waiting.popleft().result(), device)
