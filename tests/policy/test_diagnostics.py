"""Figures that advise on lam."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.randomness import stream
from policy.diagnostics import LatentSupport, displacement, propose_lam, rms, rms_ratio


def test_the_proposed_lam_gives_the_wanted_ratio() -> None:
    rng = stream(0, "latents")
    z = rng.normal(0, 2.0, (500, 8)).astype(np.float32)
    dz = rng.uniform(-1, 1, (500, 8)).astype(np.float32)
    lam = propose_lam(z, ratio=0.15, dz_rms=rms(dz))
    assert rms_ratio(z, dz, lam) == pytest.approx(0.15, rel=1e-5)


def test_no_latents_no_proposal() -> None:
    with pytest.raises(ValueError, match="warm-up"):
        propose_lam(np.zeros((0, 4), np.float32))


def test_distance_is_in_standard_deviations_and_grows_off_the_support() -> None:
    rng = stream(1, "latents")
    spread = np.array([1.0, 0.1, 3.0])
    support = LatentSupport((rng.normal(size=(20_000, 3)) * spread).astype(np.float32))
    far = support.distance((2.0 * np.diag(spread)).astype(np.float32))
    np.testing.assert_allclose(far, 2.0, rtol=0.05)


def test_few_samples_still_give_a_usable_distance() -> None:
    rng = stream(2, "latents")
    support = LatentSupport(rng.normal(size=(6, 16)).astype(np.float32))
    distance = support.distance(rng.normal(size=(50, 16)).astype(np.float32))
    assert np.isfinite(distance).all()
    assert float(distance.mean()) < 20.0


def test_displacement_is_the_mean_length_of_the_shift() -> None:
    c_hat = np.zeros((2, 2), np.float32)
    assert displacement(c_hat, np.array([[3, 4], [0, 1]], np.float32)) == pytest.approx(3.0)
