"""What all parts of a model have in common: where their weights are, their dtype, whether they are frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from minigpt4.models.lora import LoraConfig

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """Keys that every part of `model:` has."""

    name: str
    """which registered part"""
    weights: str | None = field(default=None, metadata={"path": "any"})
    """file or folder of weights; null = random, from run.seed"""
    dtype: Precision = "auto"
    """dtype of the weights; auto = fp32 on CPU and for whatever trains, half precision on CUDA for frozen parts"""
    freeze: bool = True
    """True = no gradient, and always in eval mode unless it has LoRA"""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """adapters on the frozen part (LoRA; on a quantised language model QLoRA)"""


@dataclass(frozen=True, kw_only=True)
class VisionConfig(PartConfig):
    """What every vision encoder has, too."""

    image_size: int
    """side of the square image in pixels"""
