"""Exact minimum, maximum, mean, standard deviation and quantiles, as LeRobot's normalisers expect them.

Numbers are processed all at once; images as histograms of their 256 values, which add up over episodes without loss.
Means and standard deviations are those of the population.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.observation import Image

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_VALUES = 256

Statistics = dict[str, Any]
"""name of the statistic -> nested lists of numbers"""
Histogram = NDArray[np.int64]
"""[3, 256] how often each value occurs in each colour"""


def of_numbers(values: NDArray[Any]) -> Statistics:
    """Statistics of [T, n] or [T], per number; ``count`` is T."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    found = {
        "min": table.min(0),
        "max": table.max(0),
        "mean": table.mean(0),
        "std": table.std(0),
        **dict(zip(QUANTILES, np.quantile(table, list(QUANTILES.values()), axis=0), strict=True)),
    }
    return {**{name: numbers.tolist() for name, numbers in found.items()}, "count": [len(table)]}


def histogram(frames: Image) -> Histogram:
    """Histogram of uint8 RGB [T, height, width, 3]."""
    flat = frames.reshape(-1, 3)
    return np.stack([np.bincount(flat[:, colour], minlength=_VALUES) for colour in range(3)])


def of_images(counts: Histogram, frames: int) -> Statistics:
    """Statistics per colour, scaled to 0..1, shaped [3, 1, 1]; ``count`` is the number of images."""
    brightness = np.arange(_VALUES) / (_VALUES - 1)
    weight = counts / counts.sum(1, keepdims=True)
    mean = weight @ brightness
    seen = counts > 0
    found = {
        "min": brightness[seen.argmax(1)],
        "max": brightness[_VALUES - 1 - seen[:, ::-1].argmax(1)],
        "mean": mean,
        "std": np.sqrt((weight * (brightness - mean[:, None]) ** 2).sum(1)),
        **{name: brightness[(weight.cumsum(1) < share).sum(1)] for name, share in QUANTILES.items()},
    }
    return {**{name: numbers.reshape(3, 1, 1).tolist() for name, numbers in found.items()}, "count": [frames]}
