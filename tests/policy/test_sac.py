"""The learning rule: what enters the target, what bounds the values, and that a resumed learner is the same learner."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.randomness import stream
from policy.graphs import Graphed
from policy.sac import SAC, SACBatch, SACSettings, _gaussian, _sample
from tests.policy.pretend_gpu import GPU, pretend_gpu

DS, DA = 5, 2
SMALL = SACSettings(hidden=16, layers=2, batch=32)


def learner(settings: SACSettings = SMALL, seed: int = 0) -> SAC:
    rng = stream(seed, "networks")
    return SAC(settings, state_size=DS, context_size=DS, action_size=DA, rng=rng)


def batch(seed: int = 0, size: int = 32, *, reward: float = 0.0, discount: float = 0.9) -> SACBatch:
    rng = stream(seed, "batch")

    def numbers(width: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal((size, width), dtype=np.float32))

    state, following = numbers(DS), numbers(DS)
    return SACBatch(
        state=state,
        context=state,
        steered=numbers(DA),
        origin=numbers(DA),
        next_state=following,
        next_context=following,
        next_origin=numbers(DA),
        reward=torch.full((size,), reward),
        discount=torch.full((size,), discount),
    )


def steps(sac: SAC, n: int, first: int = 0) -> list[dict[str, float]]:
    return [sac.update(batch(i), stream(i, "noise")) for i in range(first, first + n)]


def test_a_terminal_transition_is_worth_its_reward_whatever_follows() -> None:
    metrics = learner().update(batch(reward=0.5, discount=0.0), stream(0, "noise"))
    assert metrics["target_q"] == pytest.approx(0.5)


def test_entropy_enters_the_target_only_when_asked() -> None:
    hot = SMALL.model_copy(update={"alpha0": 10.0, "log_std0": -4.0})
    plain = learner(hot).update(batch(), stream(0, "noise"))["target_q"]
    soft = learner(hot.model_copy(update={"backup_entropy": True})).update(batch(), stream(0, "noise"))
    assert 0.0 <= plain <= 0.9
    assert not 0.0 <= soft["target_q"] <= 0.9


def test_the_output_bias_lets_a_bounded_value_start_low() -> None:
    sac = learner(SMALL.model_copy(update={"q_bias": -1.5}))
    value = sac.value(batch().context, batch().steered)
    assert float(value.min()) > 0.0
    assert float(value.max()) < 0.2


def test_the_first_policy_is_a_centred_gaussian_of_the_set_width() -> None:
    sac, rng = learner(SMALL.model_copy(update={"log_std0": -2.0})), stream(0, "noise")
    noise = torch.from_numpy(rng.standard_normal((4000, DA), dtype=np.float32))
    action = sac.act(torch.zeros(4000, DS), noise)
    assert float(action.std()) == pytest.approx(math.exp(-2.0), rel=0.05)
    assert float(sac.act(torch.zeros(1, DS), None).abs().max()) < 0.01


def test_log_probabilities_are_those_of_a_squashed_gaussian() -> None:
    sac = learner(SMALL.model_copy(update={"log_std0": 0.5}))
    state = batch().state
    outputs = sac._actor_net(sac._actor, state)
    noise = torch.from_numpy(stream(0, "noise").standard_normal((len(state), DA), dtype=np.float32))
    action, log_prob = _sample(outputs, noise)
    mean, log_std = _gaussian(outputs)
    normal = torch.distributions.Normal(mean, log_std.exp())
    squash = torch.distributions.TanhTransform(cache_size=0)
    squashed = torch.distributions.TransformedDistribution(normal, [squash])
    expected = squashed.log_prob(action.double()).sum(-1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(log_prob.double(), expected, atol=1e-3, rtol=1e-3)


def test_actor_and_targets_follow_at_their_delays() -> None:
    sac = learner(SMALL.model_copy(update={"actor_delay": 3, "target_delay": 2}))
    moved: dict[str, list[bool]] = {"actor": [], "target": [], "critic": []}
    for i in range(6):
        before = sac.state()
        sac.update(batch(i), stream(i, "noise"))
        for name, history in moved.items():
            history.append(not torch.equal(before[name], sac.state()[name]))
    assert moved["critic"] == [True] * 6
    assert moved["actor"] == [False, False, True] * 2
    assert moved["target"] == [False, True] * 3


def test_the_actor_waits_while_it_is_told_to() -> None:
    sac = learner()
    before = sac.state()["actor"]
    for i in range(4):
        sac.update(batch(i), stream(i, "noise"), train_actor=False)
    assert torch.equal(before, sac.state()["actor"])


@pytest.mark.parametrize("n_critics", [1, 2, 5])
def test_a_resumed_learner_goes_on_bit_for_bit(n_critics: int) -> None:
    settings = SMALL.model_copy(update={"n_critics": n_critics, "layer_norm": True})
    whole, first, second = learner(settings), learner(settings), learner(settings, seed=9)
    steps(whole, 8)
    steps(first, 4)
    second.load_state(first.state())
    steps(second, 4, first=4)
    expected, resumed = whole.state(), second.state()
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_a_state_is_a_copy_that_later_steps_do_not_touch() -> None:
    sac = learner()
    state = sac.state()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    steps(sac, 2)
    assert all(torch.equal(kept[name], state[name]) for name in kept)


def test_a_checkpoint_of_other_networks_is_refused() -> None:
    state = learner(SMALL.model_copy(update={"hidden": 24})).state()
    with pytest.raises(ValueError, match="settings the checkpoint was written with"):
        learner().load_state(state)
    incomplete = learner().state()
    del incomplete["critic"]
    with pytest.raises(ValueError, match="critic"):
        learner().load_state(incomplete)


@pytest.mark.slow
def test_a_bandit_is_solved_and_the_temperature_finds_its_entropy() -> None:
    settings = SACSettings(hidden=32, layers=2, actor_lr=3e-3, critic_lr=3e-3, alpha_lr=1e-2, bounded_q=True)
    sac, rng = learner(settings), stream(0, "bandit")
    goal = torch.tensor([0.4, -0.5])
    for _ in range(600):
        state = torch.from_numpy(rng.standard_normal((128, DS), dtype=np.float32))
        action = sac.act(state, torch.from_numpy(rng.standard_normal((128, DA), dtype=np.float32)))
        reward = torch.exp(-4.0 * (action - goal).square().sum(-1))
        nothing = torch.zeros(128, DA)
        transitions = SACBatch(
            state=state,
            context=state,
            steered=action,
            origin=nothing,
            next_state=state,
            next_context=state,
            next_origin=nothing,
            reward=reward,
            discount=torch.zeros(128),
        )
        metrics = sac.update(transitions, rng)
    best = sac.act(torch.zeros(1, DS), None)[0]
    torch.testing.assert_close(best, goal, atol=0.15, rtol=0.0)
    assert metrics["entropy"] == pytest.approx(sac.target_entropy, abs=0.7)


def test_the_target_is_the_smaller_of_a_pair_drawn_from_all_critics() -> None:
    sac = learner(SMALL.model_copy(update={"n_critics": 5, "log_std0": -9.9}))  # as good as no noise
    one = batch(size=1, discount=1.0)
    steered = one.next_origin + sac.act(one.next_state, None)
    q = sac._q(sac._critic_net(sac._target, one.next_context, steered))[:, 0].tolist()
    pairs = sorted({min(a, b) for a, b in itertools.combinations(q, 2)})
    draws = [sac._draw(stream(i, "pair"), 1, with_actor=False) for i in range(40)]
    drawn = [float(sac._targets(one, noise[0], pair)[0]) for noise, pair in draws]
    distance = np.abs(np.subtract.outer(drawn, pairs))
    assert float(distance.min(1).max()) < 1e-3
    assert set(distance.argmin(1)) == {0, 1, 2, 3}


def on_the_gpu(settings: SACSettings) -> SAC:
    rng = stream(0, "networks")
    return SAC(settings, state_size=DS, context_size=DS, action_size=DA, rng=rng, device=GPU)


def test_on_a_gpu_a_step_is_one_graph_that_sends_its_draws_and_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = SMALL.model_copy(update={"n_critics": 4, "actor_delay": 2, "target_delay": 3})
    with pretend_gpu(monkeypatch) as traffic:
        batches = [batch(i).to(GPU) for i in range(18)]
        with monkeypatch.context() as patch:
            patch.setattr(Graphed, "__call__", kernel_by_kernel)
            eager = on_the_gpu(settings)
            expected = [eager.update(each, stream(i, "noise")) for i, each in enumerate(batches)]
        assert traffic.captures == 0
        sac = on_the_gpu(settings)
        for i in range(6):  # with or without actor, with or without targets
            sac.step(batches[i], stream(i, "noise"))
        assert traffic.captures == 4
        traffic.up = traffic.down = traffic.reads = traffic.replays = 0
        for i in range(6, 18):
            sac.step(batches[i], stream(i, "noise"))
        assert (traffic.captures, traffic.replays) == (4, 12)
        assert (traffic.up, traffic.down, traffic.reads) == (12 * 2, 0, 0)  # noise, and the pair of critics
        assert sac.figures() == expected[-2] | expected[-1]
        assert (traffic.down, sac.figures()) == (1, {})
        state = sac.state()
        for name, value in eager.state().items():
            assert torch.equal(state[name], value), name
    here = learner(settings)
    steps(here, 18)
    for name, value in here.state().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)


def kernel_by_kernel(graph: Graphed, *inputs: Tensor) -> tuple[Tensor, ...]:
    return graph._function(*(value.to(GPU) for value in inputs))
