"""Batches that are drawn ahead of a GPU, and what computes in bfloat16 there."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch

from policy import training_stages
from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from policy.gradients import gradients
from policy.loading import AHEAD, batches
from policy.training_stages import WHOLE, BaseTraining, Batch
from tests.policy.pretend_gpu import GPU, pretend_gpu
from tests.policy.test_pretrain import SHORT, complete, pretraining, windows
from tests.policy.toys import SPEC, TINY


class Watched(BaseTraining):
    """Says which iterations were drawn, and may fail."""

    fails_at = -1

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.drawn = [threading.Event() for _ in range(SHORT.iterations)]

    def draw(self, iteration: int, part: slice = WHOLE) -> Batch:
        if iteration == self.fails_at:
            raise MemoryError("no room")
        self.drawn[iteration].set()
        return super().draw(iteration, part)


def stage() -> Watched:
    base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=3)
    base.fit_normalizers(windows())
    return Watched(base, copy.deepcopy(base), windows(), SHORT, seed=3)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_each_iteration_gets_its_own_rows(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part, expected = slice(2, 5), stage()
    with pretend_gpu(monkeypatch):
        there = GPU if device == "cuda" else torch.device("cpu")
        loaded = [batch["w"].cpu() for batch in batches(stage(), 7, part, there)]
    assert len(loaded) == SHORT.iterations - 7
    for iteration, w in enumerate(loaded, start=7):
        assert torch.equal(w, expected.draw(iteration)["w"][part])


def test_the_next_batches_are_drawn_while_a_gpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = stage()
    with pretend_gpu(monkeypatch):
        loaded = batches(watched, 0, WHOLE, GPU)
        next(loaded)
        assert watched.drawn[AHEAD].wait(10)
        assert not watched.drawn[AHEAD + 1].is_set()
        loaded.close()  # type: ignore[attr-defined]  # a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_an_error_of_the_loader_is_the_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = stage()
    watched.fails_at = 1
    with pretend_gpu(monkeypatch):
        loaded = batches(watched, 0, WHOLE, GPU)
        next(loaded)
        with pytest.raises(MemoryError, match="no room"):
            next(loaded)


def test_products_are_bfloat16_and_what_is_kept_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(*, reduced: bool) -> tuple[set[torch.dtype], torch.Tensor]:
        found, dtypes = stage(), set[torch.dtype]()
        model: Any = found.model
        for part in (model.encoder.cameras["top"].trunk[0], model.flow.unet.middle.blocks[0].film):
            part.register_forward_hook(lambda _part, _inputs, output: dtypes.add(output.dtype))
        with monkeypatch.context() as patch:
            if reduced:
                autocast = torch.autocast("cpu", torch.bfloat16)
                patch.setattr(training_stages, "precision", lambda *_, **__: autocast)
            with gradients(found, parts=1, cores=1) as compute:
                terms = compute(found.draw(0))
        weights: Any = found.trained(found.model)
        kept = [*terms.values(), *weights, *(weight.grad for weight in weights)]
        assert {tensor.dtype for tensor in kept} == {torch.float32}
        return dtypes, torch.cat([weight.grad.flatten() for weight in weights])

    plain, exact = computed(reduced=False)
    reduced, rounded = computed(reduced=True)
    assert (plain, reduced) == ({torch.float32}, {torch.bfloat16})
    assert float(torch.cosine_similarity(exact, rounded, dim=0)) > 0.99


def test_a_position_in_an_image_is_never_rounded() -> None:
    pool: Any = stage().model.encoder.cameras["top"].get_submodule("pool")
    feature = torch.randn(2, 16, 11, 11)
    exact = pool(feature)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pool(feature), exact)


@pytest.mark.slow
def test_a_base_trained_in_bfloat16_is_float32_and_about_as_good(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(exact := pretraining(tmp_path / "float32"))
    autocast = torch.autocast("cpu", torch.bfloat16)
    monkeypatch.setattr(training_stages, "precision", lambda *_, **__: autocast)
    complete(rounded := pretraining(tmp_path / "bfloat16"))
    assert rounded.base.hash != exact.base.hash
    assert {value.dtype for value in rounded.base.state_dict().values()} == {torch.float32}
    losses = [training.reports[0].held_out["total"] for training in (exact, rounded)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
