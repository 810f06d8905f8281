"""The Q-Former as transformers' `Blip2QFormerModel` without text branch, and its query tokens.

tokens [N, V, vision width] -> tokens [N, Q, width]. Source: BLIP-2; docs/originals/minigpt4.md#q-former.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from minigpt4.common.config.ranges import Chance, Depth, NonNegativeFloat, Width
from minigpt4.common.registry import resamplers
from minigpt4.models.part import PartConfig


@dataclass(frozen=True, kw_only=True)
class QFormerConfig(PartConfig):
    """Sizes of the Q-Former; the defaults are bert-base-uncased's."""

    name: str = "q_former"
    """which registered part"""
    num_query_tokens: Depth = 32
    """tokens an image becomes"""
    hidden_size: Width = 768
    """width of the query tokens"""
    num_hidden_layers: Depth = 12
    """blocks"""
    num_attention_heads: Depth = 12
    """heads of each block"""
    intermediate_size: Width = 3072
    """width of each MLP"""
    cross_attention_frequency: Depth = 2
    """blocks 0, f, 2f, … look at the image"""
    dropout: Chance = 0.1
    """dropout of activations and attention, active only while the Q-Former trains"""
    hidden_act: str = "gelu"
    """activation of the MLPs"""
    initializer_range: NonNegativeFloat = 0.02
    """deviation of random initial weights; narrow Q-Formers trained from scratch need more (1 / sqrt(width))"""


@resamplers.register("q_former")
class QFormer(nn.Module):
    """Query tokens that read an image by cross-attention."""

    Config = QFormerConfig
    LORA_TARGETS = ("query", "value")
    """layers that LoRA is put on where the config names none"""

    def __init__(self, config: QFormerConfig, in_width: int, in_tokens: int) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, config.hidden_size))
        nn.init.normal_(self.query_tokens, std=config.initializer_range)
        self.model = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=config.hidden_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                layer_norm_eps=1e-12,
                initializer_range=config.initializer_range,
                cross_attention_frequency=config.cross_attention_frequency,
                encoder_hidden_size=in_width,
                use_qformer_text_input=False,
            )
        )
        self.out_width = config.hidden_size
        self.out_tokens = config.num_query_tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, V, in_width] -> [N, Q, width]; every image token is attended to."""
        queries = self.query_tokens.expand(tokens.shape[0], -1, -1)
        read: Tensor = self.model(query_embeds=queries, encoder_hidden_states=tokens).last_hidden_state
        return read
