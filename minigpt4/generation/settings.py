"""How an answer is chosen: greedy, sampled or by beams."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt4.common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """Greedy unless `do_sample`; where a behaviour asks for the originals' values:
    docs/originals/minigpt4.md#decoding-defaults.
    """

    max_new_tokens: int = 300
    """tokens of an answer at most"""
    min_new_tokens: int = 0
    """tokens before which the language model may not end"""
    num_beams: int = 1
    """beams of a beam search; 1 = none"""
    do_sample: bool = False
    """draw from the distribution instead of taking the likeliest token"""
    temperature: float = 1.0
    """sharpness of the distribution when sampling; below 1 = sharper"""
    top_p: float = 0.9
    """share of the distribution that is drawn from"""
    top_k: int = 50
    """likeliest tokens that are drawn from (old transformers' default, active in the originals)"""
    repetition_penalty: float = 1.0
    """above 1 = repeated tokens become less likely"""
    length_penalty: float = 1.0
    """above 0 favours long answers of a beam search"""
    max_context: int | None = None
    """positions of prompt and answer together; null = what the language model was built for"""
    seed: int | None = None
    """seed of sampling; null = torch's global state"""

    def __post_init__(self) -> None:
        checks = (
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("num_beams", self.num_beams >= 1, "1 or more"),
            ("temperature", self.temperature > 0 or not self.do_sample, "more than 0, or do_sample=False for greedy"),
            ("top_p", 0 < self.top_p <= 1, "a share above 0 and up to 1"),
        )
        for name, good, allowed in checks:
            if not good:
                raise UserError("decoding.value", where=name, what=f"is {getattr(self, name)}", fix=f"use {allowed}")
