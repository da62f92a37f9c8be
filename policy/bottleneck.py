"""The variational information bottleneck: a plug-in between embedding and flow that changes neither.

c [B, dc] -> z [B, dz] -> c_hat [B, dc]. Its loss (equation 5) trains only the bottleneck's own weights: c is detached,
and the flow's weights are frozen while the gradient passes through the flow to c_hat.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from datasets.settings import Settings
from policy.flow import Flow

LOGVAR_RANGE = (-12.0, 4.0)
"""Clamps the posterior's log-variance so the variance stays finite in float32; trained posteriors stay well inside."""


class BottleneckSettings(Settings):
    """The bottleneck of a task."""

    dz: int = Field(default=16, ge=1, le=256)
    """Size of the latent z."""
    hidden: int = Field(default=256, ge=8, le=4096)
    """Width of the hidden layers of encoder and decoder."""
    layers: int = Field(default=3, ge=1, le=8)
    """Hidden layers of each, before the linear heads."""
    beta: float = Field(default=2e-4, ge=0.0, le=10.0)
    """Weight of the KL divergence, which is averaged over batch and latent dimensions."""
    rho: float = Field(default=0.01, ge=0.0, le=10.0)
    """Weight of the loss that reconstructs c; 0 gives equation 5 exactly."""


class Bottleneck(nn.Module):
    """Encoder to a diagonal Gaussian over z, decoder back to an embedding."""

    def __init__(self, dc: int, settings: BottleneckSettings) -> None:
        """`dc`: size of the embedding."""
        super().__init__()
        self.settings = settings
        self.encoder = _hidden(dc, settings)
        self.mean = nn.Linear(settings.hidden, settings.dz)
        self.logvar = nn.Linear(settings.hidden, settings.dz)
        self.decoder = nn.Sequential(_hidden(settings.dz, settings), nn.Linear(settings.hidden, dc))

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """c -> mean and log-variance of z, [B, dz] each."""
        hidden = self.encoder(c)
        return self.mean(hidden), self.logvar(hidden).clamp(*LOGVAR_RANGE)

    def decode(self, z: Tensor) -> Tensor:
        """z [B, dz] -> c_hat [B, dc]."""
        c_hat: Tensor = self.decoder(z)
        return c_hat

    def loss(self, flow: Flow, a: Tensor, w: Tensor, k: Tensor, c: Tensor, eps: Tensor) -> dict[str, Tensor]:
        """The terms of equation 5, scalars: total, flow, kl, reconstruction.

        `eps` [B, dz] is the noise of z; a, w, k as in policy/flow.py. c and the flow's weights get no gradient.
        """
        c = c.detach()
        mean, logvar = (statistic.float() for statistic in self.encode(c))
        c_hat = self.decode(mean + torch.exp(0.5 * logvar) * eps)
        matched = through_frozen(flow, a, w, k, c_hat)
        kl = 0.5 * torch.mean(mean**2 + logvar.exp() - 1.0 - logvar)
        reconstruction = torch.mean((c_hat - c) ** 2)
        total = matched + self.settings.beta * kl + self.settings.rho * reconstruction
        return {"total": total, "flow": matched, "kl": kl, "reconstruction": reconstruction}


def through_frozen(flow: Flow, a: Tensor, w: Tensor, k: Tensor, c_hat: Tensor) -> Tensor:
    """The flow loss with frozen flow weights; its gradient reaches only c_hat."""
    frozen = {name: weight.detach() for name, weight in flow.named_parameters()}
    loss: Tensor = functional_call(flow, frozen, (a, w, k, c_hat))
    return loss


def _hidden(size: int, settings: BottleneckSettings) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(settings.layers):
        layers += [nn.Linear(size, settings.hidden), nn.GELU()]
        size = settings.hidden
    return nn.Sequential(*layers)
