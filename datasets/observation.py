"""One observation: images and proprioception, each with its time stamp."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 RGB [height, width, 3]."""
FloatArray = NDArray[np.float32]
"""float32; the shape is documented at each use."""
TimeArray = NDArray[np.float64]
"""float64 seconds on the cell's monotonic clock."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Images and proprioception with their time stamps."""

    images: dict[str, Image]
    proprioception: FloatArray
    """[proprioception_dim]"""
    time: float
    """When the proprioception was measured, s, monotonic."""
    image_times: dict[str, float] = field(default_factory=dict)
    """When each frame was captured, s, monotonic; a frame's age is ``time - image_times[name]``."""
