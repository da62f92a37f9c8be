"""Adam on one tensor, through torch's functional form.

`torch.optim.Adam` computes the same bits, but building one loads torch's compiler, which takes more than a second in
every process.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The optimiser of one tensor: fused, with torch's default decay rates and no weight decay."""

    def __init__(self, weights: Tensor, lr: float) -> None:
        """Moments of zero on the device of `weights`, so that every checkpoint has the same tensors."""
        self._weights = weights
        self._lr = lr
        self.state = {
            "step": torch.zeros((), device=weights.device),
            "exp_avg": torch.zeros_like(weights.detach()),
            "exp_avg_sq": torch.zeros_like(weights.detach()),
        }
        """Step count and both moments, the tensors that `step` changes in place."""

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """One step down `gradient`, which has the shape of the weights."""
        adam(
            [self._weights],
            [gradient],
            [self.state["exp_avg"]],
            [self.state["exp_avg_sq"]],
            [],
            [self.state["step"]],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
