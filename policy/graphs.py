"""A function of tensors of fixed shapes as one CUDA graph: captured at its first call, replayed from then on.

A replay launches all kernels at once, where Python would take longer to ask for them one by one than the GPU to run
them. It repeats the kernels and the addresses of the capture, and no line of Python, so the function

- gets everything that changes from call to call as an argument, or reads it from tensors that are changed in place;
- draws no random numbers, reads no number back, and copies nothing between CPU and GPU.

On the CPU, and where a capture fails, calls go to the function itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]
_WARM_UPS = 3
_MOST = 8
"""Graphs of one function, one for each combination of shapes; further ones are computed without."""


class Graphed:
    """`function`, replayed. Not for several threads at once."""

    def __init__(
        self,
        function: Callable[..., Tensors],
        device: torch.device,
        *,
        name: str,
        changes: Callable[[], Sequence[Tensor]] = tuple,
    ) -> None:
        """`function` of tensors on `device`, called `name` in the log; captures nothing yet.

        `changes` lists the tensors that the function changes in place, such as weights. They are restored after the
        calls that warm up, so that the first call, too, counts once.
        """
        self._function = function
        self._device = device
        self._name = name
        self._changes = changes
        self._captured: dict[tuple[object, ...], _Capture | None] = {}

    def __call__(self, *inputs: Tensor) -> Tensors:
        """The function's results for `inputs`, which may be in CPU memory; the results are the caller's own."""
        if self._device.type != "cuda":
            return self._function(*inputs)
        shapes = tuple((value.shape, value.dtype) for value in inputs)
        if shapes not in self._captured:
            self._captured[shapes] = self._capture(inputs)
        capture = self._captured[shapes]
        if capture is None:
            return self._function(*(value.to(self._device) for value in inputs))
        return capture.replay(inputs)

    def forget(self) -> None:
        """Capture again: weights are at other addresses."""
        self._captured.clear()

    def _capture(self, inputs: Tensors) -> _Capture | None:
        if len(self._captured) >= _MOST:
            return None
        with torch.inference_mode(mode=False):  # buffers that any mode may write
            held = tuple(torch.empty_like(value, device=self._device) for value in inputs)
        for buffer, value in zip(held, inputs, strict=True):
            buffer.copy_(value)
        self._warm_up(held)
        try:
            return _Capture(self._function, held)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            _log.warning("The GPU computes %s kernel by kernel; no CUDA graph: %s", self._name, reason)
            return None

    def _warm_up(self, held: Tensors) -> None:
        """Load kernels and libraries, on a stream of its own, as a capture demands."""
        changed = [(tensor, tensor.detach().clone()) for tensor in self._changes()]
        with _aside():
            for _ in range(_WARM_UPS):
                self._function(*held)
            with torch.no_grad():
                for tensor, before in changed:
                    tensor.copy_(before)


class _Capture:
    def __init__(self, function: Callable[..., Tensors], held: Tensors) -> None:
        self._held = held
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local", check_input_liveness=True):
                self._results = function(*held)
        finally:
            torch.cuda.set_stream(stream)  # a capture that fails leaves its own one current

    def replay(self, inputs: Tensors) -> Tensors:
        with torch.no_grad():
            for buffer, value in zip(self._held, inputs, strict=True):
                buffer.copy_(value)
            self._graph.replay()
            return tuple(value.detach().clone() for value in self._results)


@contextmanager
def _aside() -> Iterator[None]:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    current = torch.cuda.current_stream()
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        yield
    current.wait_stream(stream)
