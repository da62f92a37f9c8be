"""The interface serves methods unlike ZPRL: one that owns a changed copy of the base and learns from fresh episodes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.base import BasePolicy
from policy.replay import ReplayBuffer
from policy.steering.draws import as_array, normal
from policy.steering.interface import Decision, Metrics, RecordSpec, Steering, Window
from tests.policy.steering.toys import CHUNK, ToySession, look, toy_base

SIGMA = 0.2


class FineTuner(Steering):
    """REINFORCE on a copy of the base's head; acts from the observation, stores its perturbed chunk and no features."""

    name: ClassVar[str] = "toy fine-tuner"

    def __init__(self, base: BasePolicy) -> None:
        self.n_action_steps = CHUNK
        self.record = RecordSpec(features={}, decisions={"shift": (2,)})
        self.copy = copy.deepcopy(base)
        self.weights = [weight.requires_grad_() for weight in self.copy.parameters()]
        self.baseline = torch.zeros(())
        self.optimiser = torch.optim.SGD(self.weights, lr=0.1)
        self.learnt_from: list[str] = []

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        return {}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        with torch.no_grad():
            mean = self._mean(window)
            shift = mean.sum(1) + SIGMA * normal(rngs, (2,)) * float(explore)  # [B, 2] of the whole chunk
            actions = mean + ((shift - mean.sum(1)) / CHUNK)[:, None, :]
        return Decision(actions=as_array(actions), chosen={"shift": as_array(shift)})

    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        return int(any(episode in replay for episode in fresh))

    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        kept = [episode for episode in fresh if episode in replay]
        losses, returns = [], []
        for name in kept:
            episode, transitions = replay.observations(name), replay.episode(name)
            seen = [look(episode.proprioception[start]) for start in episode.chunk_start]
            mean = torch.cat([self._mean(window).sum(1) for window in seen])
            shift = torch.from_numpy(transitions.decisions["shift"])
            log_prob = -((shift - mean) ** 2).sum() / (2 * SIGMA**2)
            returns.append(float(transitions.reward.sum()))
            losses.append(-(returns[-1] - self.baseline) * log_prob)
        self.optimiser.zero_grad()
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.baseline = 0.8 * self.baseline + 0.2 * float(np.mean(returns))
        self.learnt_from += kept
        yield {"return": float(np.mean(returns))}

    def state(self) -> dict[str, Tensor]:
        weights = {f"copy.{i}": weight.detach().clone() for i, weight in enumerate(self.weights)}
        return {**weights, "baseline": self.baseline.clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for i, weight in enumerate(self.weights):
                weight.copy_(state[f"copy.{i}"])
        self.baseline = state["baseline"].clone()

    def _mean(self, window: Window) -> Tensor:
        c = self.copy.embed(window, None)
        return self.copy.decode(c, torch.zeros(window.batch, CHUNK, 2))


@pytest.mark.slow
def test_a_fine_tuner_with_its_own_copy_learns_through_the_same_interface() -> None:
    base = toy_base()
    method = FineTuner(base)
    session = ToySession(method, seed=1)
    replay = ReplayBuffer.for_method(method, observations=session.episodes.__getitem__)
    before, untouched = session.success(), [weight.clone() for weight in base.parameters()]
    for block in range(40):
        fresh = [f"online-{block * 25 + i:06d}" for i in range(25)]
        for i in range(25):
            session.rollout(block * 25 + i)
        replay.sync(session.ledger, session.records.__getitem__)
        list(method.learn(replay, fresh, stream(1, "update", block)))
    after = session.success()
    assert after > before + 0.5
    assert method.learnt_from == list(replay.entries)
    assert all(torch.equal(a, b) for a, b in zip(untouched, base.parameters(), strict=True))
