"""A base policy at a server is, to the methods, the base policy itself: bit for bit, in two requests for a decision."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.base import BasePolicy, Window
from policy.remote.answering import PolicyAnswers
from policy.remote.base import RemoteBase
from policy.remote.error import RemotePolicyError
from policy.remote.line import Address
from policy.remote.wire import Content
from policy.steering.interface import Steering
from policy.steering.unsteered import BasePath, Unsteered
from policy.steering.zprl import ZPRL, WarmUp, ZPRLSettings
from station.policy_server import PolicyServer
from station.testing.rehearsal import tiny_base
from tests.policy.remote.serving import served
from tests.policy.remote.test_answering import looked

TOKEN = "a token of the tests"


@dataclass
class Counting(PolicyAnswers):
    """Remembers what it was asked."""

    base: BasePolicy
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.base)

    def answer(self, content: Content, ordinal: int = 0) -> Content:  # type: ignore[override]
        self.asked.append(str(content.get("ask")))
        return super().answer(content, ordinal)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    tiny_base().save(path)
    return path


@dataclass
class Pair:
    """The same policy here and at a server."""

    here: BasePolicy
    there: RemoteBase
    answers: Counting


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[Pair]:
    here = BasePolicy.load(folder)
    answers = Counting(here)
    server = PolicyServer(answers, TOKEN, host="127.0.0.1", port=0)
    with served(server.app()) as port:
        there = RemoteBase.at(address(port), folder)
        yield Pair(here, there, answers)
        there.close()


def address(port: int) -> Address:
    return Address(url=f"ws://127.0.0.1:{port}", token=TOKEN, deadline=20.0)


def decided(method: Steering, window: Window, *, explore: bool) -> dict[str, FloatArray]:
    rngs = [stream(4, "decision", row) for row in range(window.batch)]
    features = method.features(window, rngs, explore=explore)
    decision = method.act(window, features, rngs, explore=explore)
    return {**features, **decision.chosen, "actions": decision.actions}


def zprl(base: BasePolicy) -> ZPRL:
    """Acts with an untrained actor: z is sampled and perturbed."""
    return ZPRL(base, ZPRLSettings(lam=0.3, warmup=WarmUp.ACTOR), 3, n_action_steps=4)


@pytest.mark.slow
@pytest.mark.parametrize("explore", [True, False])
def test_zprl_decides_the_same_there_in_two_requests(pair: Pair, explore: bool) -> None:
    window = looked(pair.here)
    pair.answers.asked.clear()
    there = decided(zprl(pair.there), window, explore=explore)
    assert pair.answers.asked == ["embed", "act"]
    here = decided(zprl(pair.here), window, explore=explore)
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize("path", BasePath)
def test_the_unsteered_base_decides_the_same_there(pair: Pair, path: BasePath) -> None:
    window = looked(pair.here)
    here, there = (decided(Unsteered(base, path), window, explore=True) for base in (pair.here, pair.there))
    assert all(np.array_equal(here[name], there[name]) for name in here)


def test_a_latent_is_never_that_of_another_embedding(pair: Pair) -> None:
    window = looked(pair.here)
    with torch.inference_mode():
        c = pair.there.embed(window)
        other = c + 1.0
        assert torch.equal(pair.there.bottleneck.encode(other)[0], pair.here.bottleneck.encode(other)[0])
        assert torch.equal(pair.there.bottleneck.encode(c)[0], pair.here.bottleneck.encode(c)[0])
        c += 1.0
        assert torch.equal(pair.there.bottleneck.encode(c)[0], pair.here.bottleneck.encode(c)[0])


def test_what_needs_gradients_is_computed_here(pair: Pair) -> None:
    pair.answers.asked.clear()
    w = pair.there.draw_noise([stream(0, "w", 0)])
    z = torch.zeros(1, pair.there.dz, requires_grad=True)
    (slope,) = torch.autograd.grad(pair.there.decode_latent(z, w).sum(), z)
    assert slope.abs().sum() > 0
    assert pair.answers.asked == []


def test_a_copy_is_the_copiers_own(pair: Pair) -> None:
    copied = copy.deepcopy(pair.there)
    assert copied.hash == pair.here.hash
    for weight in copied.requires_grad_(requires_grad=True).parameters():
        weight.data += 0.01
    pair.answers.asked.clear()
    with torch.inference_mode():
        assert not torch.equal(copied.embed(looked(pair.here)), pair.here.embed(looked(pair.here)))
    assert pair.answers.asked == []


def test_a_server_with_another_policy_is_refused_by_both_hashes(tmp_path: Path, pair: Pair) -> None:
    other = tiny_base()
    other.requires_grad_(requires_grad=True)
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    other.freeze().save(tmp_path)
    server = PolicyServer(PolicyAnswers(other), TOKEN, host="127.0.0.1", port=0)
    with served(server.app()) as port, pytest.raises(RemotePolicyError) as refused:
        RemoteBase.at(address(port), tmp_path_of(pair, tmp_path))
    assert other.hash in str(refused.value) and pair.here.hash in str(refused.value)
    assert "station policy-server" in str(refused.value)


def tmp_path_of(pair: Pair, tmp_path: Path) -> Path:
    """A folder with the session's own policy."""
    pair.here.save(tmp_path / "own")
    return tmp_path / "own"


def test_features_that_are_not_finite_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = PolicyAnswers.answer

    def spoilt(answers: PolicyAnswers, content: Content, ordinal: int = 0) -> Content:
        answered = answer(answers, content, ordinal)
        answered["logvar"] = np.full_like(answered["logvar"], np.nan)
        return answered

    monkeypatch.setattr(PolicyAnswers, "answer", spoilt)
    with torch.inference_mode(), pytest.raises(RemotePolicyError, match="not finite"):
        pair.there.embed(looked(pair.here))


def test_a_wrong_answer_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ({}, {"actions": np.zeros((1, 2, 3), np.float32)}, {"actions": np.zeros((1, 8, 7))}):
        monkeypatch.setattr(PolicyAnswers, "answer", lambda *_, given=given: given)
        with pytest.raises(RemotePolicyError, match="gave a wrong answer: 'actions'"):
            pair.there.decode_latent(torch.zeros(1, 4), pair.there.draw_noise([stream(0, "w", 0)]))
