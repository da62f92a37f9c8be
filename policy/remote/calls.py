"""What a session asks a policy server for, as functions of arrays; every answer is checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.observation import FloatArray
from policy.encoder import CropOffsets
from policy.remote.error import RemotePolicyError
from policy.remote.line import RESTART, Line
from policy.remote.protocol import ASK, Sizes, required
from policy.remote.wire import WireError


class RemoteCalls:
    """The calls of `protocol`, over one line. Each raises RemotePolicyError."""

    def __init__(self, line: Line, sizes: Sizes) -> None:
        """`sizes`: those of the base policy that the server must have."""
        self._line = line
        self._sizes = sizes

    def embed(
        self, images: Mapping[str, NDArray[np.uint8]], proprioception: FloatArray, crop: CropOffsets | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """c [B, dc], and of z the mean and the log-variance [B, dz]."""
        rows, dz = len(proprioception), self._sizes.dz
        request = {
            "images": dict(images),
            "proprioception": np.asarray(proprioception, np.float32),
            "crop": None if crop is None else dict(crop),
        }
        c, mu, logvar = self._ask(
            "embed", request, c=(rows, self._sizes.dc), mu=(rows, dz), logvar=(rows, dz)
        )
        self._require_finite(c, mu, logvar)
        return c, mu, logvar

    def encode(self, c: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and log-variance of z, [B, dz] each."""
        shape = (len(c), self._sizes.dz)
        mu, logvar = self._ask("encode", {"c": c}, mu=shape, logvar=shape)
        self._require_finite(mu, logvar)
        return mu, logvar

    def decode_latent(self, z: FloatArray) -> FloatArray:
        """c_hat [B, dc]."""
        (c_hat,) = self._ask("decode_latent", {"z": z}, c_hat=(len(z), self._sizes.dc))
        return c_hat

    def act(self, z: FloatArray, w: FloatArray) -> FloatArray:
        """Actions [B, H, da] from a latent and noise."""
        (actions,) = self._ask("act", {"z": z, "w": w}, actions=w.shape)
        return actions

    def decode(self, c_hat: FloatArray, w: FloatArray) -> FloatArray:
        """Actions [B, H, da] from an embedding and noise."""
        (actions,) = self._ask("decode", {"c_hat": c_hat, "w": w}, actions=w.shape)
        return actions

    def close(self) -> None:
        """Hang up; the next call connects again."""
        self._line.close()

    def _require_finite(self, *arrays: FloatArray) -> None:
        """Features are stored and learnt from; actions are checked where they are executed."""
        if not all(np.isfinite(array).all() for array in arrays):
            raise RemotePolicyError(
                f"The policy server at {self._line.address.url} gave features that are not finite.",
                remedy=RESTART,
            )

    def _ask(self, what: str, request: dict[str, Any], **shapes: tuple[int, ...]) -> list[FloatArray]:
        answer = self._line.ask({ASK: what, **request})
        try:
            # copies, since torch wants memory that it may write
            return [required(answer, name, np.float32, *shape).copy() for name, shape in shapes.items()]
        except WireError as error:
            raise RemotePolicyError(
                f"The policy server at {self._line.address.url} gave a wrong answer: {error}", remedy=RESTART
            ) from error
