"""The base behind the methods' interface: three ways to the flow, and nothing learnt."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.randomness import stream
from policy.replay import ReplayBuffer
from policy.steering.unsteered import BasePath, Unsteered
from policy.steering.zprl import ZPRL, ZPRLSettings
from tests.policy.steering.toys import ToySession, look, toy_base

SEEN = look(np.array([0.2, -0.4], np.float32))


def test_the_mean_latent_path_is_what_an_unlearnt_zprl_does_in_evaluation() -> None:
    base = toy_base()
    plain, method = Unsteered(base), ZPRL(base, ZPRLSettings(lam=0.3, hidden=8), 0)
    chunks = []
    for steering in (plain, method):
        rngs = [stream(1, "cell")]
        features = steering.features(SEEN, rngs, explore=False)
        chunks.append(steering.act(SEEN, features, rngs, explore=False).actions)
    assert np.array_equal(chunks[0], chunks[1])


@pytest.mark.parametrize("path", list(BasePath))
def test_every_path_acts_and_only_the_sampled_one_draws_a_latent(path: BasePath) -> None:
    method = Unsteered(toy_base(), path, n_action_steps=3)
    conditions = [method.features(SEEN, [stream(1, "cell", i)], explore=False)["condition"] for i in range(2)]
    assert np.array_equal(conditions[0], conditions[1]) == (path is not BasePath.SAMPLED)
    decision = method.act(SEEN, {"condition": conditions[0]}, [stream(1, "cell")], explore=False)
    assert decision.actions.shape == (1, 3, 2)


def test_the_base_never_learns() -> None:
    method = Unsteered(toy_base())
    session = ToySession(method, seed=0)
    session.success(2)
    replay = ReplayBuffer.for_method(method)
    assert method.planned_updates(replay, ["online-000000"]) == 0
    assert list(method.learn(replay, [], stream(0, "update"))) == []
    assert method.state() == {}
    with pytest.raises(ValueError, match="no learner's state"):
        method.load_state(ZPRL(toy_base(), ZPRLSettings(lam=0.3, hidden=8), 0).state())
