"""From pixels to image tokens: an ordered chain of named stages that pass `dict[str, Tensor]`.

The first stage reads `pixel_values` [N, 3, S, S], the last writes `tokens` [N, tokens, LLM width]. The chain knows
how far its head is frozen: what the head gives for an image never changes, so it need not be computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from minigpt4.models.freezing import is_frozen


class VisualPath(nn.Module):
    """Named stages, run in order.

    Args:
        stages: name -> module with `forward(dict) -> dict`, `out_width` and `out_tokens`; each sees what the one
            before it wrote.
    """

    def __init__(self, stages: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(dict(stages))

    @property
    def tokens_per_image(self) -> int:
        return cast(int, list(self.stages.values())[-1].out_tokens)

    def frozen_head(self) -> tuple[str, ...]:
        """Names of the longest run of first stages without a trainable parameter (and so always in eval mode)."""
        head: list[str] = []
        for name, stage in self.stages.items():
            if not is_frozen(stage):
                break
            head.append(name)
        return tuple(head)

    def forward(self, values: dict[str, Tensor], *, first: str | None = None, last: str | None = None) -> Tensor:
        """Image tokens [N, tokens, width].

        Args:
            values: `pixel_values`, or what the stage before `first` wrote.
            first: stage to begin with, where the output of those before it was stored.
            last: stage to end with, where its own tokens are wanted; None = the whole chain.
        """
        head = self.frozen_head()
        begun = first is None
        for name, stage in self.stages.items():
            begun = begun or name == first
            if begun:
                values = self._run(stage, values, frozen=name in head)
            if name == last:
                break
        return values["tokens"]

    @staticmethod
    def _run(stage: nn.Module, values: dict[str, Tensor], *, frozen: bool) -> dict[str, Tensor]:
        parameter = next(stage.parameters(), None)
        half = parameter is not None and any(p.dtype in (torch.float16, torch.bfloat16) for p in stage.parameters())
        gradients = torch.no_grad() if frozen else torch.enable_grad() if torch.is_grad_enabled() else torch.no_grad()
        if not half or parameter is None:
            with gradients:
                return cast(dict[str, Tensor], stage(values))
        dtype = next(p.dtype for p in stage.parameters() if p.dtype in (torch.float16, torch.bfloat16))
        with gradients, torch.autocast(parameter.device.type, dtype=dtype):
            return cast(dict[str, Tensor], stage(values))
