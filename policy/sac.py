"""Soft actor-critic over a steered quantity: ``steered = origin + scale * action``, action = tanh(Gaussian) in [-1, 1].

The actor sees a state, the critics evaluate (context, steered). The same learner therefore serves residuals on a latent
(origin z), on an action chunk (origin: the base's chunk), on an embedding, and on flow noise (origin 0). The losses are
the paper's equations 9 (actor), 10 (critics) and 11 (target). As in the paper, entropy enters the actor loss only,
unless `backup_entropy` is set. The learner knows no replay, episode or policy: an update is a pure function of its
state, a batch and a numpy generator.

Each network is one flat weight vector, which makes Adam, clipping and Polyak averaging single operations: on one
CPU core, at these sizes, the overhead of many small tensors exceeds their arithmetic.
Shapes: B batch, N critics, ds state, dk context, da action.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from datasets.settings import Settings
from policy.adam import Adam
from policy.graphs import Graphed
from policy.perceptrons import Activation, Perceptrons

LOG_STD_MIN, LOG_STD_MAX = -10.0, 2.0
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_2 = math.log(2.0)
_FIGURES = ("critic_loss", "q", "target_q", "alpha", "action_rms", "entropy")
_ACTOR_FIGURES = ("actor_loss", "alpha", "action_rms", "entropy")
"""Of a critic step, and of one of actor and temperature; of a name that comes twice, the later value counts."""


class SACSettings(Settings):
    """Hyperparameters of actor, critics and their optimisation; defaults from the paper's Table V."""

    batch: int = Field(default=256, ge=1, le=65536)
    """Transitions per gradient step."""
    actor_lr: float = Field(default=1e-4, ge=0.0, le=1.0)
    """Adam learning rate of the actor."""
    critic_lr: float = Field(default=3e-4, gt=0.0, le=1.0)
    """Adam learning rate of the critics."""
    alpha_lr: float = Field(default=3e-4, ge=0.0, le=1.0)
    """Adam learning rate of the log-temperature; 0 keeps the temperature fixed."""
    alpha0: float = Field(default=0.01, gt=0.0, le=10.0)
    """Initial temperature."""
    target_entropy_scale: float = Field(default=0.5, ge=0.0, le=10.0)
    """Target entropy = -target_entropy_scale * da."""
    log_std0: float = Field(default=-1.5, gt=LOG_STD_MIN, lt=LOG_STD_MAX)
    """Initial log standard deviation of the pre-tanh Gaussian."""
    hidden: int = Field(default=256, ge=1, le=8192)
    """Width of the hidden layers."""
    layers: int = Field(default=3, ge=1, le=16)
    """Hidden layers, not counting the output layer (the paper's four layers include it)."""
    activation: Activation = Activation.GELU
    """Nonlinearity between layers."""
    layer_norm: bool = False
    """Apply LayerNorm before the activation of each hidden layer of the critics."""
    n_critics: int = Field(default=2, ge=1, le=100)
    """N: the target takes the minimum of two randomly drawn critics, the actor the mean of all."""
    bounded_q: bool = True
    """Bound Q to [0, 1] by 0.5 (tanh + 1); suits a single sparse reward at the end."""
    q_bias: float = Field(default=0.0, ge=-10.0, le=10.0)
    """Initial bias of the critics' output, before the bound; with -1.5 a bounded Q starts near 0.05."""
    tau: float = Field(default=0.005, gt=0.0, le=1.0)
    """Polyak averaging rate of the target critics."""
    actor_delay: int = Field(default=2, ge=1, le=1000)
    """Critic steps per step of actor and temperature."""
    target_delay: int = Field(default=2, ge=1, le=1000)
    """Critic steps per update of the target critics."""
    grad_clip: float = Field(default=50.0, gt=0.0)
    """Maximum gradient norm of the actor, and of the critics."""
    backup_entropy: bool = False
    """Include entropy in the critics' target, as standard SAC does (equation 11 omits it)."""


@dataclass(frozen=True, kw_only=True)
class SACBatch:
    """B transitions in the learner's units, float32."""

    state: Tensor
    """[B, ds] the actor's input."""
    context: Tensor
    """[B, dk] the critics' first input; often the same tensor as `state`."""
    steered: Tensor
    """[B, da] origin + scale * executed action: the critics' second input."""
    origin: Tensor
    """[B, da]"""
    next_state: Tensor
    """[B, ds]"""
    next_context: Tensor
    """[B, dk]"""
    next_origin: Tensor
    """[B, da]"""
    reward: Tensor
    """[B]"""
    discount: Tensor
    """[B] 0 where the transition is terminal."""

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in their order here."""
        return [getattr(self, each.name) for each in fields(self)]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> SACBatch:
        """Inverse of `tensors`."""
        return cls(**{each.name: tensor for each, tensor in zip(fields(cls), tensors, strict=True)})

    def to(self, device: torch.device) -> SACBatch:
        """The same on another device."""
        return SACBatch.of([tensor.to(device) for tensor in self.tensors])


class _Sizes(TypedDict):
    width: int
    layers: int
    activation: Activation


class SAC:
    """Actor, N critics, target critics and temperature, with a joint `update` step."""

    def __init__(
        self,
        settings: SACSettings,
        *,
        state_size: int,
        context_size: int,
        action_size: int,
        rng: np.random.Generator,
        device: torch.device | None = None,
    ) -> None:
        """Initialise the networks from `rng`, on `device` (None: the CPU)."""
        self.settings = settings
        self.scale = torch.ones(action_size, device=device)
        """[da] how far a unit action moves the steered quantity, in the critics' units; part of the state."""
        self.action_size = action_size
        self.target_entropy = -settings.target_entropy_scale * action_size
        sizes: _Sizes = {
            "width": settings.hidden,
            "layers": settings.layers,
            "activation": settings.activation,
        }
        self._actor_net = Perceptrons(1, (state_size,), 2 * action_size, **sizes)
        inputs = (context_size, action_size)
        self._critic_net = Perceptrons(settings.n_critics, inputs, 1, layer_norm=settings.layer_norm, **sizes)
        self._actor = _fresh_actor(self._actor_net, settings, rng).to(device)
        self._critic = _fresh_critics(self._critic_net, settings, rng).to(device)
        self._target = self._critic.clone()
        self._gradients = torch.empty_like(self._actor), torch.empty_like(self._critic)
        self._log_alpha = torch.full((1,), math.log(settings.alpha0), device=device)
        self._optimisers = {
            "actor": Adam(self._actor, settings.actor_lr),
            "critic": Adam(self._critic, settings.critic_lr),
            "log_alpha": Adam(self._log_alpha, settings.alpha_lr),
        }
        self.updates = 0
        """Number of critic steps so far."""
        self._graphs: dict[tuple[bool, bool], Graphed] = {}
        self._unread: dict[tuple[str, ...], Tensor] = {}

    @property
    def alpha(self) -> float:
        """Temperature."""
        return math.exp(float(self._log_alpha))

    def spread(self, threads: int | None) -> None:
        """Spread the critics over this many threads (None: as many as torch is set to); no figure depends on it."""
        self._critic_net.threads = threads

    def act(self, state: Tensor, noise: Tensor | None) -> Tensor:
        """[B, ds] -> actions [B, da] in (-1, 1); `noise` [B, da] ~ N(0, I), or None for tanh(mean)."""
        mean, log_std = _gaussian(self._actor_net(self._actor, state))
        return torch.tanh(mean if noise is None else mean + log_std.exp() * noise)

    def value(self, context: Tensor, steered: Tensor) -> Tensor:
        """[B, dk], [B, da] -> Q [B], averaged over all critics."""
        return self._q(self._critic_net(self._critic, context, steered)).mean(0)

    def update(
        self, batch: SACBatch, rng: np.random.Generator, *, train_actor: bool = True
    ) -> dict[str, float]:
        """`step`, and its figures."""
        self.step(batch, rng, train_actor=train_actor)
        return self.figures()

    def step(self, batch: SACBatch, rng: np.random.Generator, *, train_actor: bool = True) -> None:
        """One critic step; every `actor_delay` steps also actor and temperature, every `target_delay` the targets.

        On a GPU it is one graph of kernels, and this returns before it has been computed.
        """
        self.updates += 1
        with_actor = train_actor and self.updates % self.settings.actor_delay == 0
        with_targets = self.updates % self.settings.target_delay == 0
        names = _FIGURES + _ACTOR_FIGURES if with_actor else _FIGURES
        graph = self._graphs.get((with_actor, with_targets))
        if graph is None:
            graph = self._graphs[with_actor, with_targets] = self._graph(with_actor, with_targets)
        noise, pair = self._draw(rng, len(batch.reward), with_actor)
        (figures,) = graph(noise, pair, *batch.tensors)
        self._unread.pop(names, None)
        self._unread[names] = figures

    def figures(self) -> dict[str, float]:
        """The newest figures of the steps since the last call, read back in one piece: that waits for the device."""
        names = [name for group in self._unread for name in group]
        values = torch.cat([*self._unread.values()]).cpu().tolist() if names else []
        self._unread.clear()
        return dict(zip(names, values, strict=True))

    def state(self) -> dict[str, Tensor]:
        """Everything an update depends on besides batch and generator, as copies in CPU memory."""
        state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in self._tensors().items()}
        state["updates"] = torch.tensor(self.updates, dtype=torch.int64)
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`. Raises ValueError when names or shapes differ."""
        tensors = self._tensors()
        if state.keys() != tensors.keys() | {"updates"}:
            odd = sorted(state.keys() ^ (tensors.keys() | {"updates"}))
            raise ValueError(
                f"The learner's checkpoint has other tensors than this learner: {', '.join(odd)}."
            )
        for name, tensor in tensors.items():
            if state[name].shape != tensor.shape:
                raise ValueError(
                    f"{name} has {tuple(state[name].shape)} numbers in the checkpoint and {tuple(tensor.shape)} in"
                    " this learner. Resume with the settings the checkpoint was written with."
                )
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(state[name])
        self.updates = int(state["updates"])

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {
            "actor": self._actor,
            "critic": self._critic,
            "target": self._target,
            "log_alpha": self._log_alpha,
            "scale": self.scale,
        }
        for name, optimiser in self._optimisers.items():
            tensors |= {f"{name}.{key}": value for key, value in optimiser.state.items()}
        return tensors

    def _graph(self, with_actor: bool, with_targets: bool) -> Graphed:
        def step(noise: Tensor, pair: Tensor, *tensors: Tensor) -> tuple[Tensor]:
            batch = SACBatch.of(tensors)
            figures = self._update_critics(batch, noise[0], pair)
            if with_actor:
                figures += self._update_actor(batch, noise[1])
            if with_targets:
                self._target.lerp_(self._critic, self.settings.tau)
            return (torch.stack(figures),)

        def changes() -> list[Tensor]:
            return [*self._tensors().values()]

        return Graphed(step, self.scale.device, name="an update", changes=changes)

    def _draw(self, rng: np.random.Generator, size: int, with_actor: bool) -> tuple[Tensor, Tensor]:
        """The noise of the target's action and of the actor's [1 or 2, B, da]; the pair of target critics [2]."""
        shape, n = (size, self.action_size), self.settings.n_critics
        noise = [rng.standard_normal(shape, dtype=np.float32)]
        pair = rng.choice(n, 2, replace=False) if n > 2 else np.arange(n)
        if with_actor:
            noise.append(rng.standard_normal(shape, dtype=np.float32))
        return torch.from_numpy(np.stack(noise)), torch.from_numpy(pair)

    def _q(self, outputs: Tensor) -> Tensor:
        """[n, B, 1] of the critics -> [n, B]."""
        q = outputs[..., 0]
        return 0.5 * (torch.tanh(q) + 1.0) if self.settings.bounded_q else q

    def _targets(self, batch: SACBatch, noise: Tensor, pair: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Equation 11: y [B] = reward + discount * min of two target critics at the next steered state; and figures."""
        action, log_prob = _sample(self._actor_net(self._actor, batch.next_state), noise)
        steered = torch.addcmul(batch.next_origin, self.scale, action)
        members = pair if self.settings.n_critics > 2 else None
        q = self._q(self._critic_net(self._target, batch.next_context, steered, members=members)).amin(0)
        if self.settings.backup_entropy:
            q = q - self._temperature() * log_prob
        return torch.addcmul(batch.reward, batch.discount, q), _spread(action, log_prob)

    def _update_critics(self, batch: SACBatch, noise: Tensor, pair: Tensor) -> list[Tensor]:
        """One step on equation 10, summed over the critics."""
        y, figures = self._targets(batch, noise, pair)

        def loss(outputs: Tensor) -> Tensor:
            return (self._q(outputs) - y).square().mean(1).sum()

        _, gradient = self._gradients
        outputs, _ = self._critic_net.differentiate(
            self._critic, batch.context, batch.steered, slope=_slope(loss), gradient=gradient
        )
        self._descend("critic", gradient)
        return [loss(outputs), self._q(outputs).mean(), y.mean(), self._temperature(), *figures]

    def _update_actor(self, batch: SACBatch, noise: Tensor) -> list[Tensor]:
        """One step on equation 9, with the mean of the critics as Q, and one of the temperature."""
        figures: list[Tensor] = []

        def loss(outputs: Tensor) -> Tensor:
            action, log_prob = _sample(outputs, noise)
            steered = torch.addcmul(batch.origin, self.scale, action)
            entropy_term = (self._temperature() * log_prob).mean()
            q, slope = self._improvement(batch.context, steered.detach())
            figures[:] = [log_prob.detach().mean(), entropy_term.detach() - q, *_spread(action, log_prob)]
            return entropy_term - (slope * steered).sum()  # q, as far as its gradient in the actor goes

        gradient, _ = self._gradients
        self._actor_net.differentiate(self._actor, batch.state, slope=_slope(loss), gradient=gradient)
        self._descend("actor", gradient)
        log_prob, actor_loss, *spread = figures
        # gradient with respect to log alpha of -alpha (log pi + target entropy), averaged over the batch
        self._optimisers["log_alpha"].step(-self._log_alpha.exp() * (log_prob + self.target_entropy))
        return [actor_loss, self._temperature(), *(figure.detach() for figure in spread)]

    def _improvement(self, context: Tensor, steered: Tensor) -> tuple[Tensor, Tensor]:
        """Q averaged over critics and batch, a scalar, and its gradient with respect to `steered` [B, da]."""
        count = self.settings.n_critics * len(steered)
        outputs, slope = self._critic_net.differentiate(
            self._critic,
            context,
            steered,
            slope=_slope(lambda outputs: self._q(outputs).sum() / count),
            towards=1,
        )
        assert slope is not None  # asked for
        return self._q(outputs).mean(), slope

    def _temperature(self) -> Tensor:
        """alpha, scalar, on the device; rounded once, from double precision."""
        return self._log_alpha[0].double().exp().float()

    def _descend(self, name: str, gradient: Tensor) -> None:
        """One step of Adam on a clipped gradient, which is changed."""
        shrink = self.settings.grad_clip / (gradient.norm() + 1e-6)
        if (
            gradient.device.type != "cpu" or shrink < 1.0
        ):  # on the CPU, reading a number costs less than a product
            gradient.mul_(torch.clamp(shrink, max=1.0))
        self._optimisers[name].step(gradient)


def _gaussian(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation [B, da] before the tanh, from the actor's outputs [1, B, 2 da]."""
    mean, raw = outputs[0].chunk(2, dim=-1)
    half = 0.5 * (LOG_STD_MAX - LOG_STD_MIN)
    return mean, LOG_STD_MIN + half * (torch.tanh(raw) + 1.0)


def _sample(outputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [B, da] and their log-probabilities [B], differentiable in the actor's outputs [1, B, 2 da]."""
    mean, log_std = _gaussian(outputs)
    before = torch.addcmul(mean, log_std.exp(), noise)
    # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)): stays finite where tanh saturates.
    jacobian = 2.0 * (_LOG_2 - before - functional.softplus(-2.0 * before))
    log_prob = (-0.5 * noise.square() - log_std - _HALF_LOG_2PI - jacobian).sum(-1)
    return torch.tanh(before), log_prob


def _slope(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The gradient of `loss` with respect to what it is a function of."""

    def slope(outputs: Tensor) -> Tensor:
        leaf = outputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        return gradient

    return slope


def _spread(action: Tensor, log_prob: Tensor) -> list[Tensor]:
    """RMS of the actions and estimated entropy."""
    return [action.square().mean().sqrt(), -log_prob.mean()]


def _fresh_actor(net: Perceptrons, settings: SACSettings, rng: np.random.Generator) -> Tensor:
    """Orthogonal layers, with heads so small that the initial pre-tanh policy is N(0, exp(log_std0)^2) everywhere."""
    weights, biases = [], []
    for index, (fan, out) in enumerate(net.layers):
        gain = 0.01 if index == len(net.layers) - 1 else math.sqrt(2.0)
        weights.append(gain * _orthogonal(fan, out, rng)[None])
        biases.append(np.zeros((1, 1, out), np.float32))
    half = 0.5 * (LOG_STD_MAX - LOG_STD_MIN)
    da = net.layers[-1][1] // 2
    biases[-1][..., da:] = math.atanh((settings.log_std0 - LOG_STD_MIN) / half - 1.0)
    return net.pack(weights, biases)


def _fresh_critics(net: Perceptrons, settings: SACSettings, rng: np.random.Generator) -> Tensor:
    """Uniform in +-1/sqrt(fan), independent per critic; output bias from the settings."""
    weights, biases = [], []
    for fan, out in net.layers:
        bound = 1.0 / math.sqrt(fan)
        weights.append(rng.uniform(-bound, bound, (net.members, fan, out)).astype(np.float32))
        biases.append(rng.uniform(-bound, bound, (net.members, 1, out)).astype(np.float32))
    biases[-1][:] = settings.q_bias
    return net.pack(weights, biases)


def _orthogonal(fan: int, out: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """[fan, out] with orthonormal rows or columns, whichever are fewer."""
    normal = rng.standard_normal((max(fan, out), min(fan, out)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))
    return np.asarray(q if fan >= out else q.T, dtype=np.float32)
