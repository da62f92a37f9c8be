"""ZPRL behind the interface: how it acts, when and on what it learns, and that it improves a base it never changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.episode import Outcome
from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.base import BasePolicy
from policy.replay import ReplayBuffer, Timeout
from policy.steering.interface import Window
from policy.steering.zprl import (
    TYPICAL_DZ_RMS,
    ZPRL,
    CriticInput,
    RolloutCrop,
    WarmUp,
    ZPRLSettings,
    propose_lam,
)
from station.testing.rehearsal import tiny_base
from tests.policy.steering.toys import ToySession, look, toy_base

QUICK = ZPRLSettings(
    lam=0.6,
    utd=3,
    warmup_chunks=100,
    hidden=32,
    layers=2,
    batch=64,
    actor_lr=1e-3,
    critic_lr=1e-3,
    alpha0=0.002,
    tau=0.02,
    q_bias=-1.5,
    layer_norm=True,
    gamma=0.95,
    timeout=Timeout.TERMINAL,
)


def make(seed: int = 0, **changes: object) -> ZPRL:
    return ZPRL(toy_base(), QUICK.model_copy(update=changes), seed)


def window(*rows: tuple[float, float]) -> Window:
    return Window(images={}, proprioception=np.array(rows, np.float32)[:, None, :])


def rngs(*ordinals: int) -> list[np.random.Generator]:
    return [stream(5, "cell", ordinal) for ordinal in ordinals]


def collect(method: ZPRL, episodes: int, seed: int = 0) -> tuple[ToySession, ReplayBuffer, list[str]]:
    session, replay = ToySession(method, seed), ReplayBuffer.for_method(method, base_hash="toy")
    for ordinal in range(episodes):
        session.rollout(ordinal)
    replay.sync(session.ledger, session.records.__getitem__)
    return session, replay, list(replay.entries)


def same(one: dict[str, FloatArray], other: dict[str, FloatArray], row: int) -> bool:
    return all(np.array_equal(one[name][row], other[name][row]) for name in one)


def test_warm_up_acts_as_the_base_with_a_sampled_latent() -> None:
    method = make()
    features = method.features(look(np.zeros(2, np.float32)), rngs(1), explore=True)
    decision = method.act(look(np.zeros(2, np.float32)), features, rngs(1), explore=True)
    assert not decision.chosen["dz"].any()
    assert not np.array_equal(features["z"], features["mu"])


def test_warm_up_may_explore_with_the_untrained_actor() -> None:
    method = make(warmup=WarmUp.ACTOR)
    features = method.features(window((0.1, 0.2)), rngs(1), explore=True)
    dz = method.act(window((0.1, 0.2)), features, rngs(1), explore=True).chosen["dz"]
    assert 0.0 < float(np.abs(dz).max()) < 1.0


def test_evaluation_takes_the_mean_latent_and_the_mean_residual() -> None:
    method = make()
    _, replay, fresh = collect(method, 60)
    list(method.learn(replay, fresh, stream(0, "update")))
    one, other = (method.features(window((0.3, 0.1)), rngs(ordinal), explore=False) for ordinal in (1, 2))
    assert np.array_equal(one["z"], one["mu"])
    assert same(one, other, 0)
    residuals = [
        method.act(window((0.3, 0.1)), one, rngs(ordinal), explore=False).chosen["dz"] for ordinal in (1, 2)
    ]
    assert np.array_equal(residuals[0], residuals[1])
    assert residuals[0].any()


def test_a_cell_draws_from_its_own_stream_and_does_not_see_its_neighbours() -> None:
    method = make(warmup=WarmUp.ACTOR)
    here, there = window((0.1, 0.2), (0.3, 0.4), (0.5, 0.6)), window((0.9, 0.8), (0.3, 0.4), (0.7, 0.0))
    results = []
    for seen, streams in ((here, rngs(1, 2, 3)), (there, rngs(7, 2, 8))):
        features = method.features(seen, streams, explore=True)
        decision = method.act(seen, features, streams, explore=True)
        results.append({**features, **decision.chosen, "actions": decision.actions})
    assert same(results[0], results[1], 1)
    assert not same(results[0], results[1], 0)


def test_updates_are_utd_times_the_fresh_chunks_once_warm() -> None:
    method = make(warmup_chunks=50)
    session, replay, fresh = collect(method, 10)
    assert len(replay) < 50
    assert method.planned_updates(replay, fresh) == 0
    session, replay, fresh = collect(method, 40)
    assert method.planned_updates(replay, fresh[-4:]) == 3 * replay.chunks(fresh[-4:])
    steps = list(method.learn(replay, fresh[-4:], stream(0, "update")))
    assert len(steps) == 3 * replay.chunks(fresh[-4:])
    void = session.ledger.episodes[fresh[-1]]
    session.ledger.episodes[void.id] = replace(void, void=True)
    replay.sync(session.ledger, session.records.__getitem__)
    assert method.planned_updates(replay, fresh[-1:]) == 0


def test_the_actor_starts_after_its_delay() -> None:
    method = make(actor_delay_chunks=10_000)
    _, replay, fresh = collect(method, 60)
    before = method.state()["actor"]
    list(method.learn(replay, fresh[-5:], stream(0, "update")))
    assert torch.equal(before, method.state()["actor"])
    assert method.sac.updates > 0


def test_a_block_is_a_pure_function_of_state_replay_and_stream() -> None:
    whole = make()
    _, replay, fresh = collect(whole, 60)
    list(whole.learn(replay, fresh[-20:], stream(0, "update")))
    middle = whole.state()
    list(whole.learn(replay, fresh[-5:], stream(1, "update")))
    resumed = make(seed=77)
    resumed.load_state(middle)
    list(resumed.learn(replay, fresh[-5:], stream(1, "update")))
    one, other = whole.state(), resumed.state()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_proposed_lam_lets_a_typical_residual_push_by_the_wanted_share() -> None:
    rng = stream(0, "latents")
    z = rng.normal(0, 2.0, (500, 8)).astype(np.float32)
    lam = propose_lam(z, ratio=0.15)
    assert lam * TYPICAL_DZ_RMS == pytest.approx(0.15 * float(np.sqrt(np.mean(z**2))), rel=1e-5)
    with pytest.raises(ValueError, match="warm-up"):
        propose_lam(z[:0], ratio=0.15)


def test_lam_is_chosen_from_the_warm_up_when_the_task_names_none() -> None:
    method = make(lam=None, lam_ratio=0.15)
    _, replay, fresh = collect(method, 60)
    metrics = list(method.learn(replay, fresh[-5:], stream(0, "update")))
    z = replay.feature("z")
    assert method.lam == pytest.approx(0.15 * np.sqrt(np.mean(z**2)) * 3, rel=1e-4)
    assert 0.02 < metrics[-1]["rms_ratio"] < 0.3
    resumed = make(lam=None)
    resumed.load_state(method.state())
    assert resumed.lam == method.lam


@pytest.mark.parametrize("critic_input", list(CriticInput))
@pytest.mark.parametrize("normalise", [True, False])
def test_critics_learn_on_either_input_and_scale(critic_input: CriticInput, normalise: bool) -> None:
    method = make(critic_input=critic_input, normalise=normalise, n_critics=3)
    _, replay, fresh = collect(method, 60)
    metrics = list(method.learn(replay, fresh[-10:], stream(0, "update")))
    assert all(np.isfinite(value) for value in metrics[-1].values())
    assert {"critic_loss", "actor_loss", "alpha", "entropy", "q", "rms_ratio", "lam"} <= metrics[-1].keys()


def test_the_method_tells_the_replay_its_discount_and_timeouts() -> None:
    replay = ReplayBuffer.for_method(make(gamma=0.5, timeout=Timeout.BOOTSTRAP))
    assert (replay.gamma, replay.timeout) == (0.5, Timeout.BOOTSTRAP)


def test_a_checkpoint_of_another_base_is_refused() -> None:
    state = make().state()
    state["centre"] = torch.zeros(99)
    with pytest.raises(ValueError, match="centre"):
        make().load_state(state)


@pytest.mark.slow
def test_steering_improves_a_biased_base_and_leaves_it_untouched() -> None:
    method = make(seed=2, actor_lr=2e-3, critic_lr=2e-3, warmup=WarmUp.ACTOR, log_std0=-0.7)
    session, replay = ToySession(method, seed=2), ReplayBuffer.for_method(method)
    weights = [weight.clone() for weight in method.base.parameters()]
    before, fresh = session.success(), []
    for ordinal in range(300):
        outcome = session.rollout(ordinal)
        assert outcome in (Outcome.SUCCESS, Outcome.TIMEOUT)
        fresh.append(f"online-{ordinal:06d}")
        if len(fresh) == 10:
            replay.sync(session.ledger, session.records.__getitem__)
            list(method.learn(replay, fresh, stream(2, "update", ordinal)))
            fresh = []
    assert session.success() > before + 0.6
    assert all(torch.equal(a, b) for a, b in zip(weights, method.base.parameters(), strict=True))


@pytest.fixture(scope="module")
def real_base() -> BasePolicy:
    return tiny_base()


def test_a_real_base_is_steered_from_images(real_base: BasePolicy) -> None:
    method = ZPRL(real_base, QUICK.model_copy(update={"warmup": WarmUp.ACTOR}), 0, n_action_steps=4)
    images = stream(0, "pictures").integers(0, 255, (2, 2, 24, 28, 3), np.uint8)
    seen = Window(images={"third": images}, proprioception=np.zeros((2, 2, 2), np.float32))
    features = method.features(seen, rngs(1, 2), explore=True)
    decision = method.act(seen, features, rngs(1, 2), explore=True)
    assert decision.actions.shape == (2, 4, 7)
    for name, shape in method.record.features.items():
        assert features[name].shape == (2, *shape)
        assert features[name].dtype == np.float32
    centred = method.features(seen, rngs(1, 2), explore=False)
    assert not np.array_equal(centred["c"], features["c"])


def test_rollouts_may_embed_the_centre_crop(real_base: BasePolicy) -> None:
    method = ZPRL(real_base, QUICK.model_copy(update={"rollout_crop": RolloutCrop.CENTRE}), 0)
    images = stream(0, "pictures").integers(0, 255, (1, 2, 24, 28, 3), np.uint8)
    seen = Window(images={"third": images}, proprioception=np.zeros((1, 2, 2), np.float32))
    exploring, evaluating = (method.features(seen, rngs(1), explore=explore) for explore in (True, False))
    assert np.array_equal(exploring["c"], evaluating["c"])
    assert method.n_action_steps == real_base.prediction_horizon
