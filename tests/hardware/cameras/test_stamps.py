"""A camera's own clock on this machine's."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.randomness import stream
from hardware.cameras.stamps import ClockMap, plausible

TRANSFER = 0.012  # s that every image needs at least


def errors(clock: ClockMap, *, offset: float, drift: float, seconds: float, purpose: str) -> list[float]:
    """How late each mapped stamp is, s, for 30 Hz images whose arrivals jitter."""
    rng = stream(1, purpose, 0)
    late = []
    for taken in 100.0 + np.arange(0, seconds, 1 / 30):
        arrival = taken + TRANSFER + rng.exponential(0.004)
        late.append(clock.monotonic((taken - 100.0) * (1 + drift) + offset, arrival) - taken)
    return late


def test_stamps_are_late_by_the_least_transfer_and_free_of_jitter() -> None:
    late = np.array(errors(ClockMap(), offset=5e5, drift=0.0, seconds=20, purpose="steady"))[60:]
    assert abs(late.mean() - TRANSFER) < 0.001
    assert late.std() < 0.0005, "arrivals jitter by 4 ms"


def test_a_clock_that_drifts_is_followed() -> None:
    late = np.array(errors(ClockMap(), offset=7.0, drift=1e-4, seconds=120, purpose="drifting"))[60:]
    assert abs(late - TRANSFER).max() < 0.003, "12 ms apart after two minutes"


@pytest.mark.parametrize("offset", [0.0, 9e5])
def test_a_clock_that_begins_anew_is_mapped_at_once(offset: float) -> None:
    clock = ClockMap()
    errors(clock, offset=1000.0, drift=0.0, seconds=5, purpose="before")
    late = errors(clock, offset=offset, drift=0.0, seconds=2, purpose="after")
    assert max(late) < TRANSFER + 0.05
    assert min(late) > 0, "no image is from the future"


def test_a_stamp_from_the_future_or_of_long_ago_is_not_plausible() -> None:
    assert plausible(9.9, 10.0)
    assert not plausible(10.1, 10.0) and not plausible(3.0, 10.0)
