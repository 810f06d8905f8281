"""One linear layer into the language model, after MiniGPT-4 (arXiv 2304.10592, section 3).

tokens [N, Q, width] -> tokens [N, Q, LLM width]. Trained in both stages; nothing else is.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from minigpt4.common.registry import connectors
from minigpt4.models.part import PartConfig


@dataclass(frozen=True, kw_only=True)
class LinearConnectorConfig(PartConfig):
    """The projection; its widths follow from its neighbours."""

    name: str = "linear"
    """which registered part"""
    freeze: bool = False
    """True = no gradient, always in eval mode"""


@connectors.register("linear")
class LinearConnector(nn.Module):
    """The projection (`llama_proj` of the original), with bias, PyTorch's own initial values."""

    Config = LinearConnectorConfig

    def __init__(self, config: LinearConnectorConfig, in_width: int, in_tokens: int, out_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(in_width, out_width)
        self.out_width = out_width
        self.out_tokens = in_tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, Q, in_width] -> [N, Q, out_width]."""
        projected: Tensor = self.projection(tokens)
        return projected
