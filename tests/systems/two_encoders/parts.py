"""Its parts: an encoder of five hidden states, and a connector that reads them with a second encoder's tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minigpt4.models.part import PartConfig, VisionConfig

NUM_STATES = 5


@dataclass(frozen=True, kw_only=True)
class StatesConfig(VisionConfig):
    """Patches and five layers above them."""

    name: str = "states"
    """the only one"""
    image_size: int = 32
    """side of the square image in pixels"""
    patch_size: int = 8
    """side of a patch in pixels"""
    width: int = 16
    """width of every hidden state"""


@dataclass(frozen=True, kw_only=True)
class FusionConfig(PartConfig):
    """The connector."""

    name: str = "fusion"
    """the only one"""
    reads_second: bool = True
    """False = without the second encoder's tokens"""


class States(nn.Module):
    """pixel_values [N, 3, S, S] -> five hidden states [N, patches, width]."""

    def __init__(self, config: StatesConfig) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(NUM_STATES))
        self.out_width, self.out_tokens = config.width, (config.image_size // config.patch_size) ** 2

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        state = self.patches(pixels).flatten(2).transpose(1, 2)
        states = []
        for layer in self.layers:
            state = state + torch.tanh(layer(state))
            states.append(state)
        return tuple(states)


class Fusion(nn.Module):
    """Five hidden states and, where it reads them, a second encoder's tokens -> tokens [N, patches, LLM width]."""

    def __init__(self, config: FusionConfig, width: int, second_width: int, tokens: int, llm_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(NUM_STATES * width)
        self.projection = nn.Linear(NUM_STATES * width, llm_width)
        self.second = nn.Linear(second_width, llm_width) if config.reads_second else None
        self.out_width, self.out_tokens = llm_width, tokens

    def forward(self, *values: Tensor) -> Tensor:
        fused: Tensor = self.projection(self.norm(torch.cat(values[:NUM_STATES], dim=-1)))
        return fused if self.second is None else fused + self.second(values[NUM_STATES])
