"""The pretended GPU refuses what a real one refuses."""

from __future__ import annotations

import pytest
import torch

from policy.devices import choose
from tests.policy.pretend_gpu import GPU, pretend_gpu


def test_it_computes_what_the_cpu_computes_and_counts_what_crosses(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(6.0).reshape(2, 3)
    with pretend_gpu(monkeypatch) as traffic:
        there = x.to(GPU)
        assert there.device == GPU and (traffic.up, traffic.down) == (1, 0)
        weight = torch.ones(3, 2, device="cuda", requires_grad=True)
        loss = (there @ weight).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = weight.grad
        assert gradient is not None and gradient.device == GPU
        assert loss.item() == float((x @ torch.ones(3, 2)).square().sum())
        assert traffic.reads >= 1
        assert torch.equal(there.cpu(), x) and traffic.down >= 1


def test_it_mixes_no_devices_and_is_not_read_as_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        there = torch.ones(3, device="cuda")
        with pytest.raises(AssertionError, match="mixes devices"):
            there + torch.ones(3)
        with pytest.raises(AssertionError, match="mixes devices"):
            there[torch.tensor([0, 1])]
        with pytest.raises(RuntimeError, match="not supported"):
            there.numpy()
        assert float((there + 1).sum()) == 6.0


def test_it_is_found_and_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        assert choose("auto").device == GPU and "Pretend" in choose("auto").words
