"""The base policy: encoder, flow and bottleneck behind the four calls that steering needs.

embed: observations -> c. bottleneck.encode: c -> z. bottleneck.decode: z -> c_hat. decode: c_hat and noise -> actions
in the task's units. policy/pretrain.py trains it; policy/steering/ perturbs z.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator, model_validator
from torch import Tensor, nn

from datasets.durable import Disk, full_disk_named
from datasets.errors import StationError
from datasets.observation import FloatArray
from datasets.own_files import read_bytes
from datasets.plain_text import from_json
from datasets.randomness import stream
from datasets.settings import Settings
from datasets.spec import DataSpec
from datasets.windows import TrainingWindows
from policy import weights
from policy.bottleneck import Bottleneck, BottleneckSettings
from policy.convolution import arrange
from policy.devices import cpu_threads
from policy.encoder import CropOffsets, EncoderHead, EncoderKind, ObservationEncoder, ResNet18, SmallEncoder
from policy.flow import Flow, Prediction
from policy.graphs import Graphed, Tensors
from policy.normalizer import Normalizer
from policy.unet import GROUPS, Activation, UNet

POLICY_FILE = "policy.json"
LARGE = 4_000_000
"""Weights from which a frozen policy on a CPU is laid out for single decisions: reading the weights then takes most of
the time. Smaller ones stay as they are, and so do the last bits of what they compute."""


class PolicyFileError(StationError):
    """A saved policy is unusable; the message names the file, the reason and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The last N observations of B cells; early in an episode, the oldest one is repeated to fill N."""

    images: dict[str, NDArray[np.uint8]]
    """camera -> uint8 [B, N, height, width, 3]"""
    proprioception: FloatArray
    """[B, N, proprioception_dim]"""

    @property
    def batch(self) -> int:
        """B."""
        return len(self.proprioception)


class PolicySettings(Settings):
    """The base policy of a task."""

    _former_names: ClassVar[Mapping[str, str]] = {"horizon": "prediction_horizon"}

    n_obs: int = Field(default=1, ge=1, le=3)
    """Observations it conditions on."""
    prediction_horizon: int = Field(default=16, ge=1, le=128, serialization_alias="horizon")
    """Steps it predicts (formerly horizon); a multiple of 2 to the number of U-Net levels less one."""
    encoder: EncoderKind = EncoderKind.RESNET18
    """Network that encodes each camera's images."""
    head: EncoderHead = EncoderHead.SPATIAL_EMBEDDING
    """Head that turns a ResNet-18's features into an embedding; the small encoder has its own."""
    embedding: int = Field(default=256, ge=8, le=2048)
    """Size of one image's embedding."""
    crops: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """camera -> height and width of the crop, pixels; cameras not listed are not cropped."""
    small_channels: tuple[int, ...] = Field(default=(16, 32, 32), min_length=1, max_length=6)
    """Small encoder: channels per convolution."""
    small_strides: tuple[int, ...] = Field(default=(3, 2, 1), min_length=1, max_length=6)
    """Small encoder: stride per convolution."""
    widths: tuple[int, ...] = Field(default=(256, 384, 512), min_length=1, max_length=5)
    """U-Net: channels per level, multiples of 8."""
    kernel: int = Field(default=5, ge=1, le=9)
    """U-Net: kernel size of the convolutions in steps, odd."""
    blocks: int = Field(default=2, ge=1, le=4)
    """U-Net: residual blocks per level."""
    time_embedding: int = Field(default=128, ge=8, le=1024)
    """U-Net: size of the flow-time embedding, even."""
    activation: Activation = Activation.MISH
    """U-Net: nonlinearity."""
    prediction: Prediction = Prediction.VELOCITY
    """What the U-Net predicts."""
    schedule: tuple[float, ...] = (1.0, 0.01, 0.0)
    """Flow times of the sampler, from 1 down to 0."""

    @field_validator("widths")
    @classmethod
    def _widths_fit_groups(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if any(width <= 0 or width % GROUPS for width in widths):
            raise ValueError(f"every width must be a positive multiple of {GROUPS}, got {widths}")
        return widths

    @field_validator("schedule")
    @classmethod
    def _schedule_descends(cls, schedule: tuple[float, ...]) -> tuple[float, ...]:
        descends = all(a > b for a, b in itertools.pairwise(schedule))
        if len(schedule) < 2 or schedule[0] != 1.0 or schedule[-1] != 0.0 or not descends:
            raise ValueError(f"the schedule must fall from 1 to 0, got {schedule}")
        return schedule

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        multiple = 2 ** (len(self.widths) - 1)
        if self.prediction_horizon % multiple:
            raise ValueError(
                f"prediction_horizon {self.prediction_horizon} must be a multiple of {multiple} for "
                f"{len(self.widths)} U-Net levels"
            )
        if self.kernel % 2 == 0 or self.time_embedding % 2:
            raise ValueError("kernel must be odd and time_embedding even")
        if len(self.small_channels) != len(self.small_strides) or min(self.small_strides) < 1:
            raise ValueError("small_channels and small_strides need one positive number per convolution each")
        if any(channels % max(1, channels // 4) for channels in self.small_channels):
            raise ValueError(
                f"every one of small_channels must be a multiple of 4, got {self.small_channels}"
            )
        return self


class BasePolicy(nn.Module):
    """A flow-matching policy with its bottleneck; B cells at a time."""

    def __init__(
        self, spec: DataSpec, settings: PolicySettings, bottleneck: BottleneckSettings, *, seed: int = 0
    ) -> None:
        """Initialise weights, which depend on `seed` alone.

        Raises:
            ValueError: a crop names a camera that the spec lacks, or is larger than its images.
        """
        super().__init__()
        self.spec = spec
        self.settings = settings
        crops = _crop_sizes(spec, settings)
        self.dc = settings.n_obs * (len(spec.cameras) * settings.embedding + spec.proprioception_dim)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream(seed, "policy-weights").integers(2**63)))
            self.encoder = ObservationEncoder(
                {name: _camera_network(settings, crop) for name, crop in crops.items()}, crops
            )
            self.flow = Flow(_unet(spec.da, self.dc, settings), settings.prediction)
            self.bottleneck = Bottleneck(self.dc, bottleneck)
        self.proprioception_normalizer = Normalizer(spec.proprioception_dim)
        self.action_normalizer = Normalizer(spec.da)
        self.threads: int | None = None
        """CPU threads of one computation; None: as torch is set. Its last bits may depend on them."""
        self._frozen_hash: str | None = None
        self._graphs: dict[str, Graphed] = {}
        self._computing = False

    @property
    def dz(self) -> int:
        """Size of the bottleneck latent."""
        return self.bottleneck.settings.dz

    @property
    def prediction_horizon(self) -> int:
        """H."""
        return self.settings.prediction_horizon

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.action_normalizer.scale.device

    @property
    def hash(self) -> str:
        """SHA-256 over weights and settings; identifies the features this policy computes."""
        return self._frozen_hash or weights.digest(self.state_dict(), self._facts())

    def fit_normalizers(self, windows: TrainingWindows) -> None:
        """Fit the normalizers of actions and proprioception to the demonstrations."""
        self.proprioception_normalizer.fit_proprioception(windows.proprioception)
        self.action_normalizer.fit_action(windows.actions, self.spec.action)

    def freeze(self) -> Self:
        """Disable gradients, switch to evaluation mode, and compute the hash once."""
        self.requires_grad_(requires_grad=False)
        self.eval()
        self._frozen_hash = None
        self._frozen_hash = self.hash
        self._arrange()
        return self

    @property
    def large(self) -> bool:
        """Whether a decision is mostly a matter of reading weights."""
        return sum(weight.numel() for weight in self.parameters()) >= LARGE

    def _arrange(self) -> None:
        """Lay the weights out for where they are."""
        arrange(self, products=self.large and self.device.type == "cpu")

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Where torch moves or converts all tensors of a module."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._frozen_hash is not None:
            self._arrange()
        self._graphs.clear()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, which captures graphs of its own."""
        return {**self.__dict__, "_graphs": {}}

    def draw_crops(self, rngs: Sequence[np.random.Generator]) -> CropOffsets:
        """Random crop offsets for B cells, one per image; row b draws only from rngs[b]."""
        room = self._crop_room()
        shape = (self.settings.n_obs, 2)
        rows = [{name: rng.integers(0, high, shape) for name, high in room.items()} for rng in rngs]
        return {name: np.stack([row[name] for row in rows]) for name in room}

    def draw_crop_batch(self, rng: np.random.Generator, batch: int) -> CropOffsets:
        """Random crop offsets for a training batch, all from one stream."""
        shape = (batch, self.settings.n_obs, 2)
        return {name: rng.integers(0, high, shape) for name, high in self._crop_room().items()}

    def draw_noise(self, rngs: Sequence[np.random.Generator]) -> Tensor:
        """w [B, H, da] on the policy's device; row b draws only from rngs[b]."""
        shape = (self.prediction_horizon, self.spec.da)
        rows = np.stack([rng.standard_normal(shape, np.float32) for rng in rngs])
        return torch.from_numpy(rows).to(self.device)

    def embed(self, window: Window, crop: CropOffsets | None = None) -> Tensor:
        """c [B, dc]: images (camera by camera), then normalised proprioception; centre crop when `crop` is None."""
        return self.embed_arrays(window.images, window.proprioception, crop)

    def embed_arrays(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        proprioception: FloatArray,
        crop: CropOffsets | None = None,
    ) -> Tensor:
        """`embed` for images camera -> [B, N, H, W, 3] and proprioception [B, N, proprioception_dim]."""
        cut = self.encoder.crop(images, crop)
        names = tuple(cut)
        state = torch.from_numpy(np.ascontiguousarray(proprioception, np.float32))

        def embedded(numbers: Tensor, *pixels: Tensor) -> Tensors:
            return (self.embed_cropped(dict(zip(names, pixels, strict=True)), numbers),)

        return self._computed("embed", embedded, state, *cut.values())[0]

    def embed_cropped(self, images: Mapping[str, Tensor], proprioception: Tensor) -> Tensor:
        """`embed` for tensors on the policy's device: images as `ObservationEncoder.crop` returns them."""
        state = self.proprioception_normalizer.normalize(proprioception)
        return torch.cat([self.encoder(images), state.flatten(1)], dim=1)

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """`bottleneck.encode`: c [B, dc] -> mean and log-variance of z, [B, dz] each."""
        mean, logvar = self._computed("encode", self.bottleneck.encode, c)
        return mean, logvar

    def decode(self, c_hat: Tensor, w: Tensor) -> Tensor:
        """Actions [B, H, da] in the task's units from an embedding [B, dc] and noise [B, H, da]; differentiable."""

        def decoded(c_hat: Tensor, w: Tensor) -> Tensors:
            chunk = self.flow.sample(w, c_hat, self.settings.schedule)
            return (self.action_normalizer.denormalize(chunk),)

        return self._computed("decode", decoded, c_hat, w)[0]

    def decode_latent(self, z: Tensor, w: Tensor) -> Tensor:
        """As `decode`, from a latent [B, dz] through the bottleneck's decoder; one request to a policy server."""

        def acted(z: Tensor, w: Tensor) -> Tensors:
            return (self.decode(self.bottleneck.decode(z), w),)

        return self._computed("act", acted, z, w)[0]

    def _computed(self, name: str, function: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
        """`function` of `inputs` where the weights are: on a GPU, frozen and without gradients, as a CUDA graph."""
        if self._computing or not self._replayed():
            with cpu_threads(self.threads):
                return function(*(value.to(self.device) for value in inputs))
        if name not in self._graphs:
            self._graphs[name] = Graphed(function, self.device, name=f"the policy's {name}")
        self._computing = True  # one graph holds another's function, not its graph
        try:
            return self._graphs[name](*inputs)
        finally:
            self._computing = False

    def _replayed(self) -> bool:
        return self.device.type == "cuda" and self._frozen_hash is not None and not torch.is_grad_enabled()

    def warm_up(self, batch: int) -> None:
        """Compute twice on blank observations of `batch` cells: the first time is slow, and no arm should wait."""
        shape = batch, self.settings.n_obs
        images = {
            camera.name: np.zeros((*shape, camera.height, camera.width, 3), np.uint8)
            for camera in self.spec.cameras
        }
        numbers = np.zeros((*shape, self.spec.proprioception_dim), np.float32)
        noise = torch.zeros(batch, self.prediction_horizon, self.spec.da, device=self.device)
        with torch.inference_mode():
            for _ in range(2):
                z, _ = self.encode(self.embed_arrays(images, numbers))
                self.decode_latent(z, noise).cpu()

    def save(self, folder: Path) -> None:
        """Save the policy to `folder`; an older one there stays valid until the last write.

        Raises:
            DiskFullError: no space; an older policy there is intact.
        """
        facts, state = self._facts(), self.state_dict()
        value = weights.digest(state, facts)
        name = f"weights-{value[:16]}.safetensors"
        weights.write(folder / name, state, facts)
        index = {**facts, "weights": name, "hash": value}
        with full_disk_named("policy", folder):
            Disk().replace(folder / POLICY_FILE, json.dumps(index, indent=1).encode())
        for old in folder.glob("weights-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> BasePolicy:
        """Load a policy that `save` wrote to `folder`, frozen, onto `device`.

        Raises:
            PolicyFileError: it is missing or damaged.
        """
        path = folder / POLICY_FILE
        try:
            index = from_json(read_bytes(path))
            policy = cls(
                DataSpec.from_json(index["spec"]),
                PolicySettings.model_validate(index["policy"]),
                BottleneckSettings.model_validate(index["bottleneck"]),
            )
            loaded = weights.read(folder / index["weights"])
            policy.load_state_dict(loaded.tensors)
            stored = index["hash"]
        except FileNotFoundError as error:
            raise PolicyFileError(f"There is no policy at {path}. Train one first.") from error
        except (OSError, ValidationError, weights.WeightsError, *_MALFORMED) as error:
            raise PolicyFileError(
                f"No usable policy at {path}: {error}. Train the base policy again."
            ) from error
        policy.freeze()
        if policy.hash != stored:
            raise PolicyFileError(f"The policy at {path} is damaged: its hash differs. Train it again.")
        return policy.to(torch.device(device))

    def _facts(self) -> dict[str, Any]:
        return {
            "spec": from_json(json.dumps(self.spec.to_json())),
            # by alias, i.e. by the names that the hash of every saved policy covers
            "policy": self.settings.model_dump(mode="json", by_alias=True),
            "bottleneck": self.bottleneck.settings.model_dump(mode="json"),
        }

    def _crop_room(self) -> dict[str, tuple[int, int]]:
        cameras = {camera.name: camera for camera in self.spec.cameras}
        return {
            name: (cameras[name].height - height + 1, cameras[name].width - width + 1)
            for name, (height, width) in self.encoder.crops.items()
        }


_MALFORMED = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError, MemoryError)
"""What parsing JSON and loading tensors into a network raise on a mismatch."""


def _crop_sizes(spec: DataSpec, settings: PolicySettings) -> dict[str, tuple[int, int]]:
    whole = {camera.name: (camera.height, camera.width) for camera in spec.cameras}
    for name, (height, width) in settings.crops.items():
        if name not in whole:
            raise ValueError(f"The crop names camera {name!r}, but the task has {', '.join(whole)}.")
        if not (0 < height <= whole[name][0] and 0 < width <= whole[name][1]):
            raise ValueError(f"The crop {height}x{width} of camera {name!r} does not fit into {whole[name]}.")
    return {name: settings.crops.get(name, size) for name, size in whole.items()}


def _camera_network(settings: PolicySettings, crop: tuple[int, int]) -> nn.Module:
    if settings.encoder is EncoderKind.RESNET18:
        return ResNet18(crop, settings.embedding, settings.head)
    return SmallEncoder(crop, settings.embedding, settings.small_channels, settings.small_strides)


def _unet(da: int, dc: int, settings: PolicySettings) -> UNet:
    return UNet(
        action=da,
        condition=dc,
        widths=settings.widths,
        kernel=settings.kernel,
        blocks=settings.blocks,
        time_size=settings.time_embedding,
        activation=settings.activation,
    )
