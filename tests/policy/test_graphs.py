"""A captured function gives its own results, on the pretended GPU, which refuses a capture's usual mistakes."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from datasets.randomness import stream
from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from policy.graphs import Graphed, Tensors
from tests.policy.pretend_gpu import GPU, pretend_gpu
from tests.policy.pretend_graph import CaptureError
from tests.policy.toys import SPEC, TINY, window


def test_a_graph_is_captured_once_for_each_shape_and_replays_with_new_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pretend_gpu(monkeypatch) as traffic:
        weight, calls = torch.eye(3, device="cuda"), []

        def scaled(x: Tensor) -> Tensors:
            calls.append(x.shape)
            return x @ weight, x.sum(1)

        graphed = Graphed(scaled, GPU, name="scaled")
        for row in range(5):
            x = torch.full((1, 3), float(row))
            product, total = graphed(x)
            assert torch.equal(product.cpu(), x) and total.item() == 3 * row
        assert (traffic.captures, traffic.replays) == (1, 5)
        before = len(calls)
        weight.mul_(2.0)
        doubled, _ = graphed(torch.ones(1, 3))
        assert torch.equal(doubled.cpu(), torch.full((1, 3), 2.0)) and len(calls) == before
        graphed(torch.ones(2, 3))
        assert traffic.captures == 2
        assert torch.equal(doubled.cpu(), torch.full((1, 3), 2.0)), (
            "a later call leaves earlier results alone"
        )


def test_warming_up_and_capturing_leave_no_trace_in_what_the_function_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pretend_gpu(monkeypatch):
        count = torch.zeros(1, device="cuda")

        def step(by: Tensor) -> Tensors:
            count.add_(by)
            return (count * 1.0,)

        graphed = Graphed(step, GPU, name="step", changes=lambda: [count])
        assert [graphed(torch.ones(1))[0].item() for _ in range(3)] == [1.0, 2.0, 3.0]
        assert count.item() == 3.0


def test_gradients_are_part_of_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    def descend(weight: Tensor, x: Tensor) -> Tensors:
        (gradient,) = torch.autograd.grad((x @ weight).square().sum(), weight)
        with torch.no_grad():
            weight.sub_(gradient, alpha=0.1)
        return (gradient,)

    inputs = [torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    here = torch.ones(3, 2, requires_grad=True)
    wanted = [descend(here, x)[0].clone() for x in inputs]
    with pretend_gpu(monkeypatch) as traffic:
        weight = torch.ones(3, 2, device="cuda", requires_grad=True)
        graphed = Graphed(lambda x: descend(weight, x), GPU, name="descend", changes=lambda: [weight])
        found = [graphed(x)[0].cpu() for x in inputs]
        assert traffic.captures == 1 and torch.equal(weight.detach().cpu(), here.detach())
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda x: (x * float(x.sum()),), "reads a number back"),
        (lambda x: (x.cpu().to(GPU),), "copies between CPU and GPU"),
        (lambda x: (x + torch.tensor([1.0, 2.0, 3.0]).to(GPU),), "copies between CPU and GPU"),
        (lambda x: (x + torch.rand_like(x),), "draws random numbers"),
    ],
)
def test_what_no_graph_can_hold_is_refused(
    mistake: Callable[[Tensor], Tensors], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretend_gpu(monkeypatch), pytest.raises(CaptureError, match=words):
        Graphed(mistake, GPU, name="mistaken")(torch.ones(1, 3))


def test_a_tensor_that_was_replaced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        held = {"weight": torch.ones(3, device="cuda")}
        graphed = Graphed(lambda x: (x * held["weight"],), GPU, name="scaled")
        graphed(torch.ones(3))
        held["weight"] = torch.full((3,), 2.0, device="cuda")
        with pytest.raises(CaptureError, match="freed"):
            graphed(torch.ones(3))
        graphed.forget()
        assert torch.equal(graphed(torch.ones(3))[0].cpu(), torch.full((3,), 2.0))


def test_where_a_capture_fails_the_function_is_called_and_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    with pretend_gpu(monkeypatch) as traffic, caplog.at_level(logging.WARNING):
        monkeypatch.setattr(torch.cuda, "graph", refuse)
        graphed = Graphed(lambda x: (x * 2.0,), GPU, name="a decision")
        assert [graphed(torch.full((1,), x))[0].item() for x in (1.0, 2.0)] == [2.0, 4.0]
    assert traffic.captures == 0
    (line,) = caplog.messages
    assert line == (
        "The GPU computes a decision kernel by kernel; no CUDA graph: "
        "CUDA error: operation not permitted when stream is capturing"
    )


def test_on_the_cpu_it_is_the_function() -> None:
    given = torch.ones(3)
    assert Graphed(lambda x: (x,), torch.device("cpu"), name="same")(given)[0] is given


def test_a_frozen_policy_decides_by_graphs_which_follow_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=3).freeze()
    rngs = [stream(0, "noise", row) for row in range(2)]
    seen, noise = window([(0.2, 0.3), (0.8, 0.6)]), base.draw_noise(rngs)

    def decided(policy: BasePolicy) -> list[Tensor]:
        with torch.inference_mode():
            c = policy.embed(seen)
            z, logvar = policy.encode(c)
            w = noise.to(policy.device)
            results = [c, z, logvar, policy.decode_latent(z, w), policy.decode(c, w)]
        return [value.cpu() for value in results]

    wanted = decided(base)
    with pretend_gpu(monkeypatch) as traffic:
        there = base.to(GPU)
        for _ in range(3):
            assert all(torch.equal(*pair) for pair in zip(decided(there), wanted, strict=True))
        assert (traffic.captures, traffic.replays) == (4, 12)
        copied = copy.deepcopy(there)
        with torch.no_grad():
            copied.action_normalizer.offset.add_(1.0)
        assert not torch.equal(decided(copied)[-1], wanted[-1])
        assert torch.equal(decided(there)[-1], wanted[-1]), "a copy has graphs of its own"
        c_hat = torch.zeros(2, there.dc, device="cuda", requires_grad=True)
        there.decode(c_hat, noise.to(GPU)).sum().backward()  # type: ignore[no-untyped-call]
        assert c_hat.grad is not None, "what is differentiated is computed without graphs"
