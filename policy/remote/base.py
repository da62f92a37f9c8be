"""A base policy whose networks run at a policy server; to a steering method it is any other base policy.

The session's own copy of the weights is loaded as well: it proves that both ends have the same policy, and computes
whatever needs gradients. A copy of this policy, as a method makes to fine-tune it, computes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datasets.observation import FloatArray
from datasets.plain_text import from_json
from policy.base import BasePolicy
from policy.bottleneck import Bottleneck
from policy.encoder import CropOffsets
from policy.remote.calls import RemoteCalls
from policy.remote.line import Address, Line
from policy.remote.protocol import Sizes
from policy.remote.wire import Content
from policy.steering.draws import as_array


class RemoteBase(BasePolicy):
    """A frozen base policy that asks a server for everything it computes."""

    _calls: RemoteCalls | None = None
    metadata: Content
    """What the server says of itself."""

    @classmethod
    def at(
        cls,
        address: Address,
        folder: Path,
        device: torch.device | str = "cpu",
        *,
        patience: float | None = None,
    ) -> Self:
        """The policy in `folder`, computed at a server, which must have the same one; its results are on `device`.

        Raises:
            PolicyFileError: there is no policy in `folder`. RemotePolicyError: the server does not answer within
                `patience` s (default: the deadline), or has another policy.
        """
        policy = cls.load(folder, device)
        assert isinstance(policy, cls)
        sizes = Sizes.of(policy)
        line = Line(address, most_bytes=sizes.most_bytes, accept=policy.objection)
        policy.metadata = line.connect(patience)
        policy._calls = RemoteCalls(line, sizes)
        policy.bottleneck = RemoteBottleneck(policy.bottleneck, policy._calls)
        return policy

    def objection(self, metadata: Content) -> str:
        """Why a server with this metadata cannot compute for this session; empty if it can."""
        theirs = str(metadata.get("hash"))[:64]
        if theirs != self.hash:
            return (
                f"The policy server serves the base policy {theirs}, and this session's is {self.hash}. Serve this "
                "session's own: copy its folder 'base' there and name the copy (station policy-server FOLDER)."
            )
        if metadata.get("spec") != from_json(json.dumps(self.spec.to_json())):
            return (
                "The policy server's base policy is for other images, states or actions than this session's. "
                "Use the same version of the station at both ends."
            )
        return ""

    def embed_arrays(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        proprioception: FloatArray,
        crop: CropOffsets | None = None,
    ) -> Tensor:
        """See BasePolicy. The answer also holds what `bottleneck.encode` is asked next."""
        if self._calls is None or _differentiated(self):
            return super().embed_arrays(images, proprioception, crop)
        c, mu, logvar = self._calls.embed(images, proprioception, crop)
        if isinstance(self.bottleneck, RemoteBottleneck):
            self.bottleneck.remember(c, mu, logvar)
        return torch.from_numpy(c).to(self.device)

    def decode(self, c_hat: Tensor, w: Tensor) -> Tensor:
        """See BasePolicy."""
        if self._calls is None or _differentiated(self, c_hat, w):
            return super().decode(c_hat, w)
        return torch.from_numpy(self._calls.decode(as_array(c_hat.detach()), as_array(w.detach()))).to(
            self.device
        )

    def decode_latent(self, z: Tensor, w: Tensor) -> Tensor:
        """See BasePolicy."""
        if self._calls is None or _differentiated(self, z, w):
            return super().decode_latent(z, w)
        return torch.from_numpy(self._calls.act(as_array(z.detach()), as_array(w.detach()))).to(self.device)

    def _replayed(self) -> bool:
        return self._calls is None and super()._replayed()

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._calls is not None:
            self._calls.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> BasePolicy:
        """A policy of the caller's own, which computes here."""
        copied = BasePolicy(self.spec, self.settings, self.bottleneck.settings)
        copied.load_state_dict(self.state_dict())
        return copied.freeze().to(self.device)


class RemoteBottleneck(Bottleneck):
    """A bottleneck with the weights of another one, which asks a server."""

    def __init__(self, local: Bottleneck, calls: RemoteCalls) -> None:
        """`local` computes whatever needs gradients."""
        nn.Module.__init__(self)
        self.settings = local.settings
        self.encoder, self.mean, self.logvar, self.decoder = (
            local.encoder, local.mean, local.logvar, local.decoder,
        )  # fmt: skip
        self._calls = calls
        self._newest: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def remember(self, c: FloatArray, mu: FloatArray, logvar: FloatArray) -> None:
        """The newest embedding with its latent, which came in the same answer."""
        self._newest = c.copy(), mu, logvar

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """See Bottleneck; asks only for an embedding other than the newest."""
        if _differentiated(self, c):
            return super().encode(c)
        given = as_array(c.detach())
        if self._newest is not None and np.array_equal(self._newest[0], given):
            _, mu, logvar = self._newest
        else:
            mu, logvar = self._calls.encode(given)
        return torch.from_numpy(mu.copy()).to(c.device), torch.from_numpy(logvar.copy()).to(c.device)

    def decode(self, z: Tensor) -> Tensor:
        """See Bottleneck."""
        if _differentiated(self, z):
            return super().decode(z)
        return torch.from_numpy(self._calls.decode_latent(as_array(z.detach()))).to(z.device)


def _differentiated(module: nn.Module, *given: Tensor) -> bool:
    """Whether a result would carry gradients, which cross no network."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*given, *module.parameters()))
