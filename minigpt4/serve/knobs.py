"""The settings panel."""

from __future__ import annotations

from dataclasses import dataclass

from minigpt4.generation.settings import DecodingSettings


@dataclass(frozen=True)
class Knobs:
    """Where the settings stand; a temperature of 0 means greedy."""

    temperature: float = 0.0
    num_beams: int = 1
    max_new_tokens: int = 300
    top_p: float = 0.9
    """share of the distribution that a word is drawn from, where the temperature is above 0"""
    seed: int | None = None
    """of drawing; None = another one each time"""
    system: str = ""
    """instead of the template's own system text; empty = the template's own"""

    def settings(self) -> DecodingSettings:
        """The same for the token loop."""
        sampling = self.temperature > 0 and self.num_beams == 1
        return DecodingSettings(
            max_new_tokens=int(self.max_new_tokens), num_beams=int(self.num_beams), do_sample=sampling,
            temperature=float(self.temperature) if sampling else 1.0, top_p=float(self.top_p), seed=self.seed,
        )
