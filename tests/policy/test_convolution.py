"""Convolutions laid out as products are torch's own convolutions, to rounding; gradients and files are the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from policy.convolution import Conv1d, Conv2d, Doubling, arrange

LAYERS = {
    "one_step": (Conv1d(6, 10, 1), (2, 6, 8)),
    "five_steps": (Conv1d(6, 10, 5, padding=2), (2, 6, 8)),
    "halving": (Conv1d(6, 6, 3, 2, 1), (2, 6, 8)),
    "doubling": (Doubling(6), (2, 6, 8)),
    "one_pixel": (Conv2d(6, 10, 1, 2, bias=False), (2, 6, 7, 10)),
    "many_channels": (Conv2d(256, 4, 3, 2, 1, bias=False), (2, 256, 7, 10)),
    "few_channels": (Conv2d(3, 4, 7, 2, 3), (2, 3, 11, 14)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_product_is_the_convolution_with_its_gradients(name: str) -> None:
    layer, shape = LAYERS[name]
    arranged = copy.deepcopy(layer)
    arrange(arranged, products=True)
    assert arranged.product is (name != "few_channels")
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    results = []
    for each in (layer, arranged):
        x = inputs.clone().requires_grad_()
        y = each(x)
        y.square().sum().backward()
        results.append((y, x.grad, *(weight.grad for weight in each.parameters())))
    for mine, theirs in zip(*results, strict=True):
        assert mine is not None and theirs is not None and mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_weights_keep_their_values_and_come_back_as_they_were(name: str) -> None:
    layer, _ = LAYERS[name]
    arranged = copy.deepcopy(layer)
    network = nn.Sequential(arranged)
    arrange(network, products=True)
    for mine, theirs in zip(layer.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    arrange(network, products=False)
    assert (
        not arranged.product
        and arranged.weight.is_contiguous()
        and torch.equal(layer.weight, arranged.weight)
    )
