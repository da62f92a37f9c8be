"""How hard a latent is being pushed, and whether it still lies where the bottleneck was trained.

Figures for the choice of lam: magnitudes (the RMS rule), the distance of steered latents from the trained ones, and the
shift of the decoded embedding. They advise; nothing here changes a learner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datasets.observation import FloatArray

RMS_RULE = (0.10, 0.20)
"""The paper's practical guideline: RMS(lam dz) should lie between these shares of RMS(z)."""
TYPICAL_DZ_RMS = 1.0 / 3.0
"""RMS(dz) of an actor that learns under an entropy target of -dz/2; between .31 and .39 where it was measured."""


def rms(values: FloatArray) -> float:
    """Root mean square over all entries; 0 for none."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def rms_ratio(z: FloatArray, dz: FloatArray, lam: float) -> float:
    """RMS(lam dz) / RMS(z); 0 where there is no latent."""
    magnitude = rms(z)
    return lam * rms(dz) / magnitude if magnitude else 0.0


def propose_lam(z: FloatArray, *, ratio: float = 0.15, dz_rms: float = TYPICAL_DZ_RMS) -> float:
    """The lam whose push is `ratio` of the latents `z` [n, dz], for actions of magnitude `dz_rms`.

    Raises ValueError when there is no latent to measure.
    """
    magnitude = rms(z)
    if not magnitude:
        raise ValueError("No latents to measure. Collect warm-up chunks first, or set lam in the task.")
    return ratio * magnitude / dz_rms


class LatentSupport:
    """A Gaussian around trained latents, with a covariance shrunk towards a multiple of the identity."""

    def __init__(self, z: FloatArray) -> None:
        """Fit to latents [n, dz], n at least 2."""
        if len(z) < 2:
            raise ValueError(f"A Gaussian needs at least 2 latents, got {len(z)}.")
        latents = z.astype(np.float64)
        self.mean: NDArray[np.float64] = np.asarray(latents.mean(0), np.float64)
        covariance = shrunk_covariance(latents - self.mean)
        self.precision: NDArray[np.float64] = np.asarray(np.linalg.inv(covariance), np.float64)

    def distance(self, z: FloatArray) -> NDArray[np.float64]:
        """Mahalanobis distance of latents [n, dz], [n]."""
        offset = z.astype(np.float64) - self.mean
        squared = np.einsum("ni,ij,nj->n", offset, self.precision, offset)
        return np.asarray(np.sqrt(squared), np.float64)


def shrunk_covariance(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance [d, d] of centred samples [n, d], shrunk as Ledoit and Wolf (2004) propose."""
    n, d = centred.shape
    sample = centred.T @ centred / n
    scale = np.trace(sample) / d
    spread = np.sum((sample - scale * np.eye(d)) ** 2) / d
    # Mean squared error of the sample covariance, estimated from the scatter of single outer products around it.
    error = (np.sum(np.sum(centred**2, axis=1) ** 2) / n - np.sum(sample**2)) / (n * d)
    weight = min(error, spread) / spread if spread > 0 else 1.0
    shrunk = weight * scale * np.eye(d) + (1.0 - weight) * sample
    return np.asarray(shrunk + 1e-9 * np.eye(d), np.float64)


def displacement(c_hat: FloatArray, c_tilde: FloatArray) -> float:
    """Mean L2 distance of decoded embeddings [n, dc] without and with the push; below about 0.8 worked in the paper."""
    return float(np.linalg.norm(c_tilde - c_hat, axis=-1).mean())
