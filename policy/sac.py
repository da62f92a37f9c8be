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
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from datasets.settings import Settings
from policy.adam import Adam

LOG_STD_MIN, LOG_STD_MAX = -10.0, 2.0
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_2 = math.log(2.0)


class Activation(StrEnum):
    """Nonlinearity of actor and critics."""

    GELU = "gelu"
    RELU = "relu"
    SILU = "silu"
    TANH = "tanh"

    @property
    def function(self) -> Callable[[Tensor], Tensor]:
        """The element-wise function."""
        return {
            "gelu": functional.gelu,
            "relu": torch.relu,
            "silu": functional.silu,
            "tanh": torch.tanh,
        }[self.value]


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

    def to(self, device: torch.device) -> SACBatch:
        """The same on another device."""
        return SACBatch(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


class _Perceptrons:
    """The shapes of N equal MLPs, and their evaluation for a given flat weight vector.

    The first layer has separate weights for each input, so a gradient with respect to the smaller input alone does not
    involve the larger one.
    """

    def __init__(
        self, members: int, inputs: tuple[int, ...], outputs: int, settings: SACSettings, *, layer_norm: bool
    ) -> None:
        self.members = members
        self.activation = settings.activation.function
        self.normalised = (settings.hidden,) if layer_norm else None
        width = settings.hidden
        fans = [sum(inputs)] + [width] * settings.layers
        outs = [width] * settings.layers + [outputs]
        self.layers = list(zip(fans, outs, strict=True))
        self.inputs = inputs
        self.shapes: list[tuple[int, ...]] = [(members, 1, width)]
        self.shapes += [(members, size, width) for size in inputs]
        for fan, out in self.layers[1:]:
            self.shapes += [(members, fan, out), (members, 1, out)]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def pack(self, weights: list[NDArray[np.float32]], biases: list[NDArray[np.float32]]) -> Tensor:
        """One flat vector from per-layer weights [N, fan, out] and biases [N, 1, out]."""
        parts = [biases[0], *np.split(weights[0], np.cumsum(self.inputs)[:-1], axis=1)]
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            parts += [weight, bias]
        return torch.from_numpy(np.concatenate([part.reshape(-1) for part in parts]).astype(np.float32))

    def unpack(self, flat: Tensor) -> list[Tensor]:
        """Views of the flat vector, in the order of `shapes`."""
        parts = torch.split(flat, self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def __call__(self, weights: list[Tensor], *inputs: Tensor) -> Tensor:
        """Inputs, each [B, size] -> [n, B, outputs] for the n networks whose weights are given."""
        hidden = weights[0]
        for value, weight in zip(inputs, weights[1:], strict=False):
            hidden = torch.baddbmm(hidden, value.expand(len(weight), *value.shape), weight)
        rest = weights[1 + len(self.inputs) :]
        for weight, bias in zip(rest[::2], rest[1::2], strict=True):
            if self.normalised is not None:
                hidden = functional.layer_norm(hidden, self.normalised)
            hidden = torch.baddbmm(bias, self.activation(hidden), weight)
        return hidden


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
        self._actor_net = _Perceptrons(1, (state_size,), 2 * action_size, settings, layer_norm=False)
        self._critic_net = _Perceptrons(
            settings.n_critics, (context_size, action_size), 1, settings, layer_norm=settings.layer_norm
        )
        self._actor = _fresh_actor(self._actor_net, settings, rng).to(device).requires_grad_()
        self._critic = _fresh_critics(self._critic_net, settings, rng).to(device).requires_grad_()
        self._target = self._critic.detach().clone()
        self._log_alpha = torch.full((1,), math.log(settings.alpha0), device=device)
        self._optimisers = {
            "actor": Adam(self._actor, settings.actor_lr),
            "critic": Adam(self._critic, settings.critic_lr),
            "log_alpha": Adam(self._log_alpha, settings.alpha_lr),
        }
        self.updates = 0
        """Number of critic steps so far."""

    @property
    def alpha(self) -> float:
        """Temperature."""
        return math.exp(float(self._log_alpha))

    def act(self, state: Tensor, noise: Tensor | None) -> Tensor:
        """[B, ds] -> actions [B, da] in (-1, 1); `noise` [B, da] ~ N(0, I), or None for tanh(mean)."""
        with torch.no_grad():
            mean, log_std = self._gaussian(state)
            return torch.tanh(mean if noise is None else mean + log_std.exp() * noise)

    def value(self, context: Tensor, steered: Tensor) -> Tensor:
        """[B, dk], [B, da] -> Q [B], averaged over all critics."""
        with torch.no_grad():
            return self._q(self._critic_net.unpack(self._critic), context, steered).mean(0)

    def update(
        self, batch: SACBatch, rng: np.random.Generator, *, train_actor: bool = True
    ) -> dict[str, float]:
        """One critic step; every `actor_delay` steps also actor and temperature, every `target_delay` the targets."""
        self.updates += 1
        figures = self._update_critics(batch, rng)
        if train_actor and self.updates % self.settings.actor_delay == 0:
            figures |= self._update_actor(batch, rng)
        if self.updates % self.settings.target_delay == 0:
            self._target.lerp_(self._critic.detach(), self.settings.tau)
        # read back in one piece: every read waits for the device
        return dict(zip(figures, torch.stack([*figures.values()]).cpu().tolist(), strict=True))

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

    def _gaussian(self, state: Tensor) -> tuple[Tensor, Tensor]:
        output = self._actor_net(self._actor_net.unpack(self._actor), state)[0]
        mean, raw = output.chunk(2, dim=-1)
        half = 0.5 * (LOG_STD_MAX - LOG_STD_MIN)
        return mean, LOG_STD_MIN + half * (torch.tanh(raw) + 1.0)

    def _sample(self, state: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Actions [B, da] and their log-probabilities [B], differentiable in the actor."""
        mean, log_std = self._gaussian(state)
        noise = torch.from_numpy(rng.standard_normal(mean.shape, dtype=np.float32)).to(mean.device)
        before = torch.addcmul(mean, log_std.exp(), noise)
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)): stays finite where tanh saturates.
        jacobian = 2.0 * (_LOG_2 - before - functional.softplus(-2.0 * before))
        log_prob = (-0.5 * noise.square() - log_std - _HALF_LOG_2PI - jacobian).sum(-1)
        return torch.tanh(before), log_prob

    def _q(self, weights: list[Tensor], context: Tensor, steered: Tensor) -> Tensor:
        q = self._critic_net(weights, context, steered)[..., 0]  # [n, B]
        return 0.5 * (torch.tanh(q) + 1.0) if self.settings.bounded_q else q

    def _targets(self, batch: SACBatch, rng: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Equation 11: y [B] = reward + discount * min of two target critics at the next steered state; and metrics."""
        with torch.no_grad():
            action, log_prob = self._sample(batch.next_state, rng)
            weights = self._critic_net.unpack(self._target)
            if self.settings.n_critics > 2:
                pair = torch.from_numpy(rng.choice(self.settings.n_critics, 2, replace=False)).to(
                    self.scale.device
                )
                weights = [weight[pair] for weight in weights]
            steered = torch.addcmul(batch.next_origin, self.scale, action)
            q = self._q(weights, batch.next_context, steered).amin(0)
            if self.settings.backup_entropy:
                q = q - self._temperature() * log_prob
            return torch.addcmul(batch.reward, batch.discount, q), _spread(action, log_prob)

    def _update_critics(self, batch: SACBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """One step on equation 10, summed over the critics."""
        y, figures = self._targets(batch, rng)
        q = self._q(self._critic_net.unpack(self._critic), batch.context, batch.steered)
        loss = (q - y).square().mean(1).sum()
        self._descend("critic", self._critic, loss)
        return {
            "critic_loss": loss.detach(),
            "q": q.detach().mean(),
            "target_q": y.mean(),
            "alpha": self._temperature(),
            **figures,
        }

    def _update_actor(self, batch: SACBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """One step on equation 9, with the mean of the critics as Q, and one of the temperature."""
        action, log_prob = self._sample(batch.state, rng)
        steered = torch.addcmul(batch.origin, self.scale, action)
        weights = self._critic_net.unpack(self._critic.detach())
        q = self._q(weights, batch.context, steered).mean(0)
        loss = (self._temperature() * log_prob - q).mean()
        self._descend("actor", self._actor, loss)
        # gradient with respect to log alpha of -alpha (log pi + target entropy), averaged over the batch
        gradient = -self._log_alpha.exp() * (log_prob.detach().mean() + self.target_entropy)
        self._optimisers["log_alpha"].step(gradient)
        return {
            "actor_loss": loss.detach(),
            "alpha": self._temperature(),
            **_spread(action.detach(), log_prob.detach()),
        }

    def _temperature(self) -> Tensor:
        """alpha, scalar, on the device; rounded once, from double precision."""
        return self._log_alpha[0].double().exp().float()

    def _descend(self, name: str, weights: Tensor, loss: Tensor) -> None:
        (gradient,) = torch.autograd.grad(loss, weights)
        gradient.mul_(torch.clamp(self.settings.grad_clip / (gradient.norm() + 1e-6), max=1.0))
        self._optimisers[name].step(gradient)


def _spread(action: Tensor, log_prob: Tensor) -> dict[str, Tensor]:
    """Exploration metrics: RMS of the actions and estimated entropy."""
    return {"action_rms": action.square().mean().sqrt(), "entropy": -log_prob.mean()}


def _fresh_actor(net: _Perceptrons, settings: SACSettings, rng: np.random.Generator) -> Tensor:
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


def _fresh_critics(net: _Perceptrons, settings: SACSettings, rng: np.random.Generator) -> Tensor:
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
