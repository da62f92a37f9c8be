"""Networks that differentiate themselves agree with autograd, however many threads they are spread over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from policy.perceptrons import Activation, Perceptrons

N, B, SIZES, OUT = 3, 7, (5, 2), 2
FUNCTIONS = {"gelu": functional.gelu, "relu": torch.relu, "silu": functional.silu, "tanh": torch.tanh}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def networks(activation: Activation, *, layer_norm: bool) -> tuple[Perceptrons, Tensor, list[Tensor]]:
    net = Perceptrons(N, SIZES, OUT, width=8, layers=2, activation=activation, layer_norm=layer_norm)
    generator = torch.Generator().manual_seed(0)
    flat = 0.4 * torch.randn(sum(net.sizes), generator=generator)
    return net, flat, [torch.randn(B, size, generator=generator) for size in SIZES]


def as_autograd_sees_it(net: Perceptrons, flat: Tensor, inputs: list[Tensor], *, layer_norm: bool) -> Tensor:
    bias, *weights = net.unpack(flat)
    hidden = bias + sum(value @ weight for value, weight in zip(inputs, weights, strict=False))
    for weight, bias in zip(weights[2::2], weights[3::2], strict=True):
        if layer_norm:
            hidden = functional.layer_norm(hidden, (8,))
        hidden = FUNCTIONS[net.activation](hidden) @ weight + bias
    return hidden


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_are_those_of_autograd(activation: Activation, *, layer_norm: bool) -> None:
    net, flat, inputs = networks(activation, layer_norm=layer_norm)
    leaves = [flat.clone().requires_grad_(), *(value.clone().requires_grad_() for value in inputs)]
    outputs = as_autograd_sees_it(net, leaves[0], leaves[1:], layer_norm=layer_norm)
    expected = torch.autograd.grad(outputs.pow(3).sum(), leaves)
    gradient = torch.full_like(flat, torch.nan)
    for number in (0, 1):
        found, towards = net.differentiate(
            flat, *inputs, slope=lambda outputs: 3.0 * outputs.square(), gradient=gradient, towards=number
        )
        torch.testing.assert_close(found, outputs.detach())
        torch.testing.assert_close(gradient, expected[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(towards, expected[1 + number], rtol=1e-3, atol=1e-4)


def test_chosen_networks_are_evaluated_in_the_order_of_the_choice() -> None:
    net, flat, inputs = networks(Activation.GELU, layer_norm=False)
    every = net(flat, *inputs)
    assert torch.equal(net(flat, *inputs, members=torch.tensor([2, 0])), every[[2, 0]])


@pytest.mark.usefixtures("threads")
def test_what_they_compute_does_not_depend_on_the_number_of_threads() -> None:
    found = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        net, flat, inputs = networks(Activation.GELU, layer_norm=True)
        gradient = torch.empty_like(flat)
        outputs, towards = net.differentiate(flat, *inputs, slope=torch.sin, gradient=gradient, towards=0)
        assert towards is not None
        found.append(torch.cat([outputs.flatten(), towards.flatten(), gradient]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
