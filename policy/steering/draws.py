"""Random draws for a batch of cells, each row from its own generator, and conversion of tensors to arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from datasets.observation import FloatArray


def normal(rngs: Sequence[np.random.Generator], shape: Sequence[int]) -> Tensor:
    """[B, *shape] drawn from N(0, 1), float32, row b from rngs[b]."""
    return torch.from_numpy(np.stack([rng.standard_normal(tuple(shape), dtype=np.float32) for rng in rngs]))


def as_array(tensor: Tensor) -> FloatArray:
    """Convert to a contiguous float32 array in CPU memory."""
    return np.ascontiguousarray(tensor.cpu().numpy(), dtype=np.float32)
