"""A GPU for machines without one: tensors that say they are on cuda:0 and are computed on the CPU.

As on a real one, an operation on tensors of two devices fails (a number in CPU memory may join), and so does reading a
tensor as an array; what is copied between the devices, and every number read back, is counted. The results are the
CPU's, bit for bit, so a program that is right on the CPU and moves its tensors explicitly gives the same there.
A CUDA graph is captured and replayed as `pretend_graph` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_iter, tree_map

from tests.policy import pretend_graph
from tests.policy.pretend_graph import Recording

GPU = torch.device("cuda", 0)
_INFERENCE_MODE = torch.inference_mode
_READS = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::item"}
_MOVES = {"aten::_to_copy", "aten::copy_"}


class OnGpu(torch.Tensor):
    """A tensor that says it is on the GPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls: type[OnGpu], held: torch.Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device("meta"),  # what autograd sees: of a GPU it would want the streams
        )
        return made

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.held!r})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], *_: Any) -> OnGpu:
        return OnGpu(inner["held"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {}, None)


@dataclass
class Traffic:
    """What crossed between CPU and GPU."""

    up: int = 0
    down: int = 0
    reads: int = 0
    """Numbers read back, each of which waits for the GPU."""
    captures: int = 0
    """CUDA graphs captured."""
    replays: int = 0
    """Replays of a CUDA graph."""
    recording: Recording | None = None
    """Of the capture that is under way."""


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, traffic: Traffic) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._traffic = traffic

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self._traffic)


def _run(func: Any, args: Any, kwargs: dict[str, Any], traffic: Traffic | None) -> Any:
    name = func._schema.name
    tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, OnGpu)]
    here = [each for each in tensors if not isinstance(each, OnGpu)]
    wanted = kwargs.get("device")
    if name not in _MOVES and there and any(each.dim() for each in here):
        shapes = ", ".join(f"{tuple(each.shape)} on {each.device}" for each in tensors)
        raise AssertionError(f"{name} mixes devices: {shapes}")
    plain_args, plain_kwargs = tree_map(_held, args), tree_map(_held, kwargs)
    up = torch.device(wanted).type in ("cuda", "meta") if wanted is not None else bool(there)
    if name == "aten::copy_":
        up = isinstance(args[0], OnGpu)
    if wanted is not None:
        plain_kwargs["device"] = torch.device("cpu")
        plain_kwargs.pop("pin_memory", None)
    if traffic is not None:
        traffic.reads += name in _READS and bool(there)
        traffic.up += name in _MOVES and up and bool(here)
        traffic.down += name in _MOVES and not up and bool(there)
    recording = traffic.recording if traffic is not None else None
    if recording is not None:
        recording.refuse(
            func,
            reads=name in _READS and bool(there),
            crosses=name in _MOVES and ((up and bool(here)) or (not up and bool(there))),
            on_gpu=up or bool(there),
        )
        recording.before(func, there)
    found = func(*plain_args, **plain_kwargs)
    if recording is not None and up:
        recording.ran(func, plain_args, plain_kwargs, there, found)
    if not up:
        return found
    wrapped = tree_map(lambda each: OnGpu(each) if isinstance(each, torch.Tensor) else each, found)
    if not there:
        return wrapped
    return return_and_correct_aliasing(func, args, kwargs, wrapped)  # type: ignore[no-untyped-call]


def _no_grad(mode: object = True) -> Any:
    """`inference_mode`, as a decorator or a context, on or off."""
    if callable(mode):
        return torch.no_grad()(mode)
    return torch.no_grad() if mode else _INFERENCE_MODE(mode=False)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


@contextmanager
def pretend_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """torch finds one GPU while this lasts."""
    card = SimpleNamespace(name="Pretend", major=9, minor=0, total_memory=16 * 2**30)
    traffic = Traffic()
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "get_device_properties", lambda _: card)
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        # a torch built for CUDA would ask its driver about streams
        patch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        patch.setattr(torch, "inference_mode", _no_grad)  # its tensors have no views of another class
        pretend_graph.install(patch, traffic)
        with _Mode(traffic):
            yield traffic
