"""How fast this machine computes: the fastest of several calls, the work in one, the rate of a large matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

_FEWEST = 3
_SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the square matrices: large enough for the full rate, small enough for a few milliseconds."""


class Timer:
    """Times calls on one device, with as many threads as torch is set to."""

    def __init__(self, device: torch.device, *, seconds: float) -> None:
        """`seconds` to spend on one measurement, at least three calls."""
        self._device = device
        self._seconds = seconds
        # with one thread, processor time: what else runs on the machine costs the least of it
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self._clock = time.process_time if alone else time.perf_counter

    def times(self, call: Callable[[], object]) -> list[float]:
        """s of each of several calls, after a first one that loads what is needed."""
        self._time(call)
        times: list[float] = []
        until = time.monotonic() + self._seconds
        while len(times) < _FEWEST or time.monotonic() < until:
            times.append(self._time(call))
        return times

    def best(self, call: Callable[[], object]) -> float:
        """s of the fastest call: the others say more about what else the machine did."""
        return min(self.times(call))

    def _time(self, call: Callable[[], object]) -> float:
        self._wait()
        began = self._clock()
        call()
        self._wait()
        return self._clock() - began

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def matrix_rate(device: torch.device, timer: Timer) -> float:
    """FLOP/s of one large float32 product, in the precision that networks get."""
    size = _SIZES[device.type]
    left, right = (torch.full((size, size), 0.5, device=device) for _ in range(2))
    out = torch.empty_like(left)
    return 2.0 * size**3 / timer.best(lambda: torch.mm(left, right, out=out))


def flops(call: Callable[[], object]) -> float:
    """FLOP of the matrix products and convolutions in one call on the CPU; what is element-wise is not counted."""
    with torch_threads(1), FlopCounterMode(display=False) as counter:  # it sees this thread only
        call()
    return float(counter.get_total_flops())


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Set torch's number of threads within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
