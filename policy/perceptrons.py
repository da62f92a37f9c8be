"""N equal multilayer perceptrons in one flat weight vector: their shapes, their values and their gradients.

The gradients are worked out here and not by autograd. On the CPU one network is computed after the other, forwards and
backwards in the same buffers, so that these and its weights stay in the processor's cache; its gradient is written
straight into one flat vector. With several threads the networks are spread over them, and what each of them computes
does not depend on how many there are. A GPU computes all networks at once. What they are for is up to policy/sac.py.
Shapes: B batch, N networks, n those that are computed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_T = TypeVar("_T")
_EPS = 1e-5
_aten = torch.ops.aten


class Activation(StrEnum):
    """Nonlinearity of actor and critics."""

    GELU = "gelu"
    RELU = "relu"
    SILU = "silu"
    TANH = "tanh"

    def forward(self, raw: Tensor, out: Tensor) -> None:
        """Apply it to each element."""
        match self:
            case Activation.GELU:
                _aten.gelu.out(raw, out=out)
            case Activation.RELU:
                _aten.relu.out(raw, out=out)
            case Activation.SILU:
                _aten.silu.out(raw, out=out)
            case Activation.TANH:
                _aten.tanh.out(raw, out=out)

    def backward(self, gradient: Tensor, raw: Tensor, active: Tensor) -> None:
        """Turn the gradient with respect to `active` into the one with respect to `raw`, in place."""
        match self:
            case Activation.GELU:
                _aten.gelu_backward.grad_input(gradient, raw, grad_input=gradient)
            case Activation.RELU:
                _aten.threshold_backward.grad_input(gradient, active, 0, grad_input=gradient)
            case Activation.SILU:
                _aten.silu_backward.grad_input(gradient, raw, grad_input=gradient)
            case Activation.TANH:
                _aten.tanh_backward.grad_input(gradient, active, grad_input=gradient)


class _Buffers:
    """What one pass through n networks leaves for the pass back, each tensor [n, B, width] for each hidden layer."""

    def __init__(self, n: int, batch: int, width: int, layers: int, device: torch.device) -> None:
        shape = n, batch, width
        self.sums = [torch.empty(shape, device=device) for _ in range(layers)]
        """Before the normalisation."""
        self.raw = list(self.sums)
        """Before the activation: the same tensors without a normalisation."""
        self.active = [torch.empty(shape, device=device) for _ in range(layers)]
        self.gradients = [torch.empty(shape, device=device) for _ in range(2)]
        self.moments: list[tuple[Tensor, Tensor]] = [(self.sums[0], self.sums[0])] * layers
        """Mean and reciprocal standard deviation of the normalisation."""


class Perceptrons:
    """The shapes of N equal MLPs, and their evaluation for a given flat weight vector.

    The first layer has separate weights for each input, so a gradient with respect to the smaller input alone does not
    involve the larger one.
    """

    def __init__(
        self,
        members: int,
        inputs: tuple[int, ...],
        outputs: int,
        *,
        width: int,
        layers: int,
        activation: Activation,
        layer_norm: bool = False,
    ) -> None:
        """`layers` hidden layers of `width`; with `layer_norm`, each is normalised before its activation."""
        self.members = members
        self.inputs = inputs
        self.activation = activation
        self.threads: int | None = None
        """Threads that the networks are spread over; None: as many as torch is set to."""
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._free: dict[tuple[int, int], list[_Buffers]] = {}
        self._normalised = layer_norm
        fans = [sum(inputs)] + [width] * layers
        outs = [width] * layers + [outputs]
        self.layers = list(zip(fans, outs, strict=True))
        self.shapes: list[tuple[int, ...]] = [(members, 1, width)]
        self.shapes += [(members, size, width) for size in inputs]
        for fan, out in self.layers[1:]:
            self.shapes += [(members, fan, out), (members, 1, out)]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def pack(self, weights: list[NDArray[np.float32]], biases: list[NDArray[np.float32]]) -> Tensor:
        """One flat vector from per-layer weights [N, fan, out] and biases [N, 1, out]."""
        parts = [biases[0], *np.split(weights[0], np.cumsum(self.inputs)[:-1], axis=1)]
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            parts += [weight, bias]
        return torch.from_numpy(np.concatenate([part.reshape(-1) for part in parts]).astype(np.float32))

    def unpack(self, flat: Tensor) -> list[Tensor]:
        """Views of the flat vector, in the order of `shapes`."""
        parts = torch.split(flat, self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def __call__(self, flat: Tensor, *inputs: Tensor, members: Tensor | None = None) -> Tensor:
        """Inputs, each [B, size] -> [n, B, outputs]; without gradients.

        `members` [n] int64 names the networks to evaluate; None: all N.
        """
        with torch.no_grad():
            blocks = self._blocks(flat, members)
            return torch.cat(self._each(blocks, lambda weights, _: self._evaluate(weights, inputs)))

    def differentiate(
        self,
        flat: Tensor,
        *inputs: Tensor,
        slope: Callable[[Tensor], Tensor],
        gradient: Tensor | None = None,
        towards: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Evaluate all networks and differentiate a loss that is a sum over them.

        `slope` gives the loss's gradient with respect to the outputs [n, B, outputs] of n networks; it is called for
        some of them at a time, perhaps in another thread. The gradient with respect to the weights is written into
        `gradient`, a flat vector. Returns all outputs [N, B, outputs], and the gradient with respect to input number
        `towards`, [B, size].
        """
        with torch.no_grad():
            blocks = self._blocks(flat, None)
            into = [None] * len(blocks) if gradient is None else self._blocks(gradient, None)

            def work(weights: list[Tensor], index: int) -> tuple[Tensor, Tensor | None]:
                with self._borrowed(weights, inputs) as buffers:
                    outputs = self._forward(weights, inputs, buffers)
                    with torch.enable_grad():
                        arriving = slope(outputs)
                    left = self._backward(arriving, weights, inputs, buffers, into[index])
                    if towards is None:
                        return outputs, None
                    return outputs, torch.bmm(left, weights[1 + towards].transpose(1, 2))

            found = self._each(blocks, work)
            parts = [part for _, part in found if part is not None]
            return torch.cat([outputs for outputs, _ in found]), torch.cat(parts).sum(0) if parts else None

    def _blocks(self, flat: Tensor, members: Tensor | None) -> list[list[Tensor]]:
        """Weights of the networks that are computed together: on the CPU each alone, else all."""
        weights = self.unpack(flat)
        if flat.device.type == "cpu":
            chosen = range(self.members) if members is None else members.tolist()
            return [[weight[k : k + 1] for weight in weights] for k in chosen]
        return [weights if members is None else [weight[members] for weight in weights]]

    def _each(self, blocks: list[list[Tensor]], work: Callable[[list[Tensor], int], _T]) -> list[_T]:
        """The results for all blocks, spread over the threads if there are several of both."""
        threads = self.threads or torch.get_num_threads()
        if threads < 2 or len(blocks) < 2:
            return [work(weights, index) for index, weights in enumerate(blocks)]

        def alone(weights: list[Tensor], index: int) -> _T:
            with torch.no_grad():  # a thread has a mode of its own
                return work(weights, index)

        return list(self._pool(threads).map(alone, blocks, range(len(blocks))))

    def _pool(self, threads: int) -> ThreadPoolExecutor:
        if threads not in self._pools:
            self._pools[threads] = ThreadPoolExecutor(
                threads, "networks", initializer=torch.set_num_threads, initargs=(1,)
            )
        return self._pools[threads]

    @contextmanager
    def _borrowed(self, weights: list[Tensor], inputs: Sequence[Tensor]) -> Iterator[_Buffers]:
        """Buffers that no other thread uses meanwhile."""
        n, batch = len(weights[0]), len(inputs[0])
        free = self._free.setdefault((n, batch), [])
        try:
            buffers = free.pop()
        except IndexError:
            width, layers = weights[0].shape[-1], len(self.layers) - 1
            with torch.inference_mode(mode=False):  # any mode may write into them
                buffers = _Buffers(n, batch, width, layers, weights[0].device)
        yield buffers
        free.append(buffers)

    def _evaluate(self, weights: list[Tensor], inputs: Sequence[Tensor]) -> Tensor:
        with self._borrowed(weights, inputs) as buffers:
            return self._forward(weights, inputs, buffers)

    def _forward(self, weights: list[Tensor], inputs: Sequence[Tensor], buffers: _Buffers) -> Tensor:
        """[n, B, outputs] of the n networks with these weights."""
        n, split = len(weights[0]), 1 + len(inputs)
        sums = torch.baddbmm(weights[0], _repeated(inputs[0], n), weights[1], out=buffers.sums[0])
        for value, weight in zip(inputs[1:], weights[2:split], strict=True):
            sums.baddbmm_(_repeated(value, n), weight)
        for index, (weight, bias) in enumerate(zip(weights[split::2], weights[split + 1 :: 2], strict=True)):
            if self._normalised:
                raw, *moments = torch.native_layer_norm(sums, sums.shape[-1:], None, None, _EPS)
                buffers.raw[index], buffers.moments[index] = raw, (moments[0], moments[1])
            self.activation.forward(buffers.raw[index], buffers.active[index])
            last = index == len(buffers.sums) - 1
            into = None if last else buffers.sums[index + 1]
            sums = torch.baddbmm(bias, buffers.active[index], weight, out=into)
        return sums

    def _backward(
        self,
        gradient: Tensor,
        weights: list[Tensor],
        inputs: Sequence[Tensor],
        buffers: _Buffers,
        into: list[Tensor] | None,
    ) -> Tensor:
        """The gradient with respect to the first layer's sums; those of the weights are written into `into`."""
        split = 1 + len(inputs)
        for index in reversed(range(len(buffers.sums))):
            at = split + 2 * index
            if into is not None:
                torch.bmm(buffers.active[index].transpose(1, 2), gradient, out=into[at])
                torch.sum(gradient, 1, keepdim=True, out=into[at + 1])
            gradient = torch.bmm(gradient, weights[at].transpose(1, 2), out=buffers.gradients[index % 2])
            self.activation.backward(gradient, buffers.raw[index], buffers.active[index])
            if self._normalised:
                sums, (mean, rstd) = buffers.sums[index], buffers.moments[index]
                gradient, _, _ = _aten.native_layer_norm_backward(
                    gradient, sums, sums.shape[-1:], mean, rstd, None, None, [True, False, False]
                )
        if into is not None:
            torch.sum(gradient, 1, keepdim=True, out=into[0])
            for value, part in zip(inputs, into[1:split], strict=True):
                torch.bmm(_repeated(value, len(gradient)).transpose(1, 2), gradient, out=part)
        return gradient


def _repeated(value: Tensor, n: int) -> Tensor:
    return value.expand(n, *value.shape)
