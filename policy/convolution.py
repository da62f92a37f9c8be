"""Convolutions of one sample at a time on a CPU, as matrix products where that is faster.

For one decision a convolution has few positions and many weights: reading the weights takes the time, and a library
that first rearranges them for its kernels reads them twice. Kept as [kernel, in, out], they are one operand of a plain
product as they are. The layout is all that differs: shapes, names in a file and gradients are those of torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_MANY_CHANNELS = 256
"""Input channels from which a two-dimensional convolution reads more weights than pixels."""


class Conv1d(nn.Conv1d):
    """[B, in, L] -> [B, out, L / stride]."""

    product = False
    """Whether it is computed as a matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return as_product(self, x) if self.product else super().forward(x)


class Conv2d(nn.Conv2d):
    """[B, in, h, w] -> [B, out, h / stride, w / stride]."""

    product = False
    """Whether it is computed as a matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return as_product(self, x) if self.product else super().forward(x)


class Doubling(nn.ConvTranspose1d):
    """[B, channels, L] -> [B, channels, 2 L], by a transposed convolution of kernel 4 and stride 2."""

    product = False
    """Whether it is computed as a matrix product."""

    def __init__(self, channels: int) -> None:
        """`channels`: in and out."""
        super().__init__(channels, channels, 4, 2, 1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """See the class."""
        if not self.product or self.bias is None:
            return super().forward(x, output_size)
        columns = self.weight.transpose(1, 2).flatten(1)  # [in, 4 * out]
        y = (x.transpose(1, 2) @ columns).view(len(x), -1, 4, self.out_channels)  # [B, L, 4, out]
        y = functional.pad(y, (0, 0, 0, 0, 1, 1))
        here = y[:, 1:-1]
        pair = torch.stack([here[:, :, 1] + y[:, :-2, 3], here[:, :, 2] + y[:, 2:, 0]], dim=2)
        return (pair.flatten(1, 2) + self.bias).transpose(1, 2)


def arrange(network: nn.Module, *, products: bool) -> None:
    """Lay out the weights of all convolutions for products, or (False) as torch does; their values stay."""
    for layer in network.modules():
        if isinstance(layer, Doubling):
            layer.product = products
            weight = layer.weight.data.contiguous()
            layer.weight.data = weight.transpose(1, 2).contiguous().transpose(1, 2) if products else weight
        elif isinstance(layer, Conv1d | Conv2d):
            one_pixel = all(size == 1 for size in layer.kernel_size)
            many = isinstance(layer, Conv1d) or one_pixel or layer.in_channels >= _MANY_CHANNELS
            layer.product = products and many
            layer.weight.data = _laid_out(layer.weight.data, products=products, product=layer.product)


def as_product(layer: Conv1d | Conv2d, x: Tensor) -> Tensor:
    """The layer's result for x [B, in, *places], its channels last in memory."""
    rows = patches(x, layer.kernel_size, layer.stride, layer.padding)
    places, wide = rows.shape[: x.dim() - 1], layer.weight[0].numel()
    rows = rows.reshape(-1, wide)
    columns = layer.weight.permute(_BACK[x.dim()]).reshape(wide, -1)
    y = rows @ columns if layer.bias is None else torch.addmm(layer.bias, rows, columns)
    y = y.view(*places, -1)
    return y.transpose(1, 2) if x.dim() == 3 else y.permute(0, 3, 1, 2)


def patches(x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int] | str) -> Tensor:
    """What each output of a convolution sees of x [B, in, *places]: [B, *outputs, *kernel, in], the last two as one."""
    seen = x.transpose(1, 2) if x.dim() == 3 else x.permute(0, 2, 3, 1)
    margin = [int(size) for size in padding]
    if any(margin):
        seen = functional.pad(seen, (0, 0, *(size for size in reversed(margin) for _ in range(2))))
    seen = seen.contiguous()
    across = seen.stride()[1:-1]
    outputs = [(n - k) // s + 1 for n, k, s in zip(seen.shape[1:-1], kernel, stride, strict=True)]
    # neighbouring positions are neighbours in memory, so the last axis of the kernel and the channels are one run
    return seen.as_strided(
        (len(x), *outputs, *kernel[:-1], kernel[-1] * x.shape[1]),
        (seen.stride(0), *(a * s for a, s in zip(across, stride, strict=True)), *across[:-1], 1),
    )


_BACK = {3: (2, 1, 0), 4: (2, 3, 1, 0)}
"""From torch's order of a weight's axes to [*kernel, in, out], by their number."""


def _laid_out(weight: Tensor, *, products: bool, product: bool) -> Tensor:
    if product:
        back = (weight.dim() - 1, weight.dim() - 2, *range(weight.dim() - 2))
        return weight.permute(_BACK[weight.dim()]).contiguous().permute(back)
    return weight.contiguous(memory_format=torch.channels_last if products else torch.contiguous_format)
