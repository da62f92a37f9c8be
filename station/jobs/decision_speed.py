"""A decision beside the matrix products that it consists of, in one run, for each number of CPU threads.

The products are measured twice: in their own sizes, each with its own operands, which have to be read from memory, and
as the same number of operations in products of large square matrices, which stay in a processor's caches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from policy.devices import cores, cpu_threads

if TYPE_CHECKING:
    from policy.base import BasePolicy

_SQUARE = 1024


@dataclass(frozen=True, kw_only=True)
class DecisionSpeed:
    """With one number of threads; times in s, each the shortest of several that took turns."""

    threads: int
    decision: float
    flop: float
    """Of the decision's matrix products and convolutions."""
    products: float
    """The same products in their own sizes, a convolution as the one product that it is."""
    square: float
    """As many operations in products of large square matrices."""


def decision_speeds(
    decide: Callable[[], object],
    base: BasePolicy,
    *,
    threads: Sequence[int] = (),
    rounds: int = 5,
    wall: bool = False,
) -> list[DecisionSpeed]:
    """Measure `decide`, a decision of `base` on the CPU, with each number of threads (none: 1, 2, 4 .. all cores).

    One thread is measured in processor time, which other load disturbs least; `wall`: by the clock as well, for a
    comparison of numbers of threads.
    """
    numbers = threads or sorted({min(2**power, cores()) for power in range(cores().bit_length() + 1)})
    sizes = products_of(decide)
    flop = sum(2.0 * math.prod(size) for size, _ in sizes)
    before, base.threads = base.threads, None
    try:
        return [_speed(number, decide, sizes, flop, rounds, wall=wall or number > 1) for number in numbers]
    finally:
        base.threads = before


def products_of(call: Callable[[], object]) -> list[tuple[tuple[int, int, int, int], int]]:
    """(batch, m, k, n) of each product [batch, m, k] x [batch, k, n] in one call, and its second operand's address."""
    seen = _Products()
    with seen:
        call()
    return seen.products


def _speed(
    threads: int,
    decide: Callable[[], object],
    sizes: Sequence[tuple[tuple[int, int, int, int], int]],
    flop: float,
    rounds: int,
    *,
    wall: bool,
) -> DecisionSpeed:
    weights = {(size, place): torch.rand(size[0], size[2], size[3]) for size, place in sizes}
    pairs = [(torch.rand(size[:3]), weights[size, place]) for size, place in sizes]
    left = right = torch.rand(_SQUARE, _SQUARE)
    calls: list[Callable[[], object]] = [
        decide,
        lambda: [
            torch.bmm(*pair) if len(pair[0]) > 1 else torch.mm(pair[0][0], pair[1][0]) for pair in pairs
        ],
        lambda: torch.mm(left, right),
    ]
    clock = time.perf_counter if wall else time.process_time
    best = [math.inf] * len(calls)
    with cpu_threads(threads), torch.inference_mode():
        for round_ in range(rounds + 1):
            for number, call in enumerate(calls):
                began = clock()
                call()
                if round_:  # the first one loads what is needed
                    best[number] = min(best[number], clock() - began)
    return DecisionSpeed(
        threads=threads,
        decision=best[0],
        flop=flop,
        products=best[1],
        square=best[2] * flop / (2.0 * _SQUARE**3),
    )


class _Products(TorchDispatchMode):
    """Notes the sizes of the products that torch computes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[tuple[tuple[int, int, int, int], int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name in _OPERANDS:
            first, second = (args[at] for at in _OPERANDS[name])
            batch = first.shape[0] if first.dim() == 3 else 1
            self._note(batch, first.shape[-2], first.shape[-1], second.shape[-1], second)
        elif name in ("convolution", "_convolution", "convolution_overrideable"):
            result = func(*args, **kwargs)
            self._convolution(args[0], args[1], result, transposed=bool(args[6]))
            return result
        else:
            with self:
                composed = func.decompose(*args, **kwargs)
            if composed is not NotImplemented:
                return composed
        return func(*args, **kwargs)

    def _convolution(self, x: Tensor, weight: Tensor, y: Tensor, *, transposed: bool) -> None:
        places = (x if transposed else y)[:, 0].numel()
        k = len(weight) if transposed else weight[0].numel()
        self._note(1, places, k, weight.numel() // k, weight)

    def _note(self, batch: int, m: int, k: int, n: int, second: Tensor) -> None:
        self.products.append(((batch, m, k, n), second.data_ptr()))


_OPERANDS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
"""Which arguments are multiplied."""
