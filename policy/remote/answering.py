"""A policy server without its socket: a request's content in, an answer's out.

Checks every request against the base's own sizes; what is wrong with one is said in a sentence that its sender gets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.observation import FloatArray
from datasets.randomness import stream
from policy.base import BasePolicy, Window
from policy.encoder import CropOffsets
from policy.remote.protocol import ASK, STATE, Sizes, metadata, observation_keys, required, rows_of
from policy.remote.wire import Array, Content, WireError

_OPTIONAL = ("prompt", "noise")
"""Keys of an openpi observation that may be absent; a prompt has no meaning to this policy."""


class PolicyAnswers:
    """Answers requests with one frozen base policy, one at a time."""

    def __init__(self, base: BasePolicy, device: str = "") -> None:
        """`base`: frozen, on the device that computes; `device`: that one in words."""
        self.base = base
        self.sizes = Sizes.of(base)
        self.metadata = metadata(base, device or str(base.device), torch_version=str(torch.__version__))
        self._asked: dict[str, Callable[[Mapping[str, Any]], dict[str, Tensor]]] = {
            "embed": self._embed,
            "encode": self._encode,
            "decode_latent": self._decode_latent,
            "act": self._act,
            "decode": self._decode,
        }

    def warm_up(self) -> None:
        """Compute once, so that no robot waits for libraries and kernels to load."""
        self.answer(
            {
                **{
                    f"observation/{camera.name}": np.zeros((camera.height, camera.width, 3), np.uint8)
                    for camera in self.base.spec.cameras
                },
                STATE: np.zeros(self.base.spec.proprioception_dim, np.float32),
            }
        )

    def answer(self, content: Mapping[str, Any], ordinal: int = 0) -> Content:
        """The answer to a request, the `ordinal`-th of its connection. Raises WireError."""
        with torch.inference_mode():
            if ASK not in content:
                return self._infer(content, ordinal)
            asked = self._asked.get(str(content[ASK]))
            if asked is None:
                raise WireError(f"There is nothing called {str(content[ASK])[:40]!r} to ask for.")
            return {name: tensor.cpu().numpy() for name, tensor in asked(content).items()}

    def _embed(self, content: Mapping[str, Any]) -> dict[str, Tensor]:
        sizes, spec = self.sizes, self.base.spec
        state = required(content, "proprioception", np.float32, -1, sizes.n_obs, spec.proprioception_dim)
        rows = rows_of(state)
        given = _map(content, "images")
        images = {
            camera.name: required(
                given, camera.name, np.uint8, rows, sizes.n_obs, camera.height, camera.width, 3
            )
            for camera in spec.cameras
        }
        crop = self._crop(_map(content, "crop"), rows) if content.get("crop") is not None else None
        c = self.base.embed_arrays(_writable(images), state.copy(), crop)
        mu, logvar = self.base.encode(c)
        return {"c": c, "mu": mu, "logvar": logvar}

    def _encode(self, content: Mapping[str, Any]) -> dict[str, Tensor]:
        mu, logvar = self.base.encode(self._tensor(content, "c", self.sizes.dc))
        return {"mu": mu, "logvar": logvar}

    def _decode_latent(self, content: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"c_hat": self.base.bottleneck.decode(self._tensor(content, "z", self.sizes.dz))}

    def _act(self, content: Mapping[str, Any]) -> dict[str, Tensor]:
        z = self._tensor(content, "z", self.sizes.dz)
        return {"actions": self.base.decode_latent(z, self._noise(content, len(z)))}

    def _decode(self, content: Mapping[str, Any]) -> dict[str, Tensor]:
        c_hat = self._tensor(content, "c_hat", self.sizes.dc)
        return {"actions": self.base.decode(c_hat, self._noise(content, len(c_hat)))}

    def _infer(self, content: Mapping[str, Any], ordinal: int) -> Content:
        """A chunk [H, da] through the bottleneck's mean, where steering begins, from the centre crop."""
        began = time.perf_counter()
        base = self.base
        window, noise = self._observed(content), content.get("noise")
        if noise is None:
            w = base.draw_noise([stream(0, "policy server", ordinal)])
        else:
            shape = (base.prediction_horizon, base.spec.da)
            w = self._on_device(required({"noise": _numbers(noise)}, "noise", np.float32, *shape)[None])
        mu, _ = base.encode(base.embed(window))
        actions = base.decode_latent(mu, w)[0].cpu().numpy()
        return {"actions": actions, "server_timing": {"infer_ms": 1000.0 * (time.perf_counter() - began)}}

    def _observed(self, content: Mapping[str, Any]) -> Window:
        spec, n_obs = self.base.spec, self.sizes.n_obs
        keys = observation_keys(spec)
        missing = [key for key in keys if key not in content]
        unknown = [key for key in content if key not in (*keys, *_OPTIONAL)]
        if missing or unknown:
            raise WireError(
                f"An observation for this policy has {', '.join(keys)}; missing: {', '.join(missing) or 'none'}; "
                f"unknown: {', '.join(key[:40] for key in unknown[:8]) or 'none'}."
            )
        images = {
            camera.name: _window(content[key], key, n_obs, (camera.height, camera.width, 3), np.uint8)
            for camera, key in zip(spec.cameras, keys, strict=False)
        }
        state = _numbers(content[STATE])
        return Window(
            images=images,
            proprioception=_window(state, STATE, n_obs, (spec.proprioception_dim,), np.float32),
        )

    def _crop(self, given: Mapping[str, Any], rows: int) -> CropOffsets:
        found = {}
        for camera in self.base.spec.cameras:
            offsets = required(given, camera.name, np.int64, rows, self.sizes.n_obs, 2)
            height, width = self.base.encoder.crops[camera.name]
            room = (camera.height - height, camera.width - width)
            if (offsets < 0).any() or (offsets > room).any():
                raise WireError(f"A crop of {camera.name} lies outside its images.")
            found[camera.name] = offsets
        return found

    def _tensor(self, content: Mapping[str, Any], name: str, size: int) -> Tensor:
        array = required(content, name, np.float32, -1, size)
        rows_of(array)
        return self._on_device(array)

    def _noise(self, content: Mapping[str, Any], rows: int) -> Tensor:
        shape = (rows, self.sizes.prediction_horizon, self.base.spec.da)
        return self._on_device(required(content, "w", np.float32, *shape))

    def _on_device(self, array: Array) -> Tensor:
        return torch.from_numpy(array.copy()).to(self.base.device)


def _map(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    if not isinstance(value, dict):
        raise WireError(f"'{name}' is missing, or no map.")
    return value


def _writable(images: Mapping[str, Array]) -> dict[str, Array]:
    """Copies: torch refuses to promise anything about memory that it may not write."""
    return {name: image.copy() for name, image in images.items()}


def _window(value: object, key: str, n_obs: int, shape: tuple[int, ...], kind: type[np.generic]) -> Array:
    """[1, N, ...] from [N, ...], or from the newest observation alone, which then fills the window."""
    if isinstance(value, np.ndarray) and value.ndim == len(shape):
        newest = required({key: value}, key, kind, *shape)
        return np.repeat(newest[None, None], n_obs, axis=1)
    return required({key: value}, key, kind, n_obs, *shape)[None].copy()


def _numbers(value: object) -> FloatArray | None:
    """A state as float32; openpi's clients often send it in double precision."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(np.float32)
    return None
