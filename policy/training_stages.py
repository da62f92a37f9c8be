"""The two kinds of offline training: the base policy (with or without its bottleneck), and the bottleneck alone.

A stage defines its weights, its loss at iteration i and its held-out loss; policy/pretrain.py runs the loop.
Iteration i draws all its randomness from a stream of its own, so a stage has no state besides the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from datasets.randomness import stream
from datasets.settings import Settings
from datasets.windows import TrainingWindows
from policy.base import BasePolicy
from policy.flow import draw_times

HELD_OUT_WINDOWS = 256
HELD_OUT_DRAWS = 8
"""Draws of time and noise per held-out window; identical at every check."""
EMBED_BATCH = 256
WHOLE = slice(None)
_IMAGE = "image."

Batch = dict[str, Tensor]
"""Named tensors of one row per window: all that an iteration needs, drawn. In CPU memory until it is `moved`."""


class Stage(StrEnum):
    """What is being trained."""

    BASE = "base"
    """Encoder and flow (equation 1)."""
    JOINT = "joint"
    """Encoder and flow together with the bottleneck (equation 6)."""
    BOTTLENECK = "bottleneck"
    """The bottleneck alone, on cached embeddings of the frozen base, until convergence."""


class TrainingSettings(Settings):
    """Offline training of a task's base policy."""

    iterations: int = Field(default=20_000, ge=1, le=10_000_000)
    """Gradient steps of the first stage."""
    batch: int = Field(default=256, ge=1, le=4096)
    """Windows per step of the first stage."""
    learning_rate: float = Field(default=1e-4, gt=0, le=0.1)
    """Peak learning rate of AdamW; cosine decay to 0 after the warm-up."""
    warmup: int = Field(default=100, ge=0, le=100_000)
    """Warm-up steps of the learning rate, in every stage."""
    weight_decay: float = Field(default=1e-6, ge=0, le=1)
    """AdamW's decoupled weight decay."""
    ema_power: float = Field(default=0.8, gt=0, le=1)
    """EMA of the weights: decay 1 - (1 + step) ^ -power."""
    ema_max: float = Field(default=0.9999, ge=0, lt=1)
    """Upper limit of the EMA decay."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads per operation; one is best while there are parts for the other cores."""
    parts: int = Field(default=2, ge=1, le=64)
    """Parts of a batch that CPU cores compute at once. The weights' last bits depend on it, not on the cores."""
    bfloat16: bool = True
    """On a GPU that has bfloat16, train the base in it; weights, gradients, losses and the EMA stay float32."""
    joint_bottleneck: bool = True
    """Whether the first stage trains the bottleneck together with the base (equation 6)."""
    held_out: float = Field(default=0.1, ge=0, le=0.5)
    """Fraction of episodes held out from training; 0 validates on the training windows instead."""
    bottleneck_iterations: int = Field(default=12_000, ge=0, le=10_000_000)
    """Maximum steps of the bottleneck stage; 0 skips it."""
    bottleneck_batch: int = Field(default=256, ge=1, le=8192)
    """Embeddings per step of the bottleneck stage."""
    bottleneck_crops: int = Field(default=12, ge=1, le=64)
    """Random crops per image whose embeddings are cached."""
    bottleneck_learning_rate: float = Field(default=1e-3, gt=0, le=0.1)
    """Learning rate of the bottleneck stage (AdamW), constant after the warm-up; the EMA smooths the result."""
    patience: int = Field(default=1_000, ge=10, le=1_000_000)
    """Convergence: the best held-out loss improved by less than `improvement` over this many steps."""
    improvement: float = Field(default=0.01, gt=0, lt=1)
    """See `patience`."""
    check_every: int = Field(default=250, ge=1, le=100_000)
    """Steps between held-out evaluations; a divisor of `patience`."""
    report_every: int = Field(default=25, ge=1, le=100_000)
    """Steps between reports; a divisor of `check_every`."""
    checkpoint_every: int = Field(default=500, ge=1, le=1_000_000)
    """Steps between checkpoints; a multiple of `report_every`."""

    @model_validator(mode="after")
    def _steps_divide(self) -> TrainingSettings:
        for small, large in (
            ("check_every", "patience"),
            ("report_every", "check_every"),
            ("report_every", "checkpoint_every"),
        ):
            if getattr(self, large) % getattr(self, small):
                raise ValueError(f"{large} must be a multiple of {small}")
        return self


class StageTraining(ABC):
    """One stage of training one model; `average` is the same network with EMA weights."""

    def __init__(
        self,
        model: BasePolicy,
        average: BasePolicy,
        windows: TrainingWindows,
        settings: TrainingSettings,
        seed: int,
    ) -> None:
        """`windows`: all windows; `seed` determines which are held out."""
        self.model = model
        self.average = average
        self.windows = windows
        self.settings = settings
        self.seed = seed
        self.training_rows, self.held_out_rows = split(windows, settings.held_out, seed)

    @property
    @abstractmethod
    def stage(self) -> Stage:
        """What is being trained."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Maximum number of iterations."""

    @abstractmethod
    def trained(self, model: BasePolicy) -> list[nn.Parameter]:
        """The parameters of `model` (or its average) that this stage trains."""

    def prepare(self) -> Iterator[float]:
        """Do the work needed before the first iteration; yields the fraction done."""
        return iter(())

    @property
    @abstractmethod
    def batch(self) -> int:
        """Rows of a batch."""

    @abstractmethod
    def draw(self, iteration: int, part: slice = WHOLE) -> Batch:
        """What one iteration is computed from, or `part` of its rows; all are drawn, from one stream."""

    @abstractmethod
    def losses(self, model: BasePolicy, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of some rows on the model's device, means over these rows; ``total`` is minimised."""

    @abstractmethod
    def rate(self, iteration: int) -> float:
        """Learning rate of one iteration."""

    @abstractmethod
    def held_out(self) -> dict[str, float]:
        """Losses of the EMA model on held-out windows; ``total`` decides convergence."""

    def converged(self, checks: Sequence[float]) -> bool:
        """Whether the held-out losses so far, one per `check_every` steps, show convergence."""
        return False

    def _actions(self, model: BasePolicy, rows: NDArray[np.int64]) -> Tensor:
        actions = torch.from_numpy(self.windows.actions[self.windows.followed[rows]]).to(model.device)
        return model.action_normalizer.normalize(actions)

    def _noise(self, rng: np.random.Generator, batch: int) -> Batch:
        """w [B, H, da], k [B] and eps, the noise of z, [B, dz]."""
        w = rng.standard_normal((batch, self.windows.prediction_horizon, self.model.spec.da), np.float32)
        eps = rng.standard_normal((batch, self.model.dz), np.float32)
        return {"w": torch.from_numpy(w), "k": draw_times(rng, batch), "eps": torch.from_numpy(eps)}

    def _held_out_sample(self) -> NDArray[np.int64]:
        rows = self.held_out_rows
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), HELD_OUT_WINDOWS)).astype(np.int64))
        return rows[chosen]

    def _warm(self, iteration: int) -> float:
        return min(1.0, (iteration + 1) / (self.settings.warmup + 1))


class BaseTraining(StageTraining):
    """Encoder and flow, trained on images; together with the bottleneck if the settings say so."""

    @property
    def stage(self) -> Stage:
        """Joint, or base alone."""
        return Stage.JOINT if self.settings.joint_bottleneck else Stage.BASE

    @property
    def total(self) -> int:
        """Number of iterations; this stage never stops early."""
        return self.settings.iterations

    def trained(self, model: BasePolicy) -> list[nn.Parameter]:
        parts: list[nn.Module] = [model.encoder, model.flow]
        if self.settings.joint_bottleneck:
            parts.append(model.bottleneck)
        return [weight for part in parts for weight in part.parameters()]

    def rate(self, iteration: int) -> float:
        """Warm-up, then cosine to 0."""
        done = max(0, iteration - self.settings.warmup) / max(1, self.total - self.settings.warmup)
        return self.settings.learning_rate * self._warm(iteration) * 0.5 * (1.0 + float(np.cos(np.pi * done)))

    @property
    def batch(self) -> int:
        return self.settings.batch

    def draw(self, iteration: int, part: slice = WHOLE) -> Batch:
        """Images by the names of their cameras, cropped; proprioception, actions; w, k, eps."""
        rng = stream(self.seed, "pretrain", iteration)
        rows = rng.choice(self.training_rows, self.settings.batch)
        crop = self.model.draw_crop_batch(rng, len(rows))
        noise = self._noise(rng, len(rows))
        windows = self.windows.batch(rows[part])
        images = self.model.encoder.crop(
            windows.images, {name: offsets[part] for name, offsets in crop.items()}
        )
        return {
            **{_IMAGE + name: image for name, image in images.items()},
            "proprioception": torch.from_numpy(windows.proprioception),
            "actions": torch.from_numpy(windows.actions),
            **cut(noise, part),
        }

    def losses(self, model: BasePolicy, batch: Batch) -> dict[str, Tensor]:
        images = {name: batch[_IMAGE + name] for name in model.encoder.crops}
        actions = model.action_normalizer.normalize(batch["actions"])
        with precision(model.device, bfloat16=self.settings.bfloat16):
            c = model.embed_cropped(images, batch["proprioception"])
            return self._terms(model, actions, c, batch)

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        rows = self._held_out_sample()
        c = embed_rows(self.average, self.windows, rows).repeat(HELD_OUT_DRAWS, 1)
        actions = self._actions(self.average, rows).repeat(HELD_OUT_DRAWS, 1, 1)
        noise = moved(self._noise(stream(self.seed, "pretrain-held-out"), len(c)), self.average.device)
        terms = self._terms(self.average, actions, c, noise)
        return {name: float(value) for name, value in terms.items()}

    def _terms(self, model: BasePolicy, actions: Tensor, c: Tensor, noise: Batch) -> dict[str, Tensor]:
        w, k, eps = noise["w"], noise["k"], noise["eps"]
        imitation: Tensor = model.flow(actions, w, k, c)
        if not self.settings.joint_bottleneck:
            return {"total": imitation, "imitation": imitation}
        vib = model.bottleneck.loss(model.flow, actions, w, k, c, eps)
        return {**vib, "total": imitation + vib["total"], "imitation": imitation}


class BottleneckTraining(StageTraining):
    """The bottleneck, trained on cached embeddings; no image is encoded during training."""

    @property
    def stage(self) -> Stage:
        """The bottleneck alone."""
        return Stage.BOTTLENECK

    @property
    def total(self) -> int:
        """Maximum number of iterations."""
        return self.settings.bottleneck_iterations

    def trained(self, model: BasePolicy) -> list[nn.Parameter]:
        return list(model.bottleneck.parameters())

    def prepare(self) -> Iterator[float]:
        """Embed every training window with several random crops, and held-out windows with the centre crop."""
        crops = self.settings.bottleneck_crops
        cached: list[Tensor] = []
        for ordinal in range(crops):
            rng = stream(self.seed, "pretrain-crops", ordinal)
            cached.append(embed_rows(self.model, self.windows, self.training_rows, rng))
            yield (ordinal + 1) / crops
        self._cached = torch.stack(cached)  # [crops, rows, dc]
        self._train_actions = self._actions(self.model, self.training_rows)
        sample = self._held_out_sample()
        self._check_c = embed_rows(self.model, self.windows, sample).repeat(HELD_OUT_DRAWS, 1)
        self._check_actions = self._actions(self.model, sample).repeat(HELD_OUT_DRAWS, 1, 1)

    def rate(self, iteration: int) -> float:
        """Warm-up, then constant, because the number of steps is not known in advance."""
        return self.settings.bottleneck_learning_rate * self._warm(iteration)

    @property
    def batch(self) -> int:
        return self.settings.bottleneck_batch

    def draw(self, iteration: int, part: slice = WHOLE) -> Batch:
        """Row and crop of cached embeddings; w, k, eps."""
        rng = stream(self.seed, "pretrain-bottleneck", iteration)
        size = self.settings.bottleneck_batch
        row = torch.from_numpy(rng.integers(0, len(self.training_rows), size))
        crop = torch.from_numpy(rng.integers(0, len(self._cached), size))
        return cut({"row": row, "crop": crop, **self._noise(rng, size)}, part)

    def losses(self, model: BasePolicy, batch: Batch) -> dict[str, Tensor]:
        row, crop = batch["row"], batch["crop"]
        return self._terms(model, self._train_actions[row], self._cached[crop, row], batch)

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        rng = stream(self.seed, "pretrain-held-out")
        noise = moved(self._noise(rng, len(self._check_c)), self.average.device)
        terms = self._terms(self.average, self._check_actions, self._check_c, noise)
        imitation = self.average.flow(self._check_actions, noise["w"], noise["k"], self._check_c)
        return {**{name: float(value) for name, value in terms.items()}, "imitation": float(imitation)}

    def converged(self, checks: Sequence[float]) -> bool:
        """Whether the best loss so far improves on the best of `patience` steps ago by less than `improvement`."""
        back = self.settings.patience // self.settings.check_every
        if len(checks) <= back:
            return False
        before, now = min(checks[:-back]), min(checks)
        return before - now < self.settings.improvement * abs(before)

    def _terms(self, model: BasePolicy, actions: Tensor, c: Tensor, noise: Batch) -> dict[str, Tensor]:
        return model.bottleneck.loss(model.flow, actions, noise["w"], noise["k"], c, noise["eps"])


def precision(device: torch.device, *, bfloat16: bool) -> AbstractContextManager[Any]:
    """Where networks compute in bfloat16, if that is wanted and the GPU has it; else in float32, as ever."""
    if bfloat16 and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def cut(batch: Batch, part: slice) -> Batch:
    """Some rows of the batch."""
    return {name: tensor[part] for name, tensor in batch.items()}


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def split(windows: TrainingWindows, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and held-out rows, split by whole episodes; all rows for both when nothing can be held out."""
    count = int(windows.episode.max()) + 1
    held = round(share * count) if share == 0.0 or count < 2 else max(1, round(share * count))
    rows = np.arange(len(windows), dtype=np.int64)
    if held == 0:
        return rows, rows
    out = np.isin(windows.episode, stream(seed, "pretrain-split").permutation(count)[:held])
    return rows[~out], rows[out]


@torch.no_grad()
def embed_rows(
    model: BasePolicy,
    windows: TrainingWindows,
    rows: NDArray[np.int64],
    rng: np.random.Generator | None = None,
) -> Tensor:
    """c of the given windows, [rows, dc]; one random crop each if `rng` is given, else the centre crop."""
    parts: list[Tensor] = []
    for start in range(0, len(rows), EMBED_BATCH):
        chosen = rows[start : start + EMBED_BATCH]
        batch = windows.batch(chosen)
        crop = model.draw_crop_batch(rng, len(chosen)) if rng is not None else None
        parts.append(model.embed_arrays(batch.images, batch.proprioception, crop))
    return torch.cat(parts)
