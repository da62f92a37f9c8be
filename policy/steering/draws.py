"""Random draws of a batch of cells, each row from its own generator, and the way back from tensors to arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from datasets.observation import FloatArray


def normal(rngs: Sequence[np.random.Generator], shape: Sequence[int]) -> Tensor:
    """[B, *shape] of N(0, 1), float32, row b from rngs[b]."""
    return torch.from_numpy(np.stack([rng.standard_normal(tuple(shape), dtype=np.float32) for rng in rngs]))


def as_array(tensor: Tensor) -> FloatArray:
    """float32, contiguous, in main memory."""
    return np.ascontiguousarray(tensor.cpu().numpy(), dtype=np.float32)
