"""A small residual convolutional network for training from scratch on a laptop.

pixel_values [N, 3, S, S] -> tokens [N, (S / 2^stages)^2, width], row by row, no class token. Every stage halves the
side. Batch norm learns about twice as fast on small images; group norm keeps an image's tokens independent of its
neighbours in the micro-batch, so that accumulation and several ranks cannot change the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt4.common.config.ranges import Chance, Depth, Side
from minigpt4.common.errors import UserError
from minigpt4.common.registry import vision_encoders
from minigpt4.models.part import VisionConfig

GROUP_WIDTH = 16
"""channels that are normalised together"""


@dataclass(frozen=True, kw_only=True)
class ConvNetConfig(VisionConfig):
    """Sizes of the network."""

    name: str = "conv_net"
    """which registered part"""
    image_size: Side = 64
    """side of the square image in pixels"""
    widths: tuple[int, ...] = (32, 64, 128, 256)
    """channels of each stage; multiples of 16"""
    blocks_per_stage: Depth = 1
    """residual blocks after each halving"""
    norm: Literal["batch", "group"] = "group"
    """batch = statistics of the micro-batch while it trains, learns faster; group = each image by itself"""
    dropout: Chance = 0.0
    """dropout of the tokens while it trains"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 2 ** len(self.widths):
            raise UserError(
                "config.value", where="model.vision.image_size",
                what=f"is {self.image_size}, which cannot be halved {len(self.widths)} times",
                fix=f"use a multiple of {2 ** len(self.widths)}",
            )
        wrong = [width for width in self.widths if width % GROUP_WIDTH]
        if wrong or not self.widths:
            raise UserError("config.value", where="model.vision.widths", what=f"is {list(self.widths)}",
                            fix=f"use multiples of {GROUP_WIDTH}")


@vision_encoders.register("conv_net")
class ConvNet(nn.Module):
    """Stages of a halving convolution and residual blocks."""

    Config = ConvNetConfig

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        layers: list[nn.Module] = []
        width = 3
        for out in config.widths:
            norm = _norm(config.norm, out)
            layers += [nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False), norm, nn.ReLU(inplace=True)]
            layers += [_ResidualBlock(out, config.norm) for _ in range(config.blocks_per_stage)]
            width = out
        # channels last: a quarter less time on CPU
        self.layers = nn.Sequential(*layers)
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dropout = nn.Dropout(config.dropout)
        self.out_width = width
        self.out_tokens = (config.image_size // 2 ** len(config.widths)) ** 2

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] -> [N, places, width]."""
        if pixels.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(f"pixels are {tuple(pixels.shape[-2:])}, the encoder was built for {self.image_size}")
        maps = self.layers(pixels.contiguous(memory_format=torch.channels_last))
        tokens: Tensor = self.dropout(maps.flatten(2).transpose(1, 2))
        return tokens


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = _norm(norm, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = _norm(norm, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(inner)))


def _norm(kind: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(width // GROUP_WIDTH, width)
