"""ZPRL: reinforcement learning on a residual of the bottleneck latent (paper, section IV-B and IV-C).

The base stays frozen. Online, c = E(o) and z ~ p(z | c) are computed once per decision and stored; the actor sees
(c, z) and outputs dz; the perturbed latent z~ = z + lam dz is decoded into the flow's condition (equation 7). The
critics evaluate z~, not dz (equation 8). policy/sac.py implements the updates (equations 9 to 11). They use cached
embeddings only: no image is encoded during learning. dz is the residual; in shapes, and
where sizes are read from the base, it is the size of z, which the residual shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.graphs import Graphed, Tensors
from policy.replay import ReplayBuffer, Timeout, TransitionBatch
from policy.sac import SAC, SACBatch, SACSettings
from policy.steering.draws import as_array, normal
from policy.steering.interface import Decision, Metrics, RecordSpec, Steering, SteeringSettings, Window

if TYPE_CHECKING:
    from policy.base import BasePolicy

TYPICAL_DZ_RMS = 1.0 / 3.0
"""Typical RMS(dz) of an actor trained with a target entropy of -dz/2; measured values range from .31 to .39."""
_SMALLEST_STD = 1e-4
"""Features with a smaller standard deviation are only centred, not scaled."""

_READ_EVERY = 64
"""Gradient steps between two readings of metrics from a GPU, each of which waits for it; the last is always read."""


class CriticInput(StrEnum):
    """The critics' input besides the perturbed latent."""

    C_Z = "c_z_ztilde"
    """c and the unperturbed z."""
    C = "c_ztilde"
    """c alone, as in equation 8."""


class RolloutCrop(StrEnum):
    """Image crop used in rollouts; evaluation always uses the centre crop."""

    RANDOM = "random"
    CENTRE = "centre"


class WarmUp(StrEnum):
    """How the method acts before its first gradient step."""

    BASE = "base"
    """dz = 0: the base acts and explores only through its sampled latent."""
    ACTOR = "actor"
    """dz from the untrained actor, i.e. tanh-squashed Gaussian noise of the initial standard deviation."""


class ZPRLSettings(SACSettings, SteeringSettings):
    """ZPRL: a residual on the bottleneck latent, learned by an actor and critics."""

    method: Literal["zprl"] = "zprl"
    """Name of the online method; for a custom one, module:Class of its settings."""
    lam: float | None = Field(default=None, gt=0.0, le=10.0)
    """Scale of the perturbation; none: chosen once after the warm-up, from `lam_ratio`."""
    lam_ratio: float = Field(default=0.15, gt=0.0, le=1.0)
    """Target of RMS(lam dz) / RMS(z) when lam is chosen automatically; the paper recommends .1 to .2."""
    utd: float = Field(default=2.0, ge=0.0, le=100.0)
    """Gradient steps per fresh chunk."""
    warmup_chunks: int = Field(default=300, ge=1, le=1_000_000)
    """Chunks before the first gradient step."""
    actor_delay_chunks: int = Field(default=0, ge=0, le=1_000_000)
    """Chunks after the warm-up during which only the critics learn."""
    warmup: WarmUp = WarmUp.BASE
    """How to act during the warm-up."""
    gamma: float = Field(default=0.99, gt=0.0, le=1.0)
    """Discount per environment step."""
    timeout: Timeout = Timeout.BOOTSTRAP
    """How the critics treat a timeout."""
    critic_input: CriticInput = CriticInput.C_Z
    """The critics' input besides the perturbed latent."""
    rollout_crop: RolloutCrop = RolloutCrop.RANDOM
    """Image crop used in rollouts."""
    sample_z: bool = True
    """Sample z in rollouts; otherwise, and always in evaluation, use its mean."""
    normalise: bool = True
    """Normalise c and z to zero mean and unit variance with statistics of the warm-up chunks."""

    def build(self, base: BasePolicy, seed: int, *, n_action_steps: int) -> ZPRL:
        return ZPRL(base, self, seed, n_action_steps=n_action_steps)


class ZPRL(Steering):
    """The method; its state is a pure function of the replay blocks it learned from."""

    name: ClassVar[str] = "zprl"

    def __init__(
        self, base: BasePolicy, settings: ZPRLSettings, seed: int, *, n_action_steps: int | None = None
    ) -> None:
        """Steer `base`, which is never changed; networks are initialised from `seed`.

        `n_action_steps`: number of steps of each chunk to execute; None: the whole predicted chunk.
        """
        self.base = base
        self.settings = settings
        self.gamma = settings.gamma
        self.timeout = settings.timeout
        self.warmup_chunks = settings.warmup_chunks
        self.n_action_steps = n_action_steps or base.prediction_horizon
        dc, dz = base.dc, base.dz
        self.record = RecordSpec(
            features={"c": (dc,), "mu": (dz,), "logvar": (dz,), "z": (dz,)}, decisions={"dz": (dz,)}
        )
        self.sac = SAC(
            settings,
            state_size=dc + dz,
            context_size=dc + dz if settings.critic_input is CriticInput.C_Z else dc,
            action_size=dz,
            rng=stream(seed, "zprl networks"),
            device=base.device,
        )
        self._centre = torch.zeros(dc + dz, device=base.device)
        self._spread = torch.ones(dc + dz, device=base.device)
        self._lam = torch.full((), settings.lam or 0.0, device=base.device)
        self._dc = dc
        self._actor = Graphed(self._dz, base.device, name="the actor")
        self._read_every = 1 if base.device.type == "cpu" else _READ_EVERY

    @property
    def lam(self) -> float:
        """Scale of the perturbation; 0 until it has been chosen."""
        return float(self._lam)

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        """c = E(o), p(z | c) and one sample z, shared by actor, critics and target."""
        random_crop = explore and self.settings.rollout_crop is RolloutCrop.RANDOM
        with torch.inference_mode():
            c = self.base.embed(window, self.base.draw_crops(rngs) if random_crop else None)  # [B, dc]
            mu, logvar = (value.cpu() for value in self.base.encode(c))  # [B, dz]
            z = mu
            if explore and self.settings.sample_z:
                z = mu + torch.exp(0.5 * logvar) * normal(rngs, mu.shape[1:])
        return {"c": as_array(c), "mu": as_array(mu), "logvar": as_array(logvar), "z": as_array(z)}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        """Equation 7: dz ~ pi(. | c, z), z~ = z + lam dz, a ~ pi_base(. | g(z~)); in evaluation dz = tanh(mean)."""
        c, z = (torch.from_numpy(features[name]).to(self.base.device) for name in ("c", "z"))
        dz = self._residual(c, z, rngs, explore=explore)  # [B, dz]
        w = self.base.draw_noise(rngs)  # [B, H, da]
        with torch.inference_mode():
            z_tilde = z + self._lam * dz
            actions = self.base.decode_latent(z_tilde, w)[:, : self.n_action_steps]
        return Decision(actions=as_array(actions), chosen={"dz": as_array(dz)})

    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        """UTD times the number of fresh chunks; 0 until the warm-up is complete."""
        if len(replay) < self.settings.warmup_chunks:
            return 0
        return round(self.settings.utd * replay.chunks(fresh))

    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        """Update actor and critics (equations 9 to 11) on batches from the replay."""
        planned = self.planned_updates(replay, fresh)
        if planned and not self.sac.updates:
            self._measure(replay)
        self.sac.spread(self.base.threads)
        train_actor = len(replay) >= self.settings.warmup_chunks + self.settings.actor_delay_chunks
        lam = self.lam
        metrics: Metrics = {"lam": lam}
        for left in reversed(range(planned)):
            transitions = replay.sample(rng, self.settings.batch, ("c", "z"))
            self.sac.step(self._batch(transitions), rng, train_actor=train_actor)
            if not left % self._read_every:
                metrics = {**metrics, **self.sac.figures()}
                ratio = lam * metrics["action_rms"] / max(_rms(transitions.features["z"]), 1e-9)
                metrics["rms_ratio"] = ratio
            yield metrics

    def state(self) -> dict[str, Tensor]:
        """Networks, optimisers, temperature, counter, feature statistics and lam."""
        own = {"centre": self._centre, "spread": self._spread, "lam": self._lam}
        return {**self.sac.state(), **{name: tensor.to("cpu", copy=True) for name, tensor in own.items()}}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`. Raises ValueError when names or shapes differ."""
        own = {"centre": self._centre, "spread": self._spread, "lam": self._lam}
        for name, tensor in own.items():
            if name not in state or state[name].shape != tensor.shape:
                raise ValueError(
                    f"The checkpoint's {name} does not fit this base. Resume with the base and the settings that the"
                    " checkpoint was written with."
                )
        self.sac.load_state({name: tensor for name, tensor in state.items() if name not in own})
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _residual(
        self, c: Tensor, z: Tensor, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> Tensor:
        """dz [B, dz] in [-1, 1]."""
        if not self.sac.updates and (not explore or self.settings.warmup is WarmUp.BASE or not self.lam):
            return torch.zeros_like(z)
        return self._actor(c, z, *([normal(rngs, z.shape[1:])] if explore else []))[0]

    def _dz(self, c: Tensor, z: Tensor, noise: Tensor | None = None) -> Tensors:
        return (self.sac.act(self._normalised(c, z), noise),)

    def _batch(self, transitions: TransitionBatch) -> SACBatch:
        """Convert transitions to the networks' units; z~ is recomputed from the stored z and dz."""
        now, then = transitions.features, transitions.next_features
        state = self._normalised(now["c"], now["z"])  # [B, dc + dz]
        next_state = self._normalised(then["c"], then["z"])
        origin, next_origin = state[:, self._dc :], next_state[:, self._dc :]
        whole = self.settings.critic_input is CriticInput.C_Z
        return SACBatch(
            state=state,
            context=state if whole else state[:, : self._dc],
            steered=torch.addcmul(origin, self.sac.scale, transitions.decisions["dz"]),
            origin=origin,
            next_state=next_state,
            next_context=next_state if whole else next_state[:, : self._dc],
            next_origin=next_origin,
            reward=transitions.reward,
            discount=transitions.discount,
        )

    def _normalised(self, c: Tensor, z: Tensor) -> Tensor:
        """Normalised c and z, concatenated to [B, dc + dz]."""
        return torch.cat([c, z], dim=-1).sub_(self._centre).div_(self._spread)

    def _measure(self, replay: ReplayBuffer) -> None:
        """Fix lam and the feature statistics from the warm-up data, before the first gradient step."""
        z = replay.feature("z")
        if self.settings.lam is None:
            self._lam.fill_(propose_lam(z, ratio=self.settings.lam_ratio))
        if self.settings.normalise:
            seen = torch.from_numpy(np.concatenate([replay.feature("c"), z], axis=-1)).double()
            spread = seen.std(0, correction=0)
            self._centre.copy_(seen.mean(0))
            self._spread.copy_(torch.where(spread < _SMALLEST_STD, torch.ones_like(spread), spread))
        self.sac.scale.copy_(self._lam / self._spread[self._dc :])


def propose_lam(z: FloatArray, *, ratio: float) -> float:
    """The lam at which a typical dz gives RMS(lam dz) = ratio * RMS(z), for latents `z` [n, dz].

    Raises ValueError when there are no latents to measure.
    """
    magnitude = float(np.sqrt(np.mean(np.square(z, dtype=np.float64)))) if z.size else 0.0
    if not magnitude:
        raise ValueError("No latents to measure. Collect warm-up chunks first, or set lam in the task.")
    return ratio * magnitude / TYPICAL_DZ_RMS


def _rms(tensor: Tensor) -> float:
    return float(tensor.square().mean().sqrt())
