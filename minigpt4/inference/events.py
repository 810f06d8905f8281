"""What happens while an answer is given; terminal, page and API read the same events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class TextDelta:
    """New text at the end of the answer."""

    text: str


@dataclass(frozen=True)
class Notice:
    """A sentence for the person, not part of the answer."""

    text: str


@dataclass(frozen=True)
class Usage:
    """Positions of the prompt, those that came from the cache, new tokens."""

    prompt_tokens: int
    reused_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class Done:
    """The answer is complete. `text` is the whole of it."""

    reason: Literal["stop", "length", "cancelled"]
    text: str
    usage: Usage


Event: TypeAlias = TextDelta | Notice | Done
