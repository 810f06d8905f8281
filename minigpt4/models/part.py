"""What all parts of a model have in common: where their weights are, their dtype, whether they are frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from minigpt4.common.config.fields import check_values
from minigpt4.common.config.ranges import PositiveFloat, Side
from minigpt4.common.errors import UserError
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
    train_only: list[str] = field(default_factory=list)
    """names of the parameters that train, with * for any text (layers.0.*); empty = all, unless the part is frozen"""
    lr_factor: PositiveFloat = 1.0
    """learning rate of the part in units of the run's"""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """adapters on the frozen part (LoRA; on a quantised language model QLoRA)"""

    def __post_init__(self) -> None:
        check_values(self)
        if self.train_only and self.freeze:
            raise UserError("config.value", where="train_only", what="is given, but the part is frozen",
                            fix="set freeze=False, or leave train_only out")


@dataclass(frozen=True, kw_only=True)
class VisionConfig(PartConfig):
    """What every vision encoder has, too."""

    image_size: Side
    """side of the square image in pixels"""
