"""Several processes that train one policy, as `torchrun` starts them: who is who, and what they tell each other.

Gradients are exchanged by torch's DistributedDataParallel (policy/gradients.py), on GPUs over NCCL, else over gloo;
what is said here goes over gloo. A process alone, `ALONE`, tells itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from datasets.errors import StationError, UsageError
from policy.devices import Choice, choose

_T = TypeVar("_T")


class ProcessLostError(StationError):
    """Another process of the training has ended."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among `count` of them. What is called here is called by all of them, in the same order."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Number of this process on its computer."""

    @property
    def leads(self) -> bool:
        """Whether this one prints, holds the session's lock, and writes."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """This process's rows of a batch."""
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes. Raises ProcessLostError, as do all that follow."""
        numbers = torch.tensor(values, dtype=torch.float64)
        return list(map(float, self._reduced(numbers, distributed.ReduceOp.SUM)))

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return int(self._reduced(torch.tensor(number), distributed.ReduceOp.MAX))

    def from_first(self, make: Callable[[], _T]) -> _T:
        """What the first process makes of it; plain types."""
        if self.count == 1:
            return make()
        told = [make() if self.leads else None]
        with lost_is_a_sentence():
            distributed.broadcast_object_list(told, device=torch.device("cpu"))
        return told[0]  # type: ignore[return-value]  # the first process's

    def meet(self) -> None:
        """Return when all processes are here."""
        self.largest(0)

    def device(self, name: str) -> Choice:
        """As `policy.devices.choose`; of several processes on one computer, each takes the GPU of its number.

        Raises:
            UsageError: `name` is one GPU for all processes. Whatever `choose` raises.
        """
        if self.count > 1 and name.startswith("cuda:"):
            raise UsageError(
                f"{self.count} processes cannot share {name}.", remedy="Use --device cuda or cpu."
            )
        choice = choose(name)
        if self.count == 1 or choice.device.type == "cpu":
            return choice
        return choose(f"cuda:{self.local_rank}")

    def _reduced(self, numbers: torch.Tensor, how: distributed.ReduceOp.RedOpType) -> torch.Tensor:
        if self.count > 1:
            with lost_is_a_sentence():
                distributed.all_reduce(numbers, how)
        return numbers


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that `torchrun` started, or this one alone."""
    if not distributed.is_torchelastic_launched():
        yield ALONE
        return
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    yield Processes(
        rank=distributed.get_rank(),
        count=distributed.get_world_size(),
        local_rank=int(os.environ["LOCAL_RANK"]),
    )
    distributed.destroy_process_group()


@contextmanager
def lost_is_a_sentence() -> Iterator[None]:
    """Turn what torch raises when another process ends into a ProcessLostError."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLostError(
            "Another process of this training ended; what it printed says why. Everything up to the last checkpoint "
            "is kept: run the same command again."
        ) from error
