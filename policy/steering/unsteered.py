"""The base itself behind the methods' interface: nothing is steered and nothing is learnt.

It serves to measure the base: through the bottleneck with the mean latent (the policy that steering starts from), with
a sampled one, or past the bottleneck with the raw embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from datasets.observation import FloatArray
from policy.replay import ReplayBuffer
from policy.steering.draws import as_array, normal
from policy.steering.interface import Decision, Metrics, RecordSpec, Steering, Window

if TYPE_CHECKING:
    from policy.base import BasePolicy


class BasePath(StrEnum):
    """How the embedding reaches the flow."""

    LATENT = "latent"
    """c_hat = g(mean of z)"""
    SAMPLED = "sampled"
    """c_hat = g(z), z sampled"""
    RAW = "raw"
    """c itself"""


class Unsteered(Steering):
    """Acts exactly as the base policy; stores the flow's condition."""

    name: ClassVar[str] = "base"

    def __init__(
        self, base: BasePolicy, path: BasePath = BasePath.LATENT, *, n_action_steps: int | None = None
    ) -> None:
        """Act with `base` along `path`, executing `n_action_steps` of each chunk (None: all)."""
        self.base = base
        self.path = path
        self.n_action_steps = n_action_steps or base.prediction_horizon
        self.record = RecordSpec(features={"condition": (base.dc,)})

    def features(
        self, window: Window, rngs: Sequence[np.random.Generator], *, explore: bool
    ) -> dict[str, FloatArray]:
        """The flow's condition, from the centre crop."""
        with torch.inference_mode():
            condition = self.base.embed(window, None)  # [B, dc]
            if self.path is not BasePath.RAW:
                z, logvar = self.base.encode(condition)
                if self.path is BasePath.SAMPLED:
                    z = z + torch.exp(0.5 * logvar) * normal(rngs, z.shape[1:]).to(z.device)
                condition = self.base.bottleneck.decode(z)
        return {"condition": as_array(condition)}

    def act(
        self,
        window: Window,
        features: dict[str, FloatArray],
        rngs: Sequence[np.random.Generator],
        *,
        explore: bool,
    ) -> Decision:
        """The base's chunk."""
        w = self.base.draw_noise(rngs)  # [B, H, da]
        condition = torch.from_numpy(features["condition"]).to(w.device)
        with torch.inference_mode():
            actions = self.base.decode(condition, w)[:, : self.n_action_steps]
        return Decision(actions=as_array(actions), chosen={})

    def planned_updates(self, replay: ReplayBuffer, fresh: Sequence[str]) -> int:
        """Always 0: nothing is learned."""
        return 0

    def learn(
        self, replay: ReplayBuffer, fresh: Sequence[str], rng: np.random.Generator
    ) -> Iterator[Metrics]:
        """Nothing to learn."""
        yield from ()

    def state(self) -> dict[str, Tensor]:
        """Stateless."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`. Raises ValueError when there is anything to load."""
        if state:
            raise ValueError(
                "The base has no learner's state. Choose the method that the checkpoint belongs to."
            )
