"""CUDA graphs of the pretended GPU: a replay repeats the captured operations on the captured memory, without Python.

As on a real GPU, nothing happens while a graph is captured: results hold NaN until the first replay, what the captured
operations changed in place is as before, and memory from outside belongs to whoever holds it. What a real capture
refuses, or would take silently and get wrong, is a `CaptureError`, which no fallback catches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_iter, tree_map

if TYPE_CHECKING:
    from tests.policy.pretend_gpu import OnGpu, Traffic

_LEFT_EMPTY = {"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty"}


class CaptureError(Exception):
    """What must not be done in a capture."""


class _Address:
    """Part of the GPU's memory, which this does not keep from being freed."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._storage = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._kind, self._offset = tensor.dtype, tensor.storage_offset()
        self._shape, self._stride = tensor.shape, tensor.stride()

    @property
    def tensor(self) -> torch.Tensor:
        storage = torch.UntypedStorage._new_with_weak_ptr(self._storage.cdata)
        if storage is None:
            raise CaptureError(f"The graph uses a tensor {tuple(self._shape)} that was freed since.")
        whole = torch.empty(0, dtype=self._kind)
        return whole.set_(storage, self._offset, self._shape, self._stride)


@dataclass
class _Operation:
    call: Callable[..., Any]
    args: Any
    kwargs: Any
    results: list[torch.Tensor]
    """Where they belong; none for what the operation changes in place."""

    def repeat(self) -> None:
        found = self.call(*tree_map(_resolved, self.args), **tree_map(_resolved, self.kwargs))
        values = [each for each in tree_iter(found) if isinstance(each, torch.Tensor)]
        for place, value in zip(self.results, values, strict=False):
            place.copy_(value)


@dataclass
class Recording:
    """What a capture has seen so far."""

    operations: list[_Operation] = field(default_factory=list)
    _own: dict[int, torch.Tensor] = field(default_factory=dict)
    """Tensors made in the capture, by the address of their memory."""
    _before: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    """Memory from outside that the capture changed, and what it held."""

    def refuse(self, func: Any, *, reads: bool, crosses: bool, on_gpu: bool) -> None:
        """Raise CaptureError for what a capture cannot hold."""
        name = func._schema.name
        if reads:
            raise CaptureError(f"{name} reads a number back while a graph is captured.")
        if crosses:
            raise CaptureError(f"{name} copies between CPU and GPU while a graph is captured.")
        if on_gpu and torch.Tag.nondeterministic_seeded in func.tags:
            raise CaptureError(f"{name} draws random numbers while a graph is captured.")

    def before(self, func: Any, there: Sequence[OnGpu]) -> None:
        """An operation is about to run."""
        for tensor in there if func._schema.is_mutable else ():
            place = _place(tensor.held)
            if place not in self._own and place not in self._before:
                whole = torch.empty(0, dtype=torch.uint8).set_(tensor.held.untyped_storage())
                self._before[place] = whole, whole.clone()

    def ran(self, func: Any, args: Any, kwargs: Any, there: Sequence[OnGpu], found: Any) -> None:
        """An operation ran on these plain tensors."""
        name, given = func._schema.name, {_place(tensor.held) for tensor in there}
        made = [each for each in tree_iter(found) if isinstance(each, torch.Tensor)]
        fresh = [each for each in made if _place(each) not in given]
        for tensor in fresh:
            self._own.setdefault(_place(tensor), tensor)
        if name in _LEFT_EMPTY or (not fresh and not func._schema.is_mutable):
            return  # a view is where it was

        def kept(value: Any) -> Any:
            return self._kept(value, given)

        stored = tree_map(kept, args), tree_map(kept, kwargs)
        results = [] if func._schema.is_mutable else made
        self.operations.append(_Operation(func, *stored, results))

    def end(self) -> None:
        """Nothing has happened."""
        for whole, held in self._before.values():
            whole.copy_(held)
        self._before.clear()
        for tensor in self._own.values():
            if tensor.is_floating_point():
                tensor.fill_(float("nan"))

    def _kept(self, value: Any, given: set[int]) -> Any:
        if not isinstance(value, torch.Tensor) or _place(value) in self._own:
            return value
        # a number in CPU memory is passed by value
        return _Address(value) if _place(value) in given else value.clone()


class _Graph:
    """torch.cuda.CUDAGraph."""

    def __init__(self, traffic: Traffic) -> None:
        self.recording = Recording()
        self._traffic = traffic

    def replay(self) -> None:
        self._traffic.replays += 1
        recording = self.recording
        with torch.no_grad():
            for operation in recording.operations:
                operation.repeat()


class _Stream:
    def wait_stream(self, _: object) -> None:
        """All is in order already."""


def install(patch: pytest.MonkeyPatch, traffic: Traffic) -> None:
    """torch.cuda captures and replays graphs while `patch` lasts."""

    @contextmanager
    def graph(into: _Graph, **_: object) -> Iterator[None]:
        traffic.recording = into.recording
        try:
            yield
        finally:
            traffic.recording = None
        into.recording.end()
        traffic.captures += 1

    patch.setattr(torch.cuda, "CUDAGraph", lambda: _Graph(traffic))
    patch.setattr(torch.cuda, "graph", graph)
    patch.setattr(torch.cuda, "Stream", _Stream)
    patch.setattr(torch.cuda, "current_stream", _Stream)
    patch.setattr(torch.cuda, "set_stream", lambda _: None)
    patch.setattr(torch.cuda, "stream", lambda _: nullcontext())


def _place(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _resolved(value: Any) -> Any:
    return value.tensor if isinstance(value, _Address) else value
