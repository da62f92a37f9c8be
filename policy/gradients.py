"""The gradient of one batch, in parts that the CPU's cores, or several processes, compute at once.

On cores, a part is a thread with a model of its own that shares the weights' memory and has its own gradients; their
sum, always in the same order, is the batch's. So the number of parts decides the result to the last bit, and the number
of cores only how long it takes. Among processes, each has its rows, and DistributedDataParallel averages.

Which batch, and what is done with the gradient, policy/pretrain.py decides.
"""

from __future__ import annotations

import copy
import ctypes
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from policy.base import BasePolicy
from policy.processes import ALONE, Processes, lost_is_a_sentence
from policy.training_stages import Batch, StageTraining, cut

Terms = dict[str, Tensor]
_Mapped = Callable[[Callable[[int], Terms], Iterable[int]], Iterable[Terms]]


class Gradients(ABC):
    """Computes loss terms and leaves their gradient in the weights; one stage long."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Terms:
        """This process's share of the terms; .grad holds the gradient of the whole batch's ``total``.

        `batch`: this process's rows, on the model's device.
        """


class OnCores(Gradients):
    """Of a batch in parts, on threads."""

    def __init__(self, stage: StageTraining, parts: int, mapped: _Mapped) -> None:
        """`mapped`: the `map` of a pool of threads, or the built-in one."""
        self._stage = stage
        self._models = [stage.model, *(_twin(stage.model) for _ in range(parts - 1))]
        self._weights = [stage.trained(model) for model in self._models]
        self._mapped = mapped

    def __call__(self, batch: Batch) -> Terms:
        """See Gradients."""
        rows = len(batch["w"])
        edges = [rows * part // len(self._models) for part in range(len(self._models) + 1)]
        pieces = [cut(batch, slice(a, b)) for a, b in itertools.pairwise(edges)]

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


class AmongProcesses(Gradients):
    """Of a batch of which each process has its rows."""

    def __init__(self, stage: StageTraining, processes: Processes) -> None:
        """Weights become those of the first process."""
        self._count = processes.count
        with lost_is_a_sentence():
            self._shares = DistributedDataParallel(_Shares(stage), forward_sync_buffers=False)

    def __call__(self, batch: Batch) -> Terms:
        """See Gradients."""
        self._shares.zero_grad(set_to_none=True)
        with lost_is_a_sentence():
            terms: Terms = self._shares(batch)
            averaged = self._count * terms["total"]  # over the processes, when it is back
            averaged.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return {name: value.detach() for name, value in terms.items()}


class _Shares(nn.Module):
    """The whole loss as one module, which DistributedDataParallel wants."""

    def __init__(self, stage: StageTraining) -> None:
        super().__init__()
        self.model = stage.model
        self._stage = stage

    def forward(self, batch: Batch) -> Terms:
        """Terms, each times the share of the batch's rows that are here."""
        share = len(batch["w"]) / self._stage.batch
        return {name: value * share for name, value in self._stage.losses(self.model, batch).items()}


@contextmanager
def gradients(
    stage: StageTraining, parts: int, cores: int, processes: Processes = ALONE
) -> Iterator[Gradients]:
    """The gradients of `parts` of each batch, on at most `cores` threads at once; or of several `processes`."""
    if processes.count > 1:
        yield AmongProcesses(stage, processes)
        return
    if min(parts, cores) == 1:
        yield OnCores(stage, parts, map)
        return
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(
        min(parts, cores), "gradient", initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        yield OnCores(stage, parts, pool.map)


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
