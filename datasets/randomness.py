"""Random streams that do not depend on what ran before: keyed by (seed, purpose, ordinal).

A killed and resumed session draws the same numbers as one that was never interrupted, because every episode,
update block and training step opens its own stream. Torch code draws from these too and converts.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, purpose: str, ordinal: int = 0) -> np.random.Generator:
    """A fresh generator for one purpose, e.g. ``stream(seed, "rollout", episode)``."""
    key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.default_rng([seed, key, ordinal])
