"""What all parts of a model have in common: where their weights are, their dtype, whether they are frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

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
    """True = no gradient, always in eval mode"""
