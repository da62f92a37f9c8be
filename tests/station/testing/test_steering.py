"""The check of a steering method passes those that keep the contract, and names the rule that another one breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.observation import FloatArray
from policy.base import BasePolicy
from policy.replay import ReplayBuffer
from policy.steering.draws import as_array, normal
from policy.steering.interface import Decision, Metrics, RecordSpec, Steering, SteeringSettings, Window
from policy.steering.unsteered import BasePath, Unsteered
from policy.steering.zprl import WarmUp, ZPRLSettings
from station.testing import check_steering


class Nudge(Steering):
    """The base plus a constant that follows the share of successes; two updates a block, with momentum and noise."""

    name: ClassVar[str] = "nudge"

    def __init__(self, base: BasePolicy, n_action_steps: int) -> None:
        self.base, self.n_action_steps = base, n_action_steps
        self.record = RecordSpec(features={"c": (base.dc,)}, decisions={"shift": (base.spec.da,)})
        self.value, self.momentum = torch.zeros(base.spec.da), torch.zeros(base.spec.da)

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        with torch.inference_mode():
            return {"c": as_array(self.base.embed(window))}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        w = self.base.draw_noise(rngs)
        shift = self.value + 0.1 * float(explore) * normal(rngs, self.value.shape)
        with torch.inference_mode():
            actions = self.base.decode(torch.from_numpy(features["c"]), w)[:, : self.n_action_steps]
        return Decision(actions=as_array(actions + shift[:, None]), chosen={"shift": as_array(shift)})

    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        return 2 * any(name in replay for name in fresh)

    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        for _ in range(self.planned_updates(replay, fresh)):
            batch = replay.sample(rng, 8)
            self.momentum = 0.9 * self.momentum + (batch.decisions["shift"] * batch.reward[:, None]).mean(0)
            self.value = self.value + self.momentum + 0.01 * float(rng.normal())
            yield {"reward": float(batch.reward.mean())}

    def state(self) -> dict[str, Tensor]:
        return {"value": self.value.clone(), "momentum": self.momentum.clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        if {name: t.shape for name, t in state.items()} != {
            name: t.shape for name, t in self.state().items()
        }:
            raise ValueError("The checkpoint is another method's. Choose that one.")
        self.value, self.momentum = state["value"].clone(), state["momentum"].clone()


class TestedSettings(SteeringSettings):
    """Builds what a test wants built."""

    __test__ = False
    built: ClassVar[type[Nudge]] = Nudge
    method: str = f"{__name__}:TestedSettings"

    def build(self, base: BasePolicy, seed: int, *, n_action_steps: int) -> Steering:
        return self.built(base, n_action_steps)


class PlainSettings(SteeringSettings):
    """The base alone."""

    method: str = f"{__name__}:PlainSettings"
    path: BasePath = BasePath.LATENT

    def build(self, base: BasePolicy, seed: int, *, n_action_steps: int) -> Steering:
        return Unsteered(base, self.path, n_action_steps=n_action_steps)


def deciding(change: Callable[[Nudge, Decision, Any], Decision]) -> Callable[..., Decision]:
    def act(self: Nudge, window: Window, features: Any, rngs: Any, *, explore: bool) -> Decision:
        return change(
            self, Nudge.act(self, window, features, rngs, explore=explore), (window, features, rngs)
        )

    return act


def with_actions(change: Callable[[FloatArray], FloatArray]) -> Callable[..., Decision]:
    return deciding(lambda _self, made, _given: Decision(actions=change(made.actions), chosen=made.chosen))


def spoiling_images(_self: Nudge, made: Decision, given: Any) -> Decision:
    given[0].images["third"][:] = 0
    return made


def spoiling_features(_self: Nudge, made: Decision, given: Any) -> Decision:
    given[1]["c"][:] = 0
    return made


def global_noise(_self: Nudge, made: Decision, _given: Any) -> Decision:
    noise = torch.randn(made.actions.shape)
    return Decision(actions=as_array(torch.from_numpy(made.actions) + noise), chosen=made.chosen)


def own_noise(_self: Nudge, made: Decision, _given: Any) -> Decision:
    noise = np.random.default_rng().standard_normal(made.actions.shape, np.float32)
    return Decision(actions=made.actions + noise, chosen=made.chosen)


def in_step(_self: Nudge, made: Decision, _given: Any) -> Decision:
    return Decision(actions=made.actions - made.actions.mean(0), chosen=made.chosen)


def one_stream(_self: Nudge, made: Decision, given: Any) -> Decision:
    noise = given[2][0].standard_normal(made.actions.shape, np.float32)
    return Decision(actions=made.actions + noise, chosen=made.chosen)


def learning(step: Callable[[Nudge], object], *, before: bool = False) -> Callable[..., Iterator[Metrics]]:
    def learn(self: Nudge, replay: Any, fresh: Any, rng: Any) -> Iterator[Metrics]:
        for metrics in Nudge.learn(self, replay, fresh, rng):
            step(self)
            yield metrics

    return learn


def spoil_base(self: Nudge) -> None:
    with torch.no_grad():
        next(self.base.parameters()).add_(1.0)


def in_place(self: Nudge, replay: Any, fresh: Any, rng: Any) -> Iterator[Metrics]:
    for metrics in Nudge.learn(self, replay, fresh, rng):
        self.live.copy_(self.value)  # type: ignore[attr-defined]
        yield metrics


def live_state(self: Nudge) -> dict[str, Tensor]:
    if not hasattr(self, "live"):
        self.live = self.value.clone()  # type: ignore[attr-defined]
    return {"value": self.live, "momentum": self.momentum.clone()}  # type: ignore[attr-defined]


def impure(self: Nudge) -> None:
    self.value = self.value + torch.from_numpy(np.random.default_rng().standard_normal(7, np.float32))


def without_momentum(self: Nudge) -> dict[str, Tensor]:
    return {"value": self.value.clone()}


def load_value(self: Nudge, state: dict[str, Tensor]) -> None:
    if state.keys() != {"value"} or state["value"].shape != self.value.shape:
        raise ValueError("The checkpoint is another method's. Choose that one.")
    self.value = state["value"].clone()


def load_anything(self: Nudge, state: dict[str, Tensor]) -> None:
    self.value = state.get("value", self.value).clone()
    self.momentum = state.get("momentum", self.momentum).clone()


def undeclared(self: Nudge, window: Window, rngs: Any, *, explore: bool) -> dict[str, FloatArray]:
    return {
        **Nudge.features(self, window, rngs, explore=explore),
        "extra": np.zeros((window.batch, 1), np.float32),
    }


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a chunk of another length": ({"act": with_actions(lambda a: a[:, :-1])}, "'actions' of its act is float32"),
    "double precision": ({"act": with_actions(lambda a: a.astype(np.float64))}, "is float64"),
    "no number": ({"act": with_actions(lambda a: a * np.float32(np.nan))}, "finite float32"),
    "an undeclared feature": ({"features": undeclared}, "its record says"),
    "spoilt images": ({"act": deciding(spoiling_images)}, "changes the images it is given"),
    "spoilt features": ({"act": deciding(spoiling_features)}, "act changes the features it is given"),
    "global noise": ({"act": deciding(global_noise)}, "draws from a global random state"),
    "noise of its own": ({"act": deciding(own_noise)}, "decides otherwise; draw from `rngs`"),
    "a look at its neighbours": ({"act": deciding(in_step)}, "depend on its neighbours"),
    "one stream for all": ({"act": deciding(one_stream)}, "depend on its neighbours"),
    "updates of nothing": ({"planned_updates": lambda *_: 2}, "plans updates on an empty replay"),
    "other updates than planned": ({"learn": lambda *_: iter([{"x": 0.0}])}, "yields 1 times, planned_updates says 2"),
    "updates for strangers": (
        {"planned_updates": lambda self, replay, fresh: len(fresh)},
        "an episode that the replay does not hold",
    ),
    "metrics that are no numbers": (
        {"learn": lambda self, replay, fresh, rng: ({"loss": float("nan")} for _ in range(2))},
        "metrics are finite numbers",
    ),
    "a spoilt base": ({"learn": learning(spoil_base)}, "learn changes the frozen base"),
    "live tensors": ({"state": live_state, "learn": in_place}, "live tensors"),
    "impure learning": ({"learn": learning(impure)}, "learn must be a pure function"),
    "half a state": ({"state": without_momentum, "load_state": load_value}, "state lacks something"),
    "half a loading": ({"load_state": lambda *_: None}, "not the inverse"),
    "any state will do": ({"load_state": load_anything}, "load_state without 'momentum' raises nothing"),
}  # fmt: skip


def test_a_method_that_keeps_the_contract_passes() -> None:
    check_steering(TestedSettings())


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    methods, words = BROKEN[name]
    monkeypatch.setattr(TestedSettings, "built", type("Broken", (Nudge,), methods))
    with pytest.raises(AssertionError, match=words) as caught:
        check_steering(TestedSettings())
    assert "policy.steering.interface.Steering" in str(caught.value)


@pytest.mark.parametrize("path", list(BasePath))
def test_the_base_alone_keeps_the_contract(path: BasePath) -> None:
    check_steering(PlainSettings(path=path))


@pytest.mark.parametrize("warmup", list(WarmUp))
def test_zprl_keeps_the_contract(warmup: WarmUp) -> None:
    check_steering(ZPRLSettings(warmup_chunks=20, hidden=8, layers=1, batch=8, warmup=warmup))
