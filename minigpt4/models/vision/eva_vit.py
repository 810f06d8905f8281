"""EVA-ViT-g as transformers' `Blip2VisionModel`, with `ln_vision` at its end.

pixel_values [N, 3, S, S] -> tokens [N, 1 + (S / 14)^2, width], class token first.
Equal to the original's ViT (docs/originals/minigpt4.md#vit), with two things the stock class does not know:
the last norm has another eps than the blocks, and the k bias is not a parameter of the original.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Blip2VisionConfig, Blip2VisionModel

from minigpt4.common.config.ranges import Chance, Depth, NonNegativeFloat, Side, Width
from minigpt4.common.errors import UserError
from minigpt4.common.registry import vision_encoders
from minigpt4.models.activation_checkpointing import enable_activation_checkpointing
from minigpt4.models.part import VisionConfig

LN_VISION_EPS = 1e-5
"""the original's separate last norm; its blocks have 1e-6 and the stock class one value for both"""


@dataclass(frozen=True, kw_only=True)
class EvaVitConfig(VisionConfig):
    """Sizes of the ViT; the defaults are EVA-CLIP-g as BLIP-2 cut it (39 of its blocks)."""

    name: str = "eva_vit"
    """which registered part"""
    image_size: Side = 224
    """side of the square image in pixels; position embeddings of another size are interpolated on load"""
    patch_size: Side = 14
    """side of a patch in pixels"""
    hidden_size: Width = 1408
    """width of the tokens"""
    num_hidden_layers: Depth = 39
    """blocks; further ones in the file are left out, as in the original"""
    num_attention_heads: Depth = 16
    """heads of each block"""
    intermediate_size: Width = 6144
    """width of each MLP: int(1408 * 4.3637)"""
    drop_path_rate: Chance = 0.0
    """original key; stochastic depth was never active in the frozen ViT"""
    initializer_range: NonNegativeFloat = 0.02
    """deviation of random initial weights; narrow encoders trained from scratch need more (1 / sqrt(width))"""
    activation_checkpointing: bool = False
    """compute activations again in the backward pass instead of keeping them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.patch_size:
            raise UserError(
                "config.value", where="model.vision.image_size",
                what=f"is {self.image_size}, not a multiple of the patch of {self.patch_size}",
                fix=f"use {self.image_size // self.patch_size * self.patch_size or self.patch_size}",
            )
        if self.drop_path_rate and not self.freeze:
            raise UserError(
                "config.value", where="model.vision.drop_path_rate",
                what=f"is {self.drop_path_rate}, but stochastic depth is not built for an unfrozen ViT", fix="use 0",
            )


@vision_encoders.register("eva_vit")
class EvaVit(nn.Module):
    """The ViT and `ln_vision`."""

    Config = EvaVitConfig
    LORA_TARGETS = ("qkv",)
    """layers that LoRA is put on where the config names none"""

    def __init__(self, config: EvaVitConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.model = Blip2VisionModel(
            Blip2VisionConfig(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                image_size=config.image_size,
                patch_size=config.patch_size,
                layer_norm_eps=1e-6,
                hidden_act="gelu",
                initializer_range=config.initializer_range,  # the class's own default of 1e-10 makes a blank model
            )
        )
        self.model.post_layernorm.eps = LN_VISION_EPS
        if config.activation_checkpointing:
            enable_activation_checkpointing(self.model)
        for name, parameter in self.model.named_parameters():
            if name.endswith("qkv.bias"):
                parameter.register_hook(_without_k_bias)
        self.out_width = config.hidden_size
        self.out_tokens = (config.image_size // config.patch_size) ** 2 + 1

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] -> [N, 1 + patches, width]. Any other size than S is refused."""
        if pixels.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(f"pixels are {tuple(pixels.shape[-2:])}, the encoder was built for {self.image_size}")
        tokens: Tensor = self.model(pixel_values=pixels).last_hidden_state
        return tokens


def _without_k_bias(gradient: Tensor) -> Tensor:
    """The original has no k bias: its gradient is rounding noise that Adam would scale up."""
    third = gradient.shape[0] // 3
    return torch.cat([gradient[:third], torch.zeros_like(gradient[:third]), gradient[2 * third :]])
