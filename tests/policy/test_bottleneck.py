from __future__ import annotations

import torch

from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings, through_frozen
from tests.policy.toys import SPEC, TINY, window


def policy() -> BasePolicy:
    return BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=1)


def test_its_loss_trains_the_bottleneck_and_leaves_encoder_and_flow_alone() -> None:
    base = policy()
    c = base.embed(window([(0.2, 0.3), (0.8, 0.6)]))
    a, w = torch.zeros(2, 4, 7), torch.ones(2, 4, 7)
    total = base.bottleneck.loss(base.flow, a, w, torch.tensor([0.3, 0.9]), c, torch.ones(2, 4))["total"]
    torch.autograd.backward(total)
    assert all(weight.grad is not None and weight.grad.any() for weight in base.bottleneck.parameters())
    assert all(weight.grad is None for part in (base.encoder, base.flow) for weight in part.parameters())


def test_the_gradient_passes_through_the_frozen_flow_to_the_decoded_embedding() -> None:
    base = policy()
    c_hat = torch.zeros(2, base.dc, requires_grad=True)
    a, w = torch.zeros(2, 4, 7), torch.ones(2, 4, 7)
    torch.autograd.backward(through_frozen(base.flow, a, w, torch.tensor([0.3, 0.9]), c_hat))
    assert c_hat.grad is not None and bool(c_hat.grad.any())


def test_the_imitation_path_is_the_same_with_and_without_the_bottleneck_beside_it() -> None:
    gradients = []
    for beside in (False, True):
        base = policy()
        c = base.embed(window([(0.2, 0.3), (0.8, 0.6)]))
        a, w, k = torch.zeros(2, 4, 7), torch.ones(2, 4, 7), torch.tensor([0.3, 0.9])
        loss = base.flow(a, w, k, c)
        if beside:
            loss = loss + base.bottleneck.loss(base.flow, a, w, k, c, torch.ones(2, 4))["total"]
        loss.backward()
        gradients.append([weight.grad for part in (base.encoder, base.flow) for weight in part.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_kl_is_averaged_over_the_dimensions_of_the_latent() -> None:
    base = policy()
    for head in (base.bottleneck.mean, base.bottleneck.logvar):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    torch.nn.init.ones_(base.bottleneck.mean.bias)
    c, chunk = torch.zeros(2, base.dc), torch.zeros(2, 4, 7)
    terms = base.bottleneck.loss(base.flow, chunk, chunk, torch.tensor([0.5, 0.5]), c, torch.zeros(2, 4))
    assert terms["kl"].item() == 0.5
