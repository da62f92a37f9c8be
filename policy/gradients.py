"""The gradient of one batch, in parts that the CPU's cores compute at once.

A part is a thread with a model of its own that shares the weights' memory and has its own gradients; their sum, always
in the same order, is the batch's. So the number of parts decides the result to the last bit, and the number of cores
only how long it takes. Which batch, and what is done with the gradient, policy/pretrain.py decides.
"""

from __future__ import annotations

import copy
import ctypes
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from policy.base import BasePolicy
from policy.training_stages import Batch, StageTraining

Terms = dict[str, Tensor]
_Mapped = Callable[[Callable[[int], Terms], Iterable[int]], Iterable[Terms]]


class Gradients:
    """Computes loss terms and leaves their gradient in the weights; one stage long."""

    def __init__(self, stage: StageTraining, parts: int, mapped: _Mapped) -> None:
        """`mapped`: the `map` of a pool of threads, or the built-in one."""
        self._stage = stage
        self._models = [stage.model, *(_twin(stage.model) for _ in range(parts - 1))]
        self._weights = [stage.trained(model) for model in self._models]
        self._mapped = mapped

    def __call__(self, batch: Batch) -> Terms:
        """The terms of the whole batch, which is on the model's device; .grad holds the gradient of ``total``."""
        rows = len(batch["w"])
        edges = [rows * part // len(self._models) for part in range(len(self._models) + 1)]
        pieces = [{name: tensor[a:b] for name, tensor in batch.items()} for a, b in itertools.pairwise(edges)]

        def compute(part: int) -> Terms:
            self._models[part].zero_grad(set_to_none=True)
            terms = self._stage.losses(self._models[part], pieces[part])
            share = (edges[part + 1] - edges[part]) / rows
            scaled = {name: value * share for name, value in terms.items()}
            scaled["total"].backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            return {name: value.detach() for name, value in scaled.items()}

        first, *others = self._mapped(compute, range(len(self._models)))
        for part, terms in enumerate(others, start=1):
            torch._foreach_add_(_gradients(self._weights[0]), _gradients(self._weights[part]))
            first = {name: value + terms[name] for name, value in first.items()}
        return first


@contextmanager
def gradients(stage: StageTraining, parts: int, cores: int) -> Iterator[Gradients]:
    """The gradients of `parts` of each batch, on at most `cores` threads at once."""
    if min(parts, cores) == 1:
        yield Gradients(stage, parts, map)
        return
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(
        min(parts, cores), "gradient", initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        yield Gradients(stage, parts, pool.map)


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors, which the next step needs again.

    glibc returns it, and each step of a small network then spends a tenth of its time on thousands of page faults.
    Other C libraries are left as they are.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST, _KEPT = 2**25, 2**30
"""Bytes: of the largest tensor that is kept, and how much at most."""


def _twin(model: BasePolicy) -> BasePolicy:
    """A model whose weights are those of `model`, in the same memory, with gradients of their own."""
    memory: dict[int, Tensor] = {id(buffer): buffer for buffer in model.buffers()}
    for weight in model.parameters():
        memory[id(weight)] = nn.Parameter(weight.detach(), requires_grad=weight.requires_grad)
    return copy.deepcopy(model, memory)


def _gradients(weights: list[nn.Parameter]) -> list[Tensor]:
    return [weight.grad for weight in weights if weight.grad is not None]
