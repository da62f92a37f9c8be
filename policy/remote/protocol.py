"""What a policy server and its clients say to each other: one map per message, arrays with fixed names and shapes.

On connecting, a server sends its metadata. Then each request gets one answer, in order; instead of an answer, a
sentence as text says what was wrong. A request without ``ask`` is an observation as openpi's clients send it, for one
chunk of actions. With ``ask`` it is one of a session's, for B cells at once:

- ``embed``: images (camera -> uint8 [B, N, H, W, 3]), proprioception [B, N, proprioception_dim], optionally crop
  (camera -> int64 [B, N, 2]) -> c [B, dc], mu and logvar [B, dz]
- ``encode``: c -> mu, logvar
- ``decode_latent``: z [B, dz] -> c_hat [B, dc]
- ``act``: z and noise w [B, H, da] -> actions [B, H, da]
- ``decode``: c_hat and w -> actions

So a decision takes two: ``embed`` and ``act``. A server draws nothing for a session: crops, w and z come from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.spec import DataSpec
from policy.base import BasePolicy
from policy.remote.wire import PROTOCOL, Array, Content, WireError

ASK = "ask"
MOST_ROWS = 64
"""B, at most."""
STATE = "observation/state"
"""An openpi observation's proprioception; its images are ``observation/CAMERA``."""
_SLACK = 1 << 20
"""Bytes of a message besides its arrays."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes that shape every message of one base policy."""

    spec: DataSpec
    n_obs: int
    prediction_horizon: int
    dc: int
    dz: int

    @classmethod
    def of(cls, base: BasePolicy) -> Sizes:
        """Those of `base`."""
        return cls(
            spec=base.spec,
            n_obs=base.settings.n_obs,
            prediction_horizon=base.prediction_horizon,
            dc=base.dc,
            dz=base.dz,
        )

    @property
    def most_bytes(self) -> int:
        """Of a request or an answer."""
        spec = self.spec
        images = sum(3 * camera.height * camera.width for camera in spec.cameras)
        row = self.n_obs * (images + 16 * len(spec.cameras) + 8 * spec.proprioception_dim)
        row += 8 * (self.dc + 2 * self.dz + 2 * self.prediction_horizon * spec.da)
        return MOST_ROWS * row + _SLACK


def metadata(base: BasePolicy, device: str, *, torch_version: str) -> Content:
    """What a server says first."""
    return {
        "protocol": PROTOCOL,
        "hash": base.hash,
        "spec": base.spec.to_json(),
        "n_obs": base.settings.n_obs,
        "prediction_horizon": base.prediction_horizon,
        "action_dim": base.spec.da,
        "observation_keys": observation_keys(base.spec),
        "device": device,
        "torch": torch_version,
    }


def observation_keys(spec: DataSpec) -> list[str]:
    """The keys of an observation as openpi's clients send it."""
    return [*(f"observation/{camera.name}" for camera in spec.cameras), STATE]


def required(content: Mapping[str, Any], name: str, kind: type[np.generic], *shape: int) -> Array:
    """The array `name`, of exactly this type and shape; -1 for any size. Raises WireError."""
    value = content.get(name)
    if not isinstance(value, np.ndarray):
        raise WireError(f"'{name}' is missing, or no array.")
    fits = value.ndim == len(shape) and all(
        wanted in (-1, size) for wanted, size in zip(shape, value.shape, strict=True)
    )
    if not fits or value.dtype != kind:
        wanted = ", ".join("B" if size < 0 else str(size) for size in shape)
        raise WireError(
            f"'{name}' is {value.dtype} {list(value.shape)}, and must be {np.dtype(kind)} [{wanted}]."
        )
    return value


def rows_of(array: Array) -> int:
    """B of a request's first array. Raises WireError when there are none or too many."""
    if not 1 <= len(array) <= MOST_ROWS:
        raise WireError(f"A request is for 1 to {MOST_ROWS} cells; this one is for {len(array)}.")
    return len(array)
