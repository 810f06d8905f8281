"""Neighbouring patches laid side by side: the variant without Q-Former (Llama-2, August 2023).

tokens [N, 1 + P, width] -> tokens [N, P / merge, width * merge], the class token dropped. Source:
docs/originals/minigpt4.md#no-q-former.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from minigpt4.common.config.ranges import Depth
from minigpt4.common.errors import UserError
from minigpt4.common.registry import resamplers
from minigpt4.models.part import PartConfig


@dataclass(frozen=True, kw_only=True)
class MergeNeighboursConfig(PartConfig):
    """How many neighbours become one token."""

    name: str = "merge_neighbours"
    """which registered part"""
    merge: Depth = 4
    """consecutive patches (row by row) joined into one token"""
    has_class_token: bool = True
    """True = the first token of the encoder is not a patch and is dropped"""


@resamplers.register("merge_neighbours")
class MergeNeighbours(nn.Module):
    """No weights: a reshape."""

    Config = MergeNeighboursConfig

    def __init__(self, config: MergeNeighboursConfig, in_width: int, in_tokens: int) -> None:
        super().__init__()
        self.merge = config.merge
        self.first = int(config.has_class_token)
        patches = in_tokens - self.first
        if patches % config.merge:
            raise UserError(
                "config.value", where="model.resampler.merge",
                what=f"{patches} patches cannot be joined by {config.merge}",
                fix="choose an image size whose number of patches is a multiple of it",
            )
        self.out_width = in_width * config.merge
        self.out_tokens = patches // config.merge

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, 1 + P, width] -> [N, P / merge, width * merge]."""
        patches = tokens[:, self.first :]
        N, P, D = patches.shape
        return patches.reshape(N, P // self.merge, D * self.merge)
