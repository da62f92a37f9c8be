"""Image encoders for the embedding c.

One network per camera: a ResNet-18 with GroupNorm, trained from scratch, or a small convolutional network with a
spatial softmax that trains in minutes on a CPU. Images are cropped at random in training and at the centre otherwise;
the caller draws the offsets. Nothing here depends on actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from datasets.observation import Image
from policy.convolution import Conv2d

CropOffsets = dict[str, NDArray[np.int64]]
"""camera -> [B, N, 2] top and left of each image's crop, pixels."""

SHARPNESS = 2.0
"""Standard deviation of the spatial softmax's logits at initialisation."""


class EncoderKind(StrEnum):
    """Network that encodes the images."""

    SMALL = "small"
    """Strided convolutions and a spatial softmax; minutes on a CPU."""
    RESNET18 = "resnet18"


class EncoderHead(StrEnum):
    """How ResNet-18's last feature map becomes an embedding."""

    SPATIAL_EMBEDDING = "spatial_embedding"
    """Learned weights per position, linear, LayerNorm, tanh."""
    LINEAR = "linear"
    """Global average, linear."""


def crop_images(images: Image, offsets: NDArray[np.int64] | None, size: tuple[int, int]) -> Image:
    """Crop [B, N, H, W, 3] to [B * N, h, w, 3] at `offsets` [B, N, 2], or at the centre without offsets."""
    flat = images.reshape(-1, *images.shape[2:])
    height, width = size
    if offsets is None:
        top, left = (flat.shape[1] - height) // 2, (flat.shape[2] - width) // 2
        return np.ascontiguousarray(flat[:, top : top + height, left : left + width])
    cut = np.empty((len(flat), height, width, 3), np.uint8)
    for row, (top, left) in enumerate(offsets.reshape(-1, 2)):
        cut[row] = flat[row, top : top + height, left : left + width]
    return cut


def pixels(images: Tensor) -> Tensor:
    """uint8 [B, h, w, 3] -> float32 [B, 3, h, w] in [-1, 1]."""
    floats = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return floats.mul_(1.0 / 127.5).sub_(1.0)


class SpatialSoftmax(nn.Module):
    """Expected position per channel: [B, C, h, w] -> [B, 2 C], x and y in [-1, 1]."""

    x: Tensor
    y: Tensor

    def __init__(self, height: int, width: int) -> None:
        """`height`, `width`: of the feature map."""
        super().__init__()
        self.register_buffer("x", torch.linspace(-1, 1, width).repeat(height), persistent=False)
        self.register_buffer("y", torch.linspace(-1, 1, height).repeat_interleave(width), persistent=False)

    def forward(self, feature: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(feature.device.type, enabled=False):  # to a hundredth, a position is useless
            attention = functional.softmax(feature.flatten(2).float(), dim=-1)  # [B, C, h * w]
            return attention @ torch.stack([self.x, self.y], dim=1)  # [B, C, 2]


class SmallEncoder(nn.Module):
    """[B, 3, h, w] -> [B, size]; convolutions, spatial softmax, linear, LayerNorm, tanh."""

    def __init__(
        self, image_size: tuple[int, int], size: int, channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        """`channels` and `strides`: one number per convolution; kernels of 3, or 5 at stride 3 and 4."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for after, stride in zip(channels, strides, strict=True):
            kernel = 2 * ((stride + 1) // 2) + 1
            layers += [nn.Conv2d(before, after, kernel, stride, kernel // 2), nn.ReLU()]
            before = after
        # A spatial softmax needs logits of both signs, and their scale is its sharpness.
        norm = nn.GroupNorm(max(1, before // 4), before)
        nn.init.constant_(norm.weight, SHARPNESS)
        layers[-1] = norm
        self.trunk = nn.Sequential(*layers)
        height, width = _feature_size(image_size, strides)
        self.pool = SpatialSoftmax(height, width)
        self.project = nn.Sequential(nn.Linear(2 * before, size), nn.LayerNorm(size), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        projected: Tensor = self.project(self.pool(self.trunk(image)).flatten(1))
        return projected


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a skip connection."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        """`before`, `after`: channels."""
        super().__init__()
        self.body = nn.Sequential(
            Conv2d(before, after, 3, stride, 1, bias=False),
            nn.GroupNorm(after // 16, after),
            nn.ReLU(inplace=True),
            Conv2d(after, after, 3, 1, 1, bias=False),
            nn.GroupNorm(after // 16, after),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.skip = nn.Sequential(
                Conv2d(before, after, 1, stride, bias=False), nn.GroupNorm(after // 16, after)
            )

    def forward(self, feature: Tensor) -> Tensor:
        """[B, before, h, w] -> [B, after, h / stride, w / stride]."""
        x: Tensor = self.body(feature)
        return x.add_(self.skip(feature)).relu_()


class SpatialEmbedding(nn.Module):
    """[B, C, h, w] -> [B, C * F]: F learned weightings of the positions, per channel."""

    def __init__(self, channels: int, height: int, width: int, weightings: int = 8) -> None:
        """`weightings`: F."""
        super().__init__()
        bound = (height * width) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, height * width, weightings).uniform_(-bound, bound))

    def forward(self, feature: Tensor) -> Tensor:
        """See the class."""
        return torch.einsum("bcp,cpf->bcf", feature.flatten(2), self.weight).flatten(1)


class ResNet18(nn.Module):
    """[B, 3, h, w] -> [B, size]; BatchNorm replaced by GroupNorm, no pretrained weights."""

    def __init__(self, image_size: tuple[int, int], size: int, head: EncoderHead) -> None:
        """`image_size`: height and width of the cropped image, pixels."""
        super().__init__()
        layers: list[nn.Module] = [
            Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.GroupNorm(4, 64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        before = 64
        for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [ResidualBlock(before, after, stride), ResidualBlock(after, after, 1)]
            before = after
        self.trunk = nn.Sequential(*layers)
        height, width = _feature_size(image_size, (2, 2, 2, 2, 2))
        self.head = _resnet_head(head, height, width, size)

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        embedded: Tensor = self.head(self.trunk(image))
        return embedded


class ObservationEncoder(nn.Module):
    """Encodes the images of all cameras and concatenates them: camera by camera, oldest observation first."""

    def __init__(self, cameras: Mapping[str, nn.Module], crops: Mapping[str, tuple[int, int]]) -> None:
        """`cameras`: one network each; `crops`: height and width it sees, pixels."""
        super().__init__()
        self.cameras = nn.ModuleDict(dict(cameras))
        self.crops = dict(crops)

    def crop(self, images: Mapping[str, Image], offsets: CropOffsets | None) -> dict[str, Tensor]:
        """camera -> uint8 [B, N, H, W, 3] to uint8 [B, N, h, w, 3] in CPU memory, as `forward` takes them."""
        cut: dict[str, Tensor] = {}
        for name, size in self.crops.items():
            flat = torch.from_numpy(crop_images(images[name], offsets[name] if offsets else None, size))
            cut[name] = flat.reshape(*images[name].shape[:2], *flat.shape[1:])
        return cut

    def forward(self, images: Mapping[str, Tensor]) -> Tensor:
        """Cropped images, camera -> uint8 [B, N, h, w, 3], to [B, cameras * N * size]."""
        parts = [
            network(pixels(images[name].flatten(0, 1))).reshape(len(images[name]), -1)
            for name, network in self.cameras.items()
        ]
        return torch.cat(parts, dim=1)


def _resnet_head(head: EncoderHead, height: int, width: int, size: int) -> nn.Module:
    if head is EncoderHead.LINEAR:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, size))
    return nn.Sequential(
        SpatialEmbedding(512, height, width), nn.Linear(512 * 8, size), nn.LayerNorm(size), nn.Tanh()
    )


def _feature_size(image_size: tuple[int, int], strides: Sequence[int]) -> tuple[int, int]:
    height, width = image_size
    for stride in strides:
        height, width = -(-height // stride), -(-width // stride)
    return height, width
