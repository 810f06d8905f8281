"""How an answer is chosen: greedy, sampled or by beams."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt4.common.config.fields import check_values
from minigpt4.common.config.ranges import (
    Beams,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Seed,
)
from minigpt4.common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """Greedy unless `do_sample`; where a behaviour asks for the originals' values:
    docs/originals/minigpt4.md#decoding-defaults.
    """

    max_new_tokens: PositiveInt = 300
    """tokens of an answer at most"""
    min_new_tokens: NonNegativeInt = 0
    """tokens before which the language model may not end"""
    num_beams: Beams = 1
    """beams of a beam search; 1 = none"""
    do_sample: bool = False
    """draw from the distribution instead of taking the likeliest token"""
    temperature: NonNegativeFloat = 1.0
    """sharpness of the distribution when sampling; below 1 = sharper"""
    top_p: PositiveShare = 0.9
    """share of the distribution that is drawn from"""
    top_k: NonNegativeInt = 50
    """likeliest tokens that are drawn from (old transformers' default, active in the originals)"""
    repetition_penalty: PositiveFloat = 1.0
    """above 1 = repeated tokens become less likely"""
    length_penalty: float = 1.0
    """above 0 favours long answers of a beam search"""
    max_context: PositiveInt | None = None
    """positions of prompt and answer together; null = what the language model was built for"""
    seed: Seed | None = None
    """seed of sampling; null = torch's global state"""

    def __post_init__(self) -> None:
        check_values(self, "decoding.value")
        if self.do_sample and self.temperature == 0:
            raise UserError("decoding.value", where="temperature", what="is 0",
                            fix="use more than 0, or do_sample=False for greedy")
        if self.min_new_tokens > self.max_new_tokens:
            raise UserError("decoding.value", where="min_new_tokens", what=f"is {self.min_new_tokens}",
                            fix=f"use no more than max_new_tokens, {self.max_new_tokens}")
