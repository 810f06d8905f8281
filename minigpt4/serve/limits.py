"""How much one visitor, and all of them together, may ask of the page."""

from __future__ import annotations

import math
from dataclasses import dataclass

CHARACTERS_PER_POSITION = 8
"""English takes 4 to 5 characters a token, Chinese 1 to 2, and no language as many as 8 on average. Counting them costs
nothing, while a megabyte takes a tokenizer seconds; only runs of one letter or of blanks are refused too early."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that are checked before any work is done."""

    file_bytes: int = 100_000_000
    """of one upload"""
    upload_bytes: int = 1_000_000_000
    """of all files that lie on the server"""
    upload_files: int = 2000
    """number of files that lie on the server"""
    body_bytes: int = 4_000_000
    """of any request that is no upload"""
    question_characters: int = 20_000
    conversation_characters: int = 100_000
    question_files: int = 1000
    """gradio looks at each one's path before the question reaches us; the language model's context has its own bound"""
    pixels: int = 40_000_000
    """of one image; a larger one is refused by its header"""
    question_pixels: int = 120_000_000
    """of all images of one question"""
    waiting: int = 16
    """questions that are answered or wait"""
    waiting_each: int = 2
    """the same, of one visitor"""
    answer_seconds: float = 300
    """an answer is ended after this time"""
    idle_seconds: float = 3600
    """a conversation is ended after this time without a question"""
    unasked_seconds: float = 600
    """an upload that no question came with is deleted after this time"""
    away_seconds: float = 600
    """a conversation whose page was left waits so long for its browser to come back (a reload, a phone that slept)"""
    visitors: int = 500
    """conversations that are kept; one more ends the one that was left, or else idle, longest"""
    kept_bytes: int = 2_000_000_000
    """of the key-value caches and image tokens of all visitors"""
    temperature: float = 2.0
    beams: int = 10
    new_tokens: int = 2000
    system_characters: int = 4000

    def characters(self, context: int) -> int:
        """Largest length of a question for a language model with this many positions."""
        return min(self.question_characters, CHARACTERS_PER_POSITION * context)

    def images(self, context: int, tokens_per_image: int) -> int:
        """Images of a conversation that fit in the positions of the language model."""
        return context // max(1, tokens_per_image)

    def bearable(self, temperature: float, beams: float, new_tokens: float) -> bool:
        """True where the settings are those that the panel can show."""
        numbers = all(math.isfinite(value) for value in (temperature, beams, new_tokens))
        return numbers and 0 <= temperature <= self.temperature and 1 <= beams <= self.beams and (
            1 <= new_tokens <= self.new_tokens)

    def drawable(self, top_p: float, seed: int | None) -> bool:
        """True for a share that can be drawn from and a seed that there is."""
        return 0 < top_p <= 1 and (seed is None or 0 <= seed < 2**32)
