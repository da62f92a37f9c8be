"""A one-dimensional U-Net over the steps of an action chunk, conditioned on time and embedding by FiLM.

policy/flow.py decides what it predicts (velocity or clean chunk) and how a chunk is sampled.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn

from policy.convolution import Conv1d, Doubling

GROUPS = 8


class Activation(StrEnum):
    """Nonlinearity of the U-Net."""

    MISH = "mish"
    SILU = "silu"
    """Nearly the same curve, several times cheaper on a CPU."""

    def module(self) -> nn.Module:
        """A fresh module."""
        return nn.Mish() if self is Activation.MISH else nn.SiLU()


class TimeEmbedding(nn.Module):
    """Flow time in grid steps, [B] in 1..100, to [B, size]."""

    frequency: Tensor

    def __init__(self, size: int, activation: Activation) -> None:
        """`size`: even."""
        super().__init__()
        half = size // 2
        exponent = torch.arange(half, dtype=torch.float32) / max(half - 1, 1)
        self.register_buffer("frequency", torch.exp(-math.log(10_000.0) * exponent), persistent=False)
        self.project = nn.Sequential(
            nn.Linear(size, 4 * size), activation.module(), nn.Linear(4 * size, size)
        )

    def forward(self, time: Tensor) -> Tensor:
        """See the class."""
        angle = time[:, None] * self.frequency
        embedded: Tensor = self.project(torch.cat([angle.sin(), angle.cos()], dim=-1))
        return embedded


class ConvolutionBlock(nn.Module):
    """Convolution over steps, GroupNorm, activation."""

    def __init__(self, before: int, after: int, kernel: int, activation: Activation) -> None:
        """`before`, `after`: channels."""
        super().__init__()
        self.layers = nn.Sequential(
            Conv1d(before, after, kernel, padding=kernel // 2),
            nn.GroupNorm(GROUPS, after),
            activation.module(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, L] -> [B, after, L]."""
        y: Tensor = self.layers(x)
        return y


class FilmBlock(nn.Module):
    """Two convolution blocks with scale and bias from the condition in between, and a skip around both."""

    def __init__(self, before: int, after: int, kernel: int, condition: int, activation: Activation) -> None:
        """`condition`: size of the conditioning vector, to which the activation has already been applied."""
        super().__init__()
        self.first = ConvolutionBlock(before, after, kernel, activation)
        self.second = ConvolutionBlock(after, after, kernel, activation)
        self.film = nn.Linear(condition, 2 * after)
        self.skip = Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, film: Tensor) -> Tensor:
        """[B, before, L] and `self.film` of the condition [B, 2 * after] -> [B, after, L]."""
        scale, bias = film.unsqueeze(-1).chunk(2, dim=1)
        y: Tensor = self.second(scale * self.first(x) + bias) + self.skip(x)
        return y


class Level(nn.Module):
    """Some FiLM blocks at one resolution, then a resampling (or none)."""

    def __init__(self, blocks: Sequence[FilmBlock], resample: nn.Module) -> None:
        """`blocks` run in order."""
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.resample = resample

    def forward(self, x: Tensor, films: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        """x [B, before, h] -> features [B, after, h], and the same resampled to the next level's steps."""
        for block in self.blocks:
            x = block(x, next(films))
        return x, self.resample(x)


class UNet(nn.Module):
    """[B, H, da], [B] times, [B, dc] -> [B, H, da]; H a multiple of 2^(levels - 1)."""

    def __init__(
        self,
        *,
        action: int,
        condition: int,
        widths: Sequence[int],
        kernel: int,
        blocks: int,
        time_size: int,
        activation: Activation,
    ) -> None:
        """`action`: da; `condition`: dc; `widths`: channels per level, multiples of 8; `blocks`: per level."""
        super().__init__()
        self.time = TimeEmbedding(time_size, activation)
        self.activate = activation.module()

        def level(before: int, after: int, resample: nn.Module) -> Level:
            sizes = [before] + [after] * blocks
            pairs = itertools.pairwise(sizes)
            film = [FilmBlock(a, b, kernel, time_size + condition, activation) for a, b in pairs]
            return Level(film, resample)

        steps = list(zip([action, *widths[:-1]], widths, strict=True))
        last = len(widths) - 1
        self.down = nn.ModuleList(
            level(before, after, Conv1d(after, after, 3, 2, 1) if i < last else nn.Identity())
            for i, (before, after) in enumerate(steps)
        )
        self.middle = level(widths[-1], widths[-1], nn.Identity())
        self.up = nn.ModuleList(
            level(2 * deep, shallow, Doubling(shallow))
            for shallow, deep in reversed(list(itertools.pairwise(widths)))
        )
        self.out = nn.Sequential(
            ConvolutionBlock(widths[0], widths[0], kernel, activation), Conv1d(widths[0], action, 1)
        )
        self._film_blocks = tuple(block for block in self.modules() if isinstance(block, FilmBlock))

    def forward(self, chunk: Tensor, time: Tensor, c: Tensor) -> Tensor:
        """`time`: [B] in grid steps 1..100."""
        return self.predict(chunk, self.films(time, c))

    @property
    def product(self) -> bool:
        """Whether the weights are laid out for single decisions, as `policy.convolution.arrange` does it."""
        return any(isinstance(layer, Conv1d) and layer.product for layer in self.out)

    def films(self, time: Tensor, c: Tensor) -> list[Tensor]:
        """What depends on time [B] and embedding [B, dc] alone: scale and bias for each FiLM block, in order."""
        condition = self.activate(torch.cat([self.time(time), c], dim=-1))
        return [block.film(condition) for block in self._film_blocks]

    def predict(self, chunk: Tensor, films: Sequence[Tensor]) -> Tensor:
        """[B, H, da] with what `films` gave for the same B rows -> [B, H, da]."""
        film = iter(films)
        x = chunk.transpose(1, 2)  # [B, da, H]
        skips: list[Tensor] = []
        for level in self.down:
            skip, x = level(x, film)
            skips.append(skip)
        _, x = self.middle(x, film)
        for level in self.up:
            _, x = level(torch.cat([x, skips.pop()], dim=1), film)
        y: Tensor = self.out(x).transpose(1, 2)
        return y
