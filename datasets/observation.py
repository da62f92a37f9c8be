"""One look at the world, with the time of each part of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 RGB [height, width, 3]."""
FloatArray = NDArray[np.float32]
"""float32, shape said where it is used."""
TimeArray = NDArray[np.float64]
"""float64 seconds on the cell's monotonic clock."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Images, proprioception and their time stamps."""

    images: dict[str, Image]
    proprioception: FloatArray
    """[dq]"""
    time: float
    """s, monotonic, of the proprioception."""
    image_times: dict[str, float] = field(default_factory=dict)
    """s, monotonic, when each frame was taken; a frame's age is ``time - image_times[name]``."""
