"""Random weights from which a small language model soon learns to look things up.

Usual initial weights need thousands of steps until attention finds "the same word, further up" (measured
for the embedded default, docs/scenes.md). Here it does so from the first step: queries and keys are the same turn of
the input, so a position looks at those whose content resembles its own; values and output bring a fifth of that content
back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WORD_SCALE = 0.1
"""standard deviation of the word embeddings"""
CONTENT_SHARE = 0.2
"""what an attention layer adds of the content it has found"""


def start_copying(model: nn.Module) -> None:
    """Give a Llama-like model with as many key as query heads these weights; norms and MLPs stay as they are.

    Args:
        model: has layers with `q_proj`, `k_proj`, `v_proj` [width, width] and `o_proj` [width, width], and embeddings.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=WORD_SCALE)
        elif hasattr(module, "q_proj") and hasattr(module, "o_proj"):
            _look_for_alike(module)


@torch.no_grad()
def _look_for_alike(attention: Any) -> None:
    nn.init.orthogonal_(attention.q_proj.weight)
    attention.k_proj.weight.copy_(attention.q_proj.weight)
    nn.init.orthogonal_(attention.v_proj.weight)
    attention.o_proj.weight.copy_(CONTENT_SHARE * attention.v_proj.weight.T)
